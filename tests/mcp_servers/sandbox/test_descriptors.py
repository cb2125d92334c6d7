"""Descriptors that travel beside a message."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from mcp_servers.sandbox.confined import descriptors

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        yield one, other


def opened() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_what_comes_is_the_same_file_and_is_closed_on_exec(pair: Pair) -> None:
    read, write = os.pipe()
    assert descriptors.send(pair[0], b"for you", [write]) == 7
    data, [came] = descriptors.receive(pair[1], 100, 1)
    os.close(write)
    assert data == b"for you"
    assert not os.get_inheritable(came)
    os.write(came, b"x")
    assert os.read(read, 10) == b"x"
    for descriptor in (read, came):
        os.close(descriptor)


def test_more_than_are_wanted_are_closed(pair: Pair) -> None:
    before = opened()
    descriptors.send(pair[0], b"many", [0] * 9)
    data, came = descriptors.receive(pair[1], 100, 3)
    assert data == b"many"
    assert len(came) == 3
    for descriptor in came:
        os.close(descriptor)
    assert opened() == before


def test_none_come_with_plain_data_or_at_the_end(pair: Pair) -> None:
    pair[0].send(b"plain")
    assert descriptors.receive(pair[1], 100, 3) == (b"plain", [])
    pair[0].close()
    assert descriptors.receive(pair[1], 100, 3) == (b"", [])
