"""No process of the browser outlives its task, however it, or the server, comes to its end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_servers.web.browsing.errors import PageCrashed
from mcp_servers.web.browsing.home import Home, sweep
from tests import leaks
from tests.guards.source import ROOT
from tests.mcp_servers.fetching.scripted import Served
from tests.mcp_servers.web.pages import (
    Rig,
    a_browser,
    a_site,
    html,
    need_chromium,
    until,
    until_gone,
)

pytestmark = pytest.mark.slow

HANGS = html("<script>while (true) {}</script>")
STUBBORN = html(
    "<script>onbeforeunload = () => 1; onunload = () => { while (true) {} };"
    "setInterval(() => { for (let i = 0; i < 1e9; i++) {} }, 1)</script>text"
)


@pytest.fixture(autouse=True)
def _chromium() -> None:
    need_chromium()


@pytest.fixture(autouse=True)
def homes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files that nothing else uses, and that every user may pass."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def left_in(homes: Path) -> list[str]:
    return os.listdir(homes)


async def hanging(rig: Rig, site: Served) -> asyncio.Task[object]:
    """Return a rendering that is under way and will not end by itself."""
    task: asyncio.Task[object] = asyncio.create_task(rig.browser.render(f"{site.url}/", 60))
    await until(lambda: bool(site.heads and rig.renderers()))
    return task


async def test_no_process_is_started_before_the_first_page_and_none_stays_after_the_last(
    homes: Path,
) -> None:
    async with a_site({"/": html("x")}) as site, a_browser(site, idle_s=0.5) as rig:
        assert rig.processes() == {}
        await rig.browser.render(f"{site.url}/", 25)
        assert rig.processes() != {}
        await until_gone(rig.processes)
        await rig.browser.render(f"{site.url}/", 25)
    assert rig.processes() == {}
    assert left_in(homes) == []


@pytest.mark.parametrize("page", [HANGS, STUBBORN], ids=["hangs", "stubborn"])
async def test_the_end_of_the_browser_ends_a_page_that_resists(page: bytes) -> None:
    async with a_site({"/": page}) as site:
        async with a_browser(site) as rig:
            task = await hanging(rig, site)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await until_gone(rig.processes)


@pytest.mark.parametrize("whom", ["--remote-debugging-pipe", "run-driver", "keeper.py"])
async def test_a_browser_that_is_killed_costs_one_page_and_leaves_nothing(
    homes: Path, whom: str
) -> None:
    async with a_site({"/": HANGS, "/good": html("good")}) as site, a_browser(site) as rig:
        task = await hanging(rig, site)
        first = set(rig.processes())
        victims = [pid for pid, command in rig.processes().items() if whom in command]
        for pid in sorted(victims)[:1] if whom == "keeper.py" else victims:
            leaks.kill(pid)
        with pytest.raises(PageCrashed):
            await task
        assert "good" in (await rig.browser.render(f"{site.url}/good", 25)).html
        await until_gone(lambda: first & set(rig.processes()))
    assert left_in(homes) == []


async def test_a_folder_that_nobody_is_left_to_delete_goes_with_the_next_start(
    homes: Path,
) -> None:
    stale = Home("/bin/true", 10**9)
    os.utime(stale.path, (1, 1))
    sweep()
    assert stale.path.exists(), "its server lives"
    os.close(stale._life)
    sweep()
    assert left_in(homes) == []


PROGRAM = """
import asyncio, sys
from mcp_servers.fetching.settings import FetchSettings
from mcp_servers.web.browsing.app import create_browser

async def main():
    host = sys.argv[1]
    async with create_browser(None, FetchSettings(allowed_hosts=host)) as browser:
        await browser.render(f"http://{host}/", 100)

asyncio.run(main())
"""


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_a_server_that_is_killed_leaves_no_browser(
    homes: Path, signum: signal.Signals
) -> None:
    before = leaks.descendants()

    def left() -> set[int]:
        return leaks.descendants() - before

    async with a_site({"/": HANGS}) as site:
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, f"127.0.0.1:{site.port}", cwd=ROOT,
            stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        await until(
            lambda: bool(
                site.heads and any("--type=renderer" in leaks.command(pid) for pid in left())
            )
        )
        os.killpg(server.pid, signum)
        await server.wait()
        await until_gone(left)
        await until_gone(lambda: left_in(homes))


POOR = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"'


async def test_where_there_is_no_other_user_and_no_namespace_the_log_says_what_holds(
    homes: Path,
) -> None:
    program = f"import logging; logging.basicConfig(level=20){PROGRAM}"
    async with a_site({"/": html("x")}) as site:
        server = await asyncio.create_subprocess_exec(
            "unshare", "-Ur", "sh", "-c", POOR, "sh", sys.executable, "-c", program,
            f"127.0.0.1:{site.port}", cwd=ROOT, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, log = await server.communicate()
    if log.startswith((b"unshare: ", b"sh: ")):
        pytest.skip("this machine gives no user namespace to try it in")
    assert server.returncode == 0, log
    assert b"WARNING" in log
    assert b"The browser runs as user 0, without its own sandbox: " in log
    assert left_in(homes) == []


TWICE = """
import asyncio, logging, sys
from tests.mcp_servers.web.pages import a_browser, a_site, html, until_gone
if sys.argv[1] == "bare":
    import errno, pyseccomp
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    rules.add_rule(pyseccomp.ERRNO(errno.EPERM), "unshare")
    rules.load()

async def main():
    async with a_site({"/": html("x")}) as site, a_browser(site, idle_s=0.3) as rig:
        for _ in range(2):
            await rig.browser.render(f"{site.url}/", 25)
            print("no-sandbox" in "".join(rig.processes().values()))
            await until_gone(rig.processes)

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stdout)
asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["usual", "bare"])
def test_a_browser_without_its_own_sandbox_is_warned_of_once(how: str) -> None:
    """Where the kernel gives no namespaces, and wherever these tests run."""
    ran = subprocess.run(
        [sys.executable, "-c", TWICE, how],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    lines = ran.stdout.splitlines()
    bare = "True" in lines
    assert bare or how == "usual"
    said = [line for line in lines if "its own sandbox" in line]
    assert [line.split()[0] for line in said] == (["WARNING", "INFO"] if bare else ["INFO"] * 2)
    assert ("docs/security.md" in said[0]) == bare
