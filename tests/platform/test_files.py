"""Files through the whole platform: manager, nodes, and a tool server that serves files."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.platform.running import RunningPlatform, eventually, platform, share_files
from tests.platform.tools import files_profile, open_sandbox

pytestmark = pytest.mark.slow

MIB = 1 << 20


async def test_a_file_goes_in_and_out_whole_and_in_parts(tmp_path: Path) -> None:
    async with platform(tmp_path, {"one": files_profile()}) as running:
        box = await open_sandbox(running)
        for base in ("/v1/files", f"/v1/sandboxes/{box}/files"):
            url = f"{base}/a%20b/%C3%BC.bin"
            put = await running.client.put(url, content=b"0123456789")
            assert (put.status_code, put.json()) == (201, {"path": "a b/ü.bin", "size": 10})
            got = await running.client.get(url)
            assert (got.content, got.headers["content-type"]) == (
                b"0123456789",
                "application/octet-stream",
            )
            part = await running.client.get(url, headers={"Range": "bytes=2-4"})
            assert (part.status_code, part.content) == (206, b"234")
            assert part.headers["content-range"] == "bytes 2-4/10"
            assert (
                await running.client.get(url, headers={"Range": "bytes=99-"})
            ).status_code == 416
            head = await running.client.head(url)
            assert (head.headers["content-length"], head.headers["etag"]) == (
                "10",
                got.headers["etag"],
            )
            listed = (await running.client.get(f"{base}/")).json()["items"]
            assert [(it["name"], it["kind"]) for it in listed] == [("a b", "folder")]
            assert (await running.client.delete(url)).status_code == 204
            assert (await running.client.get(url)).json()["code"] == "not_found"


def rss(pid: int) -> int:
    """Return how much memory a process holds, in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def test_100_mib_pass_in_constant_memory(tmp_path: Path) -> None:
    piece = os.urandom(MIB)
    sent, got = hashlib.sha256(), hashlib.sha256()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            sent.update(piece)
            yield piece

    async with platform(tmp_path, {"one": files_profile()}) as running:
        child = (await running.servers("one"))["box"]["pid"]
        pids = [running.processes["manager"].pid, running.processes["one"].pid, child]
        await running.client.put("/v1/files/warm", content=bytes(10 * MIB))
        await running.client.get("/v1/files/warm")
        before = [rss(pid) for pid in pids]
        peak = list(before)

        def watch() -> None:
            peak[:] = [max(old, rss(pid)) for old, pid in zip(peak, pids, strict=True)]

        put = await running.client.put("/v1/files/big", content=pieces())
        watch()
        assert (put.status_code, put.json()["size"]) == (201, 100 * MIB)
        async with running.client.stream("GET", "/v1/files/big") as answer:
            async for part in answer.aiter_bytes():
                got.update(part)
                watch()
        over = await running.client.put("/v1/files/over", content=bytes(100 * MIB + 1))
        listed = (await running.client.get("/v1/files/")).json()["items"]
    assert got.digest() == sent.digest()
    assert (over.status_code, over.json()["code"]) == (413, "body_too_large")
    assert [item["name"] for item in listed] == ["big", "warm"]
    grown = [now - then for now, then in zip(peak, before, strict=True)]
    assert max(grown) < 16 * MIB, grown


def area(running: RunningPlatform, node_id: str = "one") -> Path:
    return running.folder / node_id / "files"


def drafts(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob(".agentdock-draft-*")]


