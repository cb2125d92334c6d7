"""What tests of the node share: the event loop of production, and places that clean up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import pytest
import uvloop

from nodes.entries import Entry
from nodes.host import Host
from nodes.supervisor import Supervisor
from nodes.surroundings import Surroundings
from tests.nodes.running import Supervise, nothing, surroundings_in


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run on uvloop, whose child processes behave in ways of their own."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def surroundings(tmp_path: Path) -> Iterator[Surroundings]:
    """Return surroundings without patience."""
    made = surroundings_in(tmp_path)
    yield made
    made.files.close()


@pytest.fixture
async def supervise(surroundings: Surroundings) -> AsyncIterator[Supervise]:
    """Return a function that starts a supervisor, which is stopped at the end."""
    started: list[Supervisor] = []

    def start(entry: Entry, around: Surroundings = surroundings) -> Supervisor:
        supervisor = Supervisor(entry, around, nothing)
        supervisor.start()
        started.append(supervisor)
        return supervisor

    yield start
    await asyncio.gather(*(supervisor.stop() for supervisor in started))


@pytest.fixture
async def host(surroundings: Surroundings) -> AsyncIterator[Host]:
    """Return a host with nothing plugged."""
    host = Host("node-1", surroundings, nothing)
    yield host
    await host.close()
