"""What holds for every test: it leaves no process and no task behind."""

from __future__ import annotations

import asyncio
import inspect
import resource
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from manager.stores.address import MongoAddress
from tests import leaks
from tests.mongodb import MongoServer, elsewhere, fresh_database


def pytest_configure(config: pytest.Config) -> None:
    """Mark this run before the first process is started; allow files as our programs do."""
    leaks.mark_this_run()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))


@pytest.fixture(scope="session")
def mongo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer | None]:
    """One database server for all tests of this process; None if it is elsewhere."""
    if elsewhere("any") is not None:
        yield None
        return
    server = MongoServer(tmp_path_factory.mktemp("mongo")).start()
    yield server
    server.kill()


@pytest.fixture
async def mongo_address(mongo_server: MongoServer | None) -> AsyncIterator[MongoAddress]:
    """A database of its own for a test, dropped in the end."""
    address = fresh_database(mongo_server)
    yield address
    client: AsyncIOMotorClient[Any] = AsyncIOMotorClient(address.url)
    await client.drop_database(address.database)
    client.close()


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a process or a task."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("no_task_is_left")
    before = leaks.descendants()
    yield
    left = leaks.left_since(before)
    for pid in left:
        leaks.kill(pid)
    if left:
        pytest.fail(f"left running: {left}")


@pytest.fixture
async def no_task_is_left() -> AsyncIterator[None]:
    """Fail a test that leaves a task in its event loop."""
    before = asyncio.all_tasks()
    yield
    left = [t for t in asyncio.all_tasks() - before if not _is_expected(t)]
    # A task that is about to end is not left.
    if left:
        left = list((await asyncio.wait(left, timeout=1))[1])
    if left:
        pytest.fail(f"left in the event loop: {left}")


def _is_expected(task: asyncio.Task[object]) -> bool:
    """Whether a task is this fixture's own, or the one that sse-starlette keeps for each loop."""
    name = getattr(task.get_coro(), "__qualname__", "")
    return task is asyncio.current_task() or name == "_shutdown_watcher"
