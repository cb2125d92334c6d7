"""The server's end of a socket."""

from __future__ import annotations

import asyncio
import socket

import pytest

from mcp_servers.sandbox.confined import frames
from mcp_servers.sandbox.conversation import Conversation, Gone


async def test_whoever_has_a_closed_ones_descriptor_is_still_woken() -> None:
    one, peer = socket.socketpair()
    first = Conversation(one)
    reading = asyncio.create_task(first.receive())
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    others: list[socket.socket] = []
    answer = asyncio.Event()
    waiting = []

    def use_again() -> None:
        # The reader was told that there is something, and has not run since.
        descriptor = one.fileno()
        first.close()
        others.extend(socket.socketpair())
        assert others[0].fileno() == descriptor
        receiving = Conversation(others[0]).receive()
        waiting.append((receiving, receiving.send(None)))
        answer.set()

    peer.send(b"half of a head"[:3])
    loop.call_soon(lambda: loop.call_soon(use_again))
    await answer.wait()
    with pytest.raises(Gone):
        await reading
    frames.send(others[1], {"said": 1})
    [(receiving, woken)] = waiting
    done, _ = await asyncio.wait([woken], timeout=5)
    assert done, "nobody told it that there is something"
    with pytest.raises(StopIteration) as result:
        receiving.send(None)
    assert result.value.value["said"] == 1
    for end in (peer, *others):
        end.close()


async def test_closing_tells_who_waits() -> None:
    ours, theirs = socket.socketpair()
    conversation = Conversation(ours)
    reading = asyncio.create_task(conversation.receive())
    await asyncio.sleep(0)
    conversation.close()
    with pytest.raises(Gone):
        await reading
    with pytest.raises(Gone):
        await conversation.send({"do": "nothing"})
    theirs.close()


async def test_what_nobody_waits_for_is_not_read() -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    conversation = Conversation(ours)
    frames.send(theirs, {"said": 1})
    assert (await conversation.receive())["said"] == 1
    message = frames.pack({"said": 2})
    took_more = True
    for _ in range(100):
        await asyncio.sleep(0)
        try:
            theirs.send(message * 1000)
        except BlockingIOError:
            took_more = False
    assert not took_more
    assert not conversation.is_idle()
    assert (await conversation.receive())["said"] == 2
    conversation.close()
    theirs.close()


async def test_who_stops_waiting_loses_nothing() -> None:
    ours, theirs = socket.socketpair()
    conversation = Conversation(ours)
    message = frames.pack({"said": 1})
    theirs.send(message[:9])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await conversation.receive()
    theirs.send(message[9:])
    theirs.close()
    assert (await conversation.receive())["said"] == 1
    with pytest.raises(Gone):
        await conversation.receive()
    conversation.close()


@pytest.mark.parametrize("end", ["theirs", "ours", "no message"])
async def test_who_listens_hears_what_was_said_before_and_after_and_of_the_end_once(
    end: str,
) -> None:
    ours, theirs = socket.socketpair()
    conversation = Conversation(ours)
    heard: list[object] = []
    ends: list[str] = []
    theirs.send(b"".join(frames.pack({"said": number}) for number in range(3)))
    assert (await conversation.receive())["said"] == 0
    conversation.listen(lambda message: heard.append(message["said"]), lambda: ends.append(end))
    frames.send(theirs, {"said": 3})
    async with asyncio.timeout(5):
        while heard != [1, 2, 3]:  # noqa: ASYNC110 (it is not told that it is the last)
            await asyncio.sleep(0.01)
        assert not ends
        match end:
            case "theirs":
                theirs.close()
            case "ours":
                conversation.close()
            case _:
                theirs.send(b"\xff" * 100)
        while not ends:  # noqa: ASYNC110 (see above)
            await asyncio.sleep(0.01)
    conversation.close()
    await asyncio.sleep(0)
    assert ends == [end]
    theirs.close()
