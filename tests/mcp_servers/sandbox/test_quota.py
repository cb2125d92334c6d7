"""What one owner may keep, and what servers that were killed leave half-written."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from mcp_servers.sandbox.area import FileFault, Folder
from mcp_servers.sandbox.files_server import FilesApp, serving
from mcp_servers.sandbox.paths import split_file
from mcp_servers.sandbox.quota import FRESH_S, Account, Quota, measure
from mcp_servers.sandbox.transfers import FileArea

ROOT = Path(__file__).parents[3]
QUOTA = Quota(max_bytes=1000, max_files=5)


class Clock:
    """A clock that a test turns."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Owner:
    """A folder with its account."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = Clock()
        self.fd = os.open(path, os.O_RDONLY)
        account = Account(QUOTA, lambda: measure(self.fd), self.clock)
        self.folder = Folder(self.fd, room=account)

    def put(self, path: str, size: int) -> None:
        with self.folder.draft(split_file(path)) as draft:
            draft.write(bytes(size))
            draft.commit()

    def refuses(self, path: str, size: int) -> None:
        before = measure(self.fd)
        with pytest.raises(FileFault, match="DELETE") as fault:
            self.put(path, size)
        assert (fault.value.code, fault.value.status) == ("over_quota", 507)
        assert measure(self.fd) == before


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owner]:
    made = Owner(tmp_path)
    yield made
    os.close(made.fd)


def test_what_arrives_is_bounded_in_bytes(owner: Owner) -> None:
    owner.put("a", 600)
    owner.refuses("b", 401)
    owner.put("b", 400)
    owner.folder.delete(("a",))
    owner.put("c", 600)
    owner.refuses("d", 1)


def test_a_file_that_takes_the_place_of_another_costs_only_the_difference(owner: Owner) -> None:
    owner.put("a", 500)
    owner.put("a", 500)
    owner.refuses("a", 501)
    owner.put("a", 100)
    owner.put("b", 900)


def test_what_is_kept_is_bounded_in_files_and_folders(owner: Owner) -> None:
    owner.put("1", 0)
    owner.put("a/b/2", 0)
    owner.put("5", 0)
    owner.refuses("6", 0)
    owner.refuses("c/d/e", 0)
    owner.folder.delete(("5",))
    owner.put("6", 0)
    assert sorted(os.listdir(owner.path)) == ["1", "6", "a"]


def test_files_that_arrive_at_the_same_time_share_the_room(owner: Owner) -> None:
    with owner.folder.draft(("a",)) as one, owner.folder.draft(("b",)) as other:
        one.write(bytes(600))
        with pytest.raises(FileFault, match="DELETE"):
            other.write(bytes(401))
        other.write(bytes(400))
    owner.put("c", 1000)


def test_what_another_server_wrote_or_deleted_counts_before_long(owner: Owner) -> None:
    owner.put("mine", 10)
    (owner.path / "theirs").write_bytes(bytes(900))
    owner.clock.now += FRESH_S
    owner.refuses("mine too", 200)
    (owner.path / "theirs").unlink()
    owner.clock.now += 1
    owner.put("mine too", 200)


@asynccontextmanager
async def client(here: Path, area: FileArea) -> AsyncIterator[httpx.AsyncClient]:
    """Yield who talks to a server of the area in the name of `ann`."""
    fd = os.open(here, os.O_RDONLY)
    socket = Path(f"/proc/self/fd/{fd}/s")
    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    async with (
        serving(FilesApp(area), socket),
        httpx.AsyncClient(
            transport=transport, base_url="http://files", headers={"X-Agentdock-Owner": "ann"}
        ) as made,
    ):
        yield made
    os.close(fd)


async def test_each_owner_has_a_quota_of_its_own_over_http(tmp_path: Path) -> None:
    async with client(tmp_path, FileArea(tmp_path / "files", QUOTA)) as made:
        assert (await made.put("/v1/files/a", content=bytes(900))).status_code == 201
        refused = await made.put("/v1/files/b", content=bytes(900))
        assert (refused.status_code, refused.json()["code"]) == (507, "over_quota")
        other = {"X-Agentdock-Owner": "bob"}
        put = await made.put("/v1/files/b", content=bytes(900), headers=other)
        assert put.status_code == 201
        assert [it["name"] for it in (await made.get("/v1/files/")).json()["items"]] == ["a"]


def half_written(folder: Path) -> subprocess.Popen[bytes]:
    """Return a process that writes a draft into a folder and then waits, holding it."""
    program = (
        "import os, sys; from mcp_servers.sandbox.area import Folder\n"
        f"fd = os.open({str(folder)!r}, os.O_RDONLY)\n"
        "with Folder(fd).draft(('x',)) as draft:\n"
        "    draft.write(b'half'); print(flush=True); sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


async def test_a_server_that_starts_sweeps_the_drafts_of_killed_ones_alone(tmp_path: Path) -> None:
    folder = tmp_path / "files" / "of-ann"
    folder.mkdir(parents=True)
    with half_written(folder) as killed, half_written(folder) as alive:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        for draft in folder.iterdir():
            os.utime(draft, (0, 0))
        assert len(os.listdir(folder)) == 2
        async with client(tmp_path, FileArea(tmp_path / "files")):
            async with asyncio.timeout(5):
                while len(os.listdir(folder)) > 1:  # noqa: ASYNC110  # a thread is at it
                    await asyncio.sleep(0.01)
        assert len(os.listdir(folder)) == 1
        alive.communicate()
    assert os.listdir(folder) == []


def test_a_draft_of_this_moment_is_never_swept(owner: Owner) -> None:
    """Its writer may not have locked it yet."""
    (owner.path / ".agentdock-draft-1").write_bytes(b"")
    measure(owner.fd)
    assert len(os.listdir(owner.path)) == 1
    os.utime(owner.path / ".agentdock-draft-1", (0, 0))
    assert measure(owner.fd) == (0, 0)
    assert os.listdir(owner.path) == []
