"""Remote tool servers that mean no good: what they answer costs their own call, and no other."""

from __future__ import annotations

import asyncio

import pytest

from nodes import answers
from nodes.surroundings import Surroundings
from tests.fakes.scripted_remote import ScriptedRemote
from tests.nodes.running import eventually, text_of
from tests.nodes.test_remote import call, connected
from wire.errors import CallTimedOut, ServerError
from wire.models import ServerState

LIMIT = 1_000_000


@pytest.mark.parametrize("era", ["stateless", "handshake"])
async def test_an_answer_without_end_is_cut_off_and_others_go_on(
    surroundings: Surroundings, monkeypatch: pytest.MonkeyPatch, era: str
) -> None:
    monkeypatch.setattr(answers, "MAX_LINE_BYTES", LIMIT)
    async with connected(ScriptedRemote(era=era), surroundings) as supervisor:
        with pytest.raises(ServerError, match="over 1000000 bytes"):
            await call(supervisor, "flood")
        assert text_of(await call(supervisor, "echo", a=1)) == '{"a": 1}'
        assert supervisor.state is ServerState.READY


async def test_a_stream_that_breaks_off_for_ever_is_resumed_until_the_time_is_over(
    surroundings: Surroundings,
) -> None:
    remote = ScriptedRemote(era="handshake")
    async with connected(remote, surroundings) as supervisor:
        with pytest.raises(CallTimedOut):
            await call(supervisor, "break_again", 3)
        resumed = [s for s in remote.seen if s.headers.get("last-event-id") == "again"]
        assert 1 < len(resumed) <= 300, "it is not resumed faster than every 10 ms"
        await eventually(lambda: supervisor.in_flight == 0)
        assert text_of(await call(supervisor, "echo", a=1)) == '{"a": 1}'


@pytest.mark.parametrize("era", ["stateless", "handshake"])
async def test_the_response_to_another_request_is_not_taken(
    surroundings: Surroundings, era: str
) -> None:
    async with connected(ScriptedRemote(era=era), surroundings) as supervisor:
        with pytest.raises(ServerError, match="no response of MCP"):
            await call(supervisor, "mix_up")


async def test_an_endless_answer_to_a_notification_holds_up_nothing(
    surroundings: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MAX_LINE_BYTES", LIMIT)
    remote = ScriptedRemote(era="handshake", floods_notices=True)
    async with connected(remote, surroundings) as supervisor, asyncio.timeout(4):
        assert supervisor.state is ServerState.READY
        assert text_of(await call(supervisor, "echo", a=1)) == '{"a": 1}'
