"""What every launcher promises. A new launcher is one more parameter of the fixture."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from manager.launchers.base import LaunchedNode, Launcher, LaunchFailed, NodeSpec
from manager.launchers.external import ExternalLauncher
from manager.launchers.process import ProcessLauncher

ROOT = Path(__file__).parent.parent.parent
NODE = (sys.executable, str(ROOT / "tests/fakes/scripted_node.py"))
ENVIRON = {
    "PATH": os.environ["PATH"],
    "PYTHONPATH": str(ROOT),
    "AGENTDOCK_MANAGER_API_KEYS": "canary",
    "AGENTDOCK_NODE_DRAIN_S": "3",
}
ONE = NodeSpec("one", "explore", 18014)


def process_launcher(folder: Path, *arguments: str, drain_s: float = 5.0) -> ProcessLauncher:
    return ProcessLauncher(
        [ONE],
        environ=ENVIRON,
        secret="a secret of this test",
        data_dir=folder,
        manager_url="http://127.0.0.1:1",
        command=(*NODE, *(arguments or ("--end-with-stdin",))),
        drain_s=drain_s,
        grace_s=0.1,
    )


@pytest.fixture(params=["process", "external"])
async def launcher(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Launcher]:
    made: Launcher = (
        process_launcher(tmp_path) if request.param == "process" else ExternalLauncher()
    )
    yield made
    await made.close()


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[ProcessLauncher]:
    made = process_launcher(tmp_path)
    yield made
    await made.close()


async def until(look: Callable[[], Awaitable[str | None]]) -> str:
    """Return what `look` finds, within 5 s."""
    async with asyncio.timeout(5):
        while True:
            found = await look()
            if found is not None:
                return found
            await asyncio.sleep(0.01)


async def words(node: LaunchedNode, wanted: str) -> str:
    """Return a node's log when it holds `wanted`."""

    async def look() -> str | None:
        text = Path(node.log).read_text()
        return text if wanted in text else None

    return await until(look)


async def test_what_it_wants_never_changes(launcher: Launcher) -> None:
    assert list(launcher.wanted()) == list(launcher.wanted())


async def test_a_node_it_does_not_know_has_ended_and_is_stopped_without_harm(
    launcher: Launcher,
) -> None:
    stranger = LaunchedNode("stranger", "process", "1", "")
    assert "not started by this manager" in str(await launcher.ended(stranger))
    await launcher.stop(stranger)
    assert await launcher.adopt(stranger) is False


async def test_closing_twice_is_harmless(launcher: Launcher) -> None:
    await launcher.close()
    await launcher.close()


async def test_every_wanted_node_runs_after_launch_until_it_is_stopped(launcher: Launcher) -> None:
    for spec in launcher.wanted():
        node = await launcher.launch(spec)
        assert node.id == spec.id
        assert await launcher.ended(node) is None
        assert await launcher.launch(spec) == node
        await launcher.stop(node)
        await launcher.stop(node)
        assert await launcher.ended(node) is not None


async def test_the_external_launcher_starts_nothing_and_says_so() -> None:
    with pytest.raises(LaunchFailed, match="start the node yourself"):
        await ExternalLauncher().launch(ONE)


class TestProcess:
    """What only the process launcher promises."""

    async def test_a_node_gets_its_settings_and_none_of_the_managers(
        self, process: ProcessLauncher
    ) -> None:
        node = await process.launch(ONE)
        log = await words(node, "AGENTDOCK_SECRET")
        assert "node one on port 18014" in log
        for name in ("DATA_DIR", "NODE_DRAIN_S", "NODE_MANAGER_URL", "NODE_PROFILE"):
            assert f"AGENTDOCK_{name}" in log
        assert "AGENTDOCK_MANAGER_" not in log

    async def test_a_node_that_ends_by_itself_leaves_its_code_and_last_words(
        self, tmp_path: Path
    ) -> None:
        launcher = process_launcher(tmp_path, "--crash", "port 18014 is in use")
        node = await launcher.launch(ONE)
        end = await until(lambda: launcher.ended(node))
        assert end == "node one ended with exit code 1: port 18014 is in use"
        again = await launcher.launch(ONE)
        assert again.reference != node.reference
        await launcher.close()

    async def test_a_killed_node_is_noticed(self, process: ProcessLauncher) -> None:
        node = await process.launch(ONE)
        os.kill(int(node.reference), signal.SIGKILL)
        assert "SIGKILL" in await until(lambda: process.ended(node))

    async def test_a_node_is_asked_to_end_before_it_is_made_to(
        self, process: ProcessLauncher
    ) -> None:
        node = await process.launch(ONE)
        await words(node, "AGENTDOCK_SECRET")
        await process.stop(node)
        assert "ended with stdin" in Path(node.log).read_text()

    async def test_a_node_that_ignores_everything_is_killed_in_bounded_time(
        self, tmp_path: Path
    ) -> None:
        launcher = process_launcher(tmp_path, "--ignore-everything", drain_s=0.1)
        node = await launcher.launch(ONE)
        await words(node, "ignoring")
        async with asyncio.timeout(5):
            await launcher.close()
        assert not Path(f"/proc/{node.reference}").exists()

    async def test_a_command_that_does_not_exist_fails_the_launch(self, tmp_path: Path) -> None:
        launcher = ProcessLauncher(
            [ONE],
            environ=ENVIRON,
            secret="s",
            data_dir=tmp_path,
            manager_url="",
            command=("/no/such/command",),
        )
        with pytest.raises(LaunchFailed, match="one"):
            await launcher.launch(ONE)
        await launcher.close()

    def test_nodes_end_when_their_manager_is_killed(self, tmp_path: Path) -> None:
        program = (
            "import asyncio, pathlib, signal, sys\n"
            "from tests.contracts.test_launcher_contract import ONE, process_launcher, words\n"
            "async def main():\n"
            "    launcher = process_launcher(pathlib.Path(sys.argv[1]))\n"
            "    node = await launcher.launch(ONE)\n"
            "    await words(node, 'AGENTDOCK_SECRET')\n"
            "    print(node.reference, flush=True)\n"
            "    signal.pause()\n"
            "asyncio.run(main())\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            stdout=subprocess.PIPE,
            env=ENVIRON,
        ) as manager:
            assert manager.stdout is not None
            node = os.pidfd_open(int(manager.stdout.readline()))
            manager.kill()
        try:
            assert select.select([node], [], [], 5)[0], "the node outlived its manager"
        finally:
            os.close(node)
