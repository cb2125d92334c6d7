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
