"""Files over the unix socket, and transfers between an owner, its sandboxes and the Internet."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from mcp_servers.sandbox.area import Folder
from mcp_servers.sandbox.files_server import FilesApp, serving
from mcp_servers.sandbox.transfers import FileArea, NoWorkspace, Refusal, Transfers
from tests.mcp_servers.fetching.scripted import fetcher, http, saying
from tests.mcp_servers.fetching.scripted import serving as web

LIMIT = 1_000_000


class Sandboxes:
    """Workspaces in folders of a test; each belongs to one owner."""

    def __init__(self, root: Path, owners: dict[str, str]) -> None:
        self._root = root
        self._owners = owners
        for name in owners:
            (root / name).mkdir(parents=True)

    def list(self, owner: str) -> list[dict[str, Any]]:
        return [{"sandbox_id": name} for name, its in self._owners.items() if its == owner]

    async def close(self, sandbox_id: str, owner: str) -> None:
        self._check(sandbox_id, owner)
        del self._owners[sandbox_id]

    def _check(self, sandbox_id: str, owner: str) -> None:
        if self._owners.get(sandbox_id) != owner:
            raise NoWorkspace(f"[ERROR]: Failed to connect to sandbox {sandbox_id}.")

    @asynccontextmanager
    async def opened(self, sandbox_id: str, owner: str) -> AsyncIterator[Folder]:
        self._check(sandbox_id, owner)
        fd = os.open(self._root / sandbox_id, os.O_RDONLY)
        try:
            yield Folder(fd)
        finally:
            os.close(fd)


@pytest.fixture
def sandboxes(tmp_path: Path) -> Sandboxes:
    return Sandboxes(tmp_path / "boxes", {"box": "ann", "other": "bob/run"})


@pytest.fixture
async def ann(tmp_path: Path, sandboxes: Sandboxes) -> AsyncIterator[httpx.AsyncClient]:
    """Talks to the socket in the name of the owner `ann`."""
    app = FilesApp(FileArea(tmp_path / "files"), sandboxes, LIMIT)
    # Beneath the descriptor's path, since a socket's own must be short.
    here = os.open(tmp_path, os.O_RDONLY)
    path = Path(f"/proc/self/fd/{here}/s")
    async with serving(app, path), client(path, "ann") as made:
        yield made
    assert not path.exists()
    os.close(here)


def client(path: Path, owner: str) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    headers = {"X-Agentdock-Owner": owner}
    return httpx.AsyncClient(transport=transport, base_url="http://files", headers=headers)


def answer(response: httpx.Response) -> tuple[int, str]:
    """Return status and code of a refusal, which is a problem document."""
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == response.status_code
    assert problem["detail"]
    return response.status_code, problem["code"]


@pytest.mark.parametrize("base", ["/v1/files", "/v1/sandboxes/box/files"])
async def test_a_file_is_put_read_listed_and_deleted(ann: httpx.AsyncClient, base: str) -> None:
    url = f"{base}/a%20b/ü.bin"
    put = await ann.put(url, content=b"one")
    assert (put.status_code, put.json()) == (201, {"path": "a b/ü.bin", "size": 3})
    assert (await ann.put(url, content=b"second")).status_code == 200
    got = await ann.get(url)
    assert (got.content, got.headers["accept-ranges"]) == (b"second", "bytes")
    head = await ann.head(url)
    assert (head.content, head.headers["content-length"]) == (b"", "6")
    assert head.headers["etag"] == got.headers["etag"]
    listed = (await ann.get(f"{base}/a%20b/")).json()
    assert [(item["name"], item["size"]) for item in listed["items"]] == [("ü.bin", 6)]
    assert (await ann.delete(url)).status_code == 204
    assert answer(await ann.get(url)) == (404, "not_found")
    assert answer(await ann.delete(url)) == (404, "not_found")


@pytest.mark.parametrize(
    ("wanted", "status", "body", "content_range"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=5-99", 206, b"56789", "bytes 5-9/10"),
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        ("bytes=5-2", 416, None, "bytes */10"),
    ],
)
async def test_a_range_is_what_is_sent(
    ann: httpx.AsyncClient, wanted: str, status: int, body: bytes | None, content_range: str | None
) -> None:
    await ann.put("/v1/files/digits", content=b"0123456789")
    got = await ann.get("/v1/files/digits", headers={"Range": wanted})
    assert (got.status_code, got.headers.get("content-range")) == (status, content_range)
    if body is None:
        assert answer(got) == (416, "range_not_satisfiable")
    else:
        assert got.content == body


async def test_a_range_of_a_changed_file_is_the_whole_file(ann: httpx.AsyncClient) -> None:
    await ann.put("/v1/files/f", content=b"old")
    tag = (await ann.head("/v1/files/f")).headers["etag"]
    await ann.put("/v1/files/f", content=b"newer")
    got = await ann.get("/v1/files/f", headers={"Range": "bytes=0-0", "If-Range": tag})
    assert (got.status_code, got.content) == (200, b"newer")


@pytest.mark.parametrize("announced", [True, False])
async def test_a_file_over_the_limit_is_refused_and_leaves_nothing(
    ann: httpx.AsyncClient, announced: bool
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(LIMIT // 10_000 + 1):
            yield bytes(10_000)

    content: Any = bytes(LIMIT + 1) if announced else pieces()
    assert answer(await ann.put("/v1/files/big", content=content)) == (413, "body_too_large")
    assert (await ann.get("/v1/files/")).json()["items"] == []
    assert (await ann.put("/v1/files/fits", content=bytes(LIMIT))).status_code == 201


async def test_a_sender_that_hangs_up_leaves_nothing(ann: httpx.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        await ann.put("/v1/files/half", content=pieces())
    assert (await ann.get("/v1/files/")).json()["items"] == []


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("PUT", "/v1/files/", (400, "bad_request")),
        ("DELETE", "/v1/files/", (400, "bad_request")),
        ("GET", "/v1/files/%2e%2e/x", (400, "bad_request")),
        ("PUT", "/v1/files/a%2f%2e%2e%2fx", (400, "bad_request")),
        ("PUT", "/v1/files/a%00b", (400, "bad_request")),
        ("PUT", "/v1/files/a%ffb", (400, "bad_request")),
        ("PATCH", "/v1/files/a", (405, "bad_request")),
        ("GET", "/v1/elsewhere", (404, "not_found")),
        ("PUT", "/v1/files/.agentdock-draft-1", (400, "bad_request")),
        ("GET", "/v1/files/none/", (404, "not_found")),
        ("GET", "/v1/files/folder", (409, "is_a_folder")),
        ("PUT", "/v1/files/folder", (409, "is_a_folder")),
        ("DELETE", "/v1/files/folder", (409, "folder_not_empty")),
        ("GET", "/v1/sandboxes/other/files/x", (404, "not_found")),
        ("PUT", "/v1/sandboxes/none/files/x", (404, "not_found")),
    ],
)
async def test_what_cannot_be_done_is_answered_in_words(
    ann: httpx.AsyncClient, method: str, path: str, expected: tuple[int, str]
) -> None:
    await ann.put("/v1/files/folder/file", content=b"")
    assert answer(await ann.request(method, path)) == expected


async def test_owners_do_not_see_each_other(ann: httpx.AsyncClient, tmp_path: Path) -> None:
    await ann.put("/v1/files/mine", content=b"secret of ann")
    for owner in ("ann/run", "bob", "..", ".", "ann%2F..", "x" * 500):
        headers = {"X-Agentdock-Owner": owner}
        assert answer(await ann.get("/v1/files/mine", headers=headers)) == (404, "not_found")
        assert (await ann.put("/v1/files/own", headers=headers, content=b"")).status_code == 201
    assert (await ann.get("/v1/files/mine")).content == b"secret of ann"
    assert len(os.listdir(tmp_path / "files")) == 7
    assert answer(await ann.get("/v1/files/", headers={"X-Agentdock-Owner": ""}))[0] == 400


async def test_an_owner_lists_shows_and_closes_its_sandboxes(ann: httpx.AsyncClient) -> None:
    assert (await ann.get("/v1/sandboxes")).json() == {"sandboxes": [{"sandbox_id": "box"}]}
    assert (await ann.get("/v1/sandboxes/box")).json() == {"sandbox_id": "box"}
    for other in ("other", "none"):
        assert answer(await ann.get(f"/v1/sandboxes/{other}")) == (404, "not_found")
        assert answer(await ann.delete(f"/v1/sandboxes/{other}")) == (404, "not_found")
    assert (await ann.delete("/v1/sandboxes/box")).status_code == 204
    assert answer(await ann.get("/v1/sandboxes/box")) == (404, "not_found")
    assert (await ann.get("/v1/sandboxes")).json() == {"sandboxes": []}


async def test_without_sandboxes_there_is_none(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    path = Path(f"/proc/self/fd/{here}/s")
    async with serving(FilesApp(FileArea(tmp_path / "files")), path), client(path, "ann") as made:
        assert (await made.get("/v1/sandboxes")).json() == {"sandboxes": []}
        for url in ("/v1/sandboxes/box", "/v1/sandboxes/box/files/x"):
            assert answer(await made.get(url)) == (404, "not_found")
    os.close(here)


async def test_a_successor_takes_the_socket_over(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    path = Path(f"/proc/self/fd/{here}/s")
    async with (
        serving(FilesApp(FileArea(tmp_path / "new")), path),
        serving(FilesApp(FileArea(tmp_path / "newer")), path),
        client(path, "ann") as made,
    ):
        await made.put("/v1/files/here", content=b"")
    assert not path.exists()
    os.close(here)
    assert (tmp_path / "newer").exists()
    assert not (tmp_path / "new").exists()


def transfers(tmp_path: Path, sandboxes: Sandboxes, *servers: Any, limit: int = LIMIT) -> Transfers:
    return Transfers(FileArea(tmp_path / "files"), sandboxes, fetcher(*servers), limit)


def names(folder: Path) -> Sequence[str]:
    return sorted(os.listdir(folder))


async def test_a_file_goes_to_a_sandbox_and_comes_back(
    ann: httpx.AsyncClient, tmp_path: Path, sandboxes: Sandboxes
) -> None:
    await ann.put("/v1/files/in/data.csv", content=b"1,2")
    move = transfers(tmp_path, sandboxes)
    text = await move.upload("ann", "box", "in/data.csv", "/home/user")
    assert text == "File uploaded to /home/user/data.csv"
    text = await move.upload("ann", "box", "in/data.csv", "/home/user/deep/er/")
    assert text == "File uploaded to /home/user/deep/er/data.csv"
    text = await move.download("ann", "box", "/home/user/deep/er/data.csv", None)
    assert text == "File downloaded successfully to: data.csv"
    text = await move.download("ann", "box", "data.csv", "out/renamed.csv")
    assert text == "File downloaded successfully to: out/renamed.csv"
    assert (await ann.get("/v1/files/out/renamed.csv")).content == b"1,2"


async def test_a_url_is_fetched_into_a_sandbox(tmp_path: Path, sandboxes: Sandboxes) -> None:
    async with web(saying(http(b"fetched"))) as server:
        move = transfers(tmp_path, sandboxes, server)
        text = await move.fetch("ann", "box", f"{server.url}/a/b.txt?x=1", "/home/user")
        assert text == "File downloaded to /home/user/b.txt"
        text = await move.fetch("ann", "box", server.url, "sub")
        assert text == "File downloaded to /home/user/sub/download"
    assert (tmp_path / "boxes/box/b.txt").read_bytes() == b"fetched"


async def test_a_fetch_that_fails_leaves_nothing(tmp_path: Path, sandboxes: Sandboxes) -> None:
    broken = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
    async with web(saying(broken)) as server:
        move = transfers(tmp_path, sandboxes, server)
        with pytest.raises(Refusal, match="hung up in the middle"):
            await move.fetch("ann", "box", f"{server.url}/x", "/home/user")
        for url, reason in (
            ("http://169.254.169.254/latest", "only public addresses"),
            ("file:///etc/passwd", "http:// or https://"),
            ("no url", "http:// or https://"),
        ):
            with pytest.raises(Refusal, match=reason):
                await move.fetch("ann", "box", url, "/home/user")
    assert names(tmp_path / "boxes/box") == []


async def test_what_is_too_large_is_refused_on_every_way(
    ann: httpx.AsyncClient, tmp_path: Path, sandboxes: Sandboxes
) -> None:
    await ann.put("/v1/files/data", content=bytes(2000))
    (tmp_path / "boxes/box/data").write_bytes(bytes(2000))
    async with web(saying(http(bytes(2000)))) as server:
        move = transfers(tmp_path, sandboxes, server, limit=1000)
        for transfer in (
            move.upload("ann", "box", "data", "new"),
            move.download("ann", "box", "data", "new"),
            move.fetch("ann", "box", server.url, "new"),
        ):
            with pytest.raises(Refusal, match="over 1000 bytes"):
                await transfer


@pytest.mark.parametrize("path", ["/etc/passwd", "../box/x", "/home/user/../../etc/passwd", ""])
async def test_nothing_else_of_the_node_is_moved(
    tmp_path: Path, sandboxes: Sandboxes, path: str
) -> None:
    (tmp_path / "boxes/box/x").write_bytes(b"")
    move = transfers(tmp_path, sandboxes)
    for transfer in (
        move.upload("ann", "box", path, "/home/user"),
        move.download("ann", "box", path, None),
    ):
        with pytest.raises(Refusal, match=r"^\[ERROR\]: Failed to"):
            await transfer


async def test_a_local_path_is_one_in_the_owners_folder(
    tmp_path: Path, sandboxes: Sandboxes
) -> None:
    (tmp_path / "boxes/box/x").write_bytes(b"")
    move = transfers(tmp_path, sandboxes)
    await move.download("ann", "box", "x", "/etc/passwd")
    assert (tmp_path / "files/of-ann/etc/passwd").exists()
    with pytest.raises(Refusal):
        await move.download("ann", "box", "x", "../passwd")


async def test_a_sandbox_of_another_owner_is_none(tmp_path: Path, sandboxes: Sandboxes) -> None:
    move = transfers(tmp_path, sandboxes)
    with pytest.raises(Refusal, match="Failed to connect to sandbox other"):
        await move.download("ann", "other", "x", None)
    with pytest.raises(Refusal, match="Failed to connect to sandbox box"):
        await move.download("ann/run", "box", "x", None)
