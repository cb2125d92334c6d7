"""Who answers for what a replaced tool server still holds, and what a refusal means."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any, cast

import orjson
import pytest

from nodes.channel import Reply
from nodes.entries import Entry
from nodes.lingering import ELSEWHERE, MOST, RETRY_AFTER, Lingering, is_elsewhere, refusal
from nodes.unit import Unit
from wire.errors import Overloaded, ServerUnavailable
from wire.models import ServerState


def reply(**message: Any) -> Reply:
    return Reply(message, orjson.dumps(message))


def failure(**data: Any) -> Reply:
    return reply(error={"code": -32000, "message": "words", "data": data})


@dataclasses.dataclass(eq=False)
class FormerUnit:
    """A unit that was replaced, and holds some things."""

    holds: tuple[bytes, ...] = ()
    linger_s: float = 60.0
    state: ServerState = ServerState.READY
    in_flight: int = 0

    @property
    def entry(self) -> Entry:
        return Entry(name="box", linger_s=self.linger_s)

    async def request(self, params: bytes, timeout_s: float, owner: str | None = None) -> Reply:
        return (
            reply(result={"from": id(self)})
            if params in self.holds
            else failure(**{ELSEWHERE: True})
        )


def kept(lingering: Lingering, unit: FormerUnit) -> asyncio.Task[None]:
    return asyncio.create_task(lingering.keep(cast("Unit", unit)))


async def ask(lingering: Lingering, params: bytes) -> object:
    answer = await lingering.ask(params, 1.0, None)
    return None if answer is None else answer.message["result"]["from"]


async def test_the_unit_that_holds_it_answers_whichever_came_before() -> None:
    lingering, old, older = Lingering(), FormerUnit((b"new",)), FormerUnit((b"old",))
    tasks = [kept(lingering, older), kept(lingering, old)]
    await asyncio.sleep(0)
    assert await ask(lingering, b"old") == id(older)
    assert await ask(lingering, b"new") == id(old)
    assert await ask(lingering, b"nobody's") is None
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert await ask(lingering, b"old") is None


@pytest.mark.parametrize(
    "over", [FormerUnit(linger_s=0.01), FormerUnit(state=ServerState.BACKING_OFF)]
)
async def test_a_unit_goes_when_nobody_asked_for_long_or_it_died(over: FormerUnit) -> None:
    async with asyncio.timeout(5):
        await kept(Lingering(), over)


async def test_a_unit_with_a_running_call_stays() -> None:
    busy = FormerUnit(linger_s=0.01, in_flight=1)
    task = kept(Lingering(), busy)
    assert not (await asyncio.wait([task], timeout=0.1))[0]
    busy.in_flight = 0
    async with asyncio.timeout(5):
        await task


async def test_of_many_changes_in_a_row_only_the_last_units_stay() -> None:
    lingering = Lingering()
    tasks = [kept(lingering, FormerUnit(linger_s=0.5)) for _ in range(MOST + 1)]
    async with asyncio.timeout(5):
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert tasks[0] in done
    await asyncio.wait(tasks)


def test_a_call_that_was_not_begun_is_told_as_what_it_is() -> None:
    overloaded = refusal("box", failure(**{RETRY_AFTER: 5}))
    assert isinstance(overloaded, Overloaded)
    assert (overloaded.retry_after_s, "words" in overloaded.detail) == (5, True)
    assert isinstance(refusal("box", failure(**{ELSEWHERE: True})), ServerUnavailable)


@pytest.mark.parametrize(
    "other",
    [
        failure(),
        failure(**{RETRY_AFTER: "soon"}),
        failure(**{RETRY_AFTER: True}),
        reply(error="odd"),
        reply(error={"code": 1, "message": "m", "data": [1]}),
        reply(result={}),
    ],
)
def test_any_other_error_is_the_tool_servers_own(other: Reply) -> None:
    assert refusal("box", other) is None
    assert not is_elsewhere(other)