@asynccontextmanager
async def half_sent(running: RunningPlatform, url: str) -> AsyncIterator[asyncio.StreamWriter]:
    """Send half of a file, until the tool server has a part of it; then yield the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(
        f"PUT {url} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {2 * MIB}\r\n\r\n".encode()
        + bytes(MIB)
    )

    async def arrived() -> bool:
        return any(path.stat().st_size for path in area(running).rglob(".agentdock-draft-*"))

    await eventually(arrived)
    yield writer
    writer.close()
    while await reader.read(1 << 16):
        continue


async def test_a_sender_that_hangs_up_leaves_nothing(tmp_path: Path) -> None:
    async with platform(tmp_path, {"one": files_profile()}) as running:
        async with half_sent(running, "/v1/files/x") as writer:
            writer.transport.abort()

            async def swept() -> bool:
                return drafts(area(running)) == []

            await eventually(swept)
        assert (await running.client.get("/v1/files/")).json()["items"] == []


async def test_a_reader_that_hangs_up_lets_the_file_go(tmp_path: Path) -> None:
    async with platform(tmp_path, {"one": files_profile()}) as running:
        await running.client.put("/v1/files/big", content=bytes(30 * MIB))
        child = (await running.servers("one"))["box"]["pid"]

        async def is_open() -> bool:
            links = Path(f"/proc/{child}/fd").iterdir()
            return any(str(link.readlink()).endswith("/big") for link in links)

        async def is_closed() -> bool:
            return not await is_open()

        async with running.client.stream("GET", "/v1/files/big") as answer:
            await anext(answer.aiter_raw(1000))
            assert await is_open()
        await eventually(is_closed)


async def read_on(parts: AsyncIterator[bytes]) -> None:
    async for _ in parts:
        continue


async def test_a_node_that_dies_in_mid_transfer_is_lost_to_its_callers(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield bytes(MIB)
        await gate.wait()
        for _ in range(50):
            yield bytes(MIB)

    async with platform(tmp_path, {"one": files_profile()}) as running:
        await running.client.put("/v1/files/big", content=bytes(30 * MIB))
        sending = asyncio.create_task(running.client.put("/v1/files/x", content=pieces()))

        async def arrived() -> bool:
            return drafts(area(running)) != []

        await eventually(arrived)
        async with running.client.stream("GET", "/v1/files/big") as answer:
            parts = answer.aiter_raw()
            await anext(parts)
            running.kill("one")
            with pytest.raises(httpx.RemoteProtocolError):
                await read_on(parts)
        gate.set()
        put = await sending
        assert (put.status_code, put.json()["code"]) == (502, "node_lost")


async def test_a_sandbox_is_looked_for_on_its_node_alone(tmp_path: Path) -> None:
    nodes = {"one": files_profile(), "two": files_profile()}
    share_files(tmp_path, *nodes)
    async with platform(tmp_path, nodes) as running:
        boxes: dict[str, str] = {}
        while set(boxes) != {"one", "two"}:
            box = await open_sandbox(running)
            boxes[box.partition(".")[0]] = box
        listed = (await running.client.get("/v1/sandboxes")).json()
        assert listed["failed"] == {}
        assert {it["sandbox_id"] for it in listed["sandboxes"]} >= set(boxes.values())
        for box in boxes.values():
            url = f"/v1/sandboxes/{box}"
            assert (await running.client.get(url)).json() == {"sandbox_id": box}
            assert (await running.client.put(f"{url}/files/x", content=b"x")).status_code == 201
        await running.client.put("/v1/files/shared", content=b"of both")
        running.kill("one")

        async def lost() -> bool:
            return bool((await running.nodes())["one"]["state"] == "lost")

        await eventually(lost, 15)
        for method, rest in (("GET", "/files/x"), ("PUT", "/files/x"), ("DELETE", ""), ("GET", "")):
            gone = await running.client.request(method, f"/v1/sandboxes/{boxes['one']}{rest}")
            assert (gone.status_code, gone.json()["code"]) == (410, "sandbox_lost")
        kept = await running.client.get(f"/v1/sandboxes/{boxes['two']}/files/x")
        assert kept.content == b"x"
        assert (await running.client.get("/v1/files/shared")).content == b"of both"
        listed = (await running.client.get("/v1/sandboxes")).json()
        assert list(listed["failed"]) == ["one"]
        assert {it["sandbox_id"].partition(".")[0] for it in listed["sandboxes"]} == {"two"}
        assert (await running.client.delete(f"/v1/sandboxes/{boxes['two']}")).status_code == 204
        running.kill("two")

        async def refused() -> bool:
            answer = await running.client.get("/v1/files/shared")
            return (answer.status_code, answer.json()["code"]) == (503, "no_node")

        await eventually(refused)


async def test_files_of_an_owner_are_on_one_machine_and_so_are_the_sandboxes(
    tmp_path: Path,
) -> None:
    """Two machines: each node has a file area of its own."""
    profiles = {"one": files_profile(), "two": files_profile()}
    async with platform(tmp_path, profiles) as running:
        homes: dict[str, set[str]] = {}
        for number in range(12):
            session = {"X-Session-Id": f"s{number}"}
            put = await running.client.put("/v1/files/x", content=b"mine", headers=session)
            assert put.status_code == 201
            for _ in range(6):
                got = await running.client.get("/v1/files/x", headers=session)
                assert (got.status_code, got.content) == (200, b"mine")
            boxes = [await open_sandbox(running, session) for _ in range(4)]
            [home] = {box.partition(".")[0] for box in boxes}
            homes.setdefault(home, set()).add(session["X-Session-Id"])
        assert set(homes) == {"one", "two"}
        for name, sessions in homes.items():
            assert len(list(area(running, name).rglob("x"))) == len(sessions)

        moved, stayed = (session_of(homes[name]) for name in ("one", "two"))
        running.kill("one", signal.SIGTERM)
        await asyncio.to_thread(running.processes["one"].wait, 20)

        async def away() -> bool:
            answer = await running.client.get("/v1/files/x", headers=moved)
            return (answer.status_code, answer.json()["code"]) == (503, "no_node")

        await eventually(away, 15)
        put = await running.client.put("/v1/files/x", content=b"else", headers=moved)
        assert put.status_code == 503
        assert (await running.client.get("/v1/files/x", headers=stayed)).content == b"mine"
        assert (await open_sandbox(running, moved)).startswith("two.")
        running.start_node("one", files_profile())
        await running.ready("one")
        assert (await running.client.get("/v1/files/x", headers=moved)).content == b"mine"


def session_of(sessions: set[str]) -> dict[str, str]:
    return {"X-Session-Id": min(sessions)}


async def test_a_transfer_outlives_the_change_of_its_entry(tmp_path: Path) -> None:
    """The new process serves what begins now, the old one finishes what it began."""
    async with platform(tmp_path, {"one": files_profile()}) as running:
        first = (await running.servers("one"))["box"]["pid"]
        async with half_sent(running, "/v1/files/x") as writer:
            profile = files_profile(extra="max_in_flight = 77\n")
            (tmp_path / "one.toml").write_text(profile)

            async def replaced() -> bool:
                return bool((await running.servers("one"))["box"]["pid"] not in (None, first))

            await eventually(replaced, 10)
            assert (await running.client.put("/v1/files/y", content=b"y")).status_code == 201
            writer.write(bytes(MIB))
            await writer.drain()

            async def arrived() -> bool:
                return (await running.client.head("/v1/files/x")).status_code == 200

            await eventually(arrived, 10)

        async def ended() -> bool:
            return not Path(f"/proc/{first}").exists()

        await eventually(ended, 10)
        sizes = {
            it["name"]: it["size"]
            for it in (await running.client.get("/v1/files/")).json()["items"]
        }
        assert sizes == {"x": 2 * MIB, "y": 1}


async def test_a_node_that_ends_leaves_no_socket(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        async with platform(tmp_path, {"one": files_profile()}, TMPDIR=name) as running:
            [folder] = temporary.glob("agentdock-files-*")
            assert [path.is_socket() for path in folder.iterdir()] == [True]
            assert folder.stat().st_mode & 0o077 == 0
            running.kill("one", signal.SIGTERM)
            await asyncio.to_thread(running.processes["one"].wait, 20)
        assert list(temporary.iterdir()) == []


async def test_one_who_keeps_too_much_is_told(tmp_path: Path) -> None:
    async with platform(tmp_path, {"one": files_profile("1000")}) as running:
        await running.client.put("/v1/files/a", content=bytes(900))
        over: Any = await running.client.put("/v1/files/b", content=bytes(2 * MIB))
        assert (over.status_code, over.json()["code"]) == (507, "over_quota")
        assert drafts(area(running)) == []
