"""What manager and node do alike to serve."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket

import pytest

from wire import serving


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("127.0.0.9", True), ("::1", True), ("10.0.0.1", False), ("host", False)],
)
def test_loopback_is_told_from_other_addresses(host: str, loopback: bool) -> None:
    assert serving.is_loopback(host) is loopback


INFINITE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "then"),
    [
        (1024, INFINITE, 65_536),
        (1024, 4096, 4096),
        (1024, 1 << 20, 65_536),
        (INFINITE, INFINITE, 65_536),
        (100_000, 1 << 20, None),
    ],
)
def test_as_many_files_as_are_needed_may_be_open(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, then: int | None
) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr("resource.getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr("resource.setrlimit", lambda _, limits: told.append(limits))
    serving.allow_many_files()
    assert told == ([] if then is None else [(then, hard)])


def test_a_port_that_is_taken_is_refused() -> None:
    with serving.listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            serving.listen("127.0.0.1", port)


def test_a_name_with_both_kinds_of_address_means_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
    ]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: both)
    with serving.listen("localhost", 0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


async def test_what_runs_beside_ends_with_its_context() -> None:
    running, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            running.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with serving.beside(work(), "it"):
        await running.wait()
    assert ended.is_set()


async def test_the_failure_of_what_runs_beside_is_logged_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failed = asyncio.Event()

    async def work() -> None:
        failed.set()
        raise RuntimeError("no paper")

    with caplog.at_level(logging.ERROR):
        async with serving.beside(work(), "the printer"):
            await failed.wait()
    [record] = caplog.records
    assert record.message == "the printer stopped working"
    assert "no paper" in (record.exc_text or "")
