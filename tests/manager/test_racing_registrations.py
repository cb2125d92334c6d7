"""Registrations of one name that come at once: each is answered, and the last one counts."""

from __future__ import annotations

import asyncio

from manager.registrations import Registrations
from manager.stores.sqlite import SqliteStore
from tests.manager.conftest import StartNode
from tests.manager.test_app import ADMIN, Manager
from tests.manager.test_registrations import ENTRY, Hosting, manager, post, store
from tests.nodes.running import eventually
from wire.errors import StoreUnavailable
from wire.models import ServerState

__all__ = ["manager", "store"]  # fixtures


class UnsweptStore(SqliteStore):
    """A store that goes away once a registration was saved."""

    async def sweep_registrations(self, older_than: int) -> int:
        raise StoreUnavailable("The store is away.")


async def test_changes_of_one_name_in_one_manager_wait_for_each_other() -> None:
    store = SqliteStore(":memory:")
    await store.open()
    registrations = Registrations(store)
    changes = [registrations.keep("a", "*", {"command": f"{n}"}, replace=True) for n in range(20)]
    kept = await asyncio.gather(*changes)
    newest = max(kept, key=lambda registration: registration.revision)
    assert len({registration.revision for registration in kept}) == 20
    assert registrations.all() == [newest] == await store.registrations()
    await store.close()


async def test_who_waits_for_a_change_that_was_overtaken_is_answered_at_once(
    manager: Manager, start_node: StartNode
) -> None:
    first = Hosting(await start_node(), manager, state=ServerState.STARTING)
    second = Hosting(await start_node(id="two"), manager, "other")
    await first.report()
    await second.report()
    waiting = asyncio.create_task(post(manager))
    await eventually(lambda: "dice" in first.known)
    async with asyncio.timeout(5):
        body = {"profile": "other", "entry": ENTRY}
        await manager.client.put("/v1/servers/dice", json=body, headers=ADMIN)
        told = (await waiting).json()["nodes"]["one"]
        assert told["state"] == "unplugged" or "changed again" in told["error"]
    await asyncio.gather(*first.tasks, *second.tasks)


async def test_what_was_taken_back_is_taken_back_whatever_becomes_of_the_tidying() -> None:
    store = UnsweptStore(":memory:")
    await store.open()
    registrations = Registrations(store)
    await registrations.keep("a", "*", {"command": "x"}, replace=False)
    assert (await registrations.take_back("a")).entry is None
    assert registrations.all() == []
    await store.close()
