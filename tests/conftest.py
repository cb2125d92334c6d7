"""What holds for every test: it leaves no process and no task behind."""

from __future__ import annotations

import asyncio
import inspect
import resource
from collections.abc import AsyncIterator, Iterator

import pytest

from tests import leaks


def pytest_configure(config: pytest.Config) -> None:
    """Mark this run before the first process is started; allow files as our programs do."""
    leaks.mark_this_run()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))


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
