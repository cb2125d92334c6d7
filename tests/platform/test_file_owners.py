"""Whose files and sandboxes are reached through the whole platform, and whose are not."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import httpx
import pytest

from tests.platform.running import eventually, platform
from tests.platform.tools import files_profile, open_sandbox

pytestmark = pytest.mark.slow

KEYS = "ann:agent:ann-key-0123456789abcd,bob:agent:bob-key-0123456789abcd"


def key(name: str, session: str | None = None) -> dict[str, str]:
    """Return the headers of a caller."""
    headers = {"X-API-Key": f"{name}-key-0123456789abcd"}
    return headers if session is None else headers | {"X-Session-Id": session}


async def test_owners_have_their_own_files_and_sandboxes(tmp_path: Path) -> None:
    area = tmp_path / "one/files"
    environ = {"AGENTDOCK_MANAGER_API_KEYS": KEYS}
    async with platform(tmp_path, {}, **environ) as running:
        running.client.headers.update(key("ann"))
        running.start_node("one", files_profile())

        async def ready() -> bool:
            return (await running.client.get("/v1/files/")).status_code == 200

        await eventually(ready, 20)
        box = await open_sandbox(running, key("ann", "s1"))
        for owner in (key("ann"), key("ann", "s1"), key("bob")):
            content = str(owner).encode()
            url = "/v1/files/mine"
            assert (await running.client.put(url, content=content, headers=owner)).is_success
        for owner in (key("ann"), key("ann", "s1"), key("bob")):
            got = await running.client.get("/v1/files/mine", headers=owner)
            assert got.content == str(owner).encode()
        for owner in (key("ann"), key("ann", "s2"), key("bob", "s1")):
            claim = owner | {"X-Agentdock-Owner": "ann/s1", "Connection": "x-agentdock-owner"}
            for url in (f"/v1/sandboxes/{box}", f"/v1/sandboxes/{box}/files/"):
                assert (await running.client.get(url, headers=claim)).status_code == 404
            deleted = await running.client.delete(f"/v1/sandboxes/{box}", headers=claim)
            assert deleted.status_code == 404
            listed = await running.client.get("/v1/sandboxes", headers=claim)
            assert listed.json()["sandboxes"] == []
        mine = await running.client.get(f"/v1/sandboxes/{box}", headers=key("ann", "s1"))
        assert mine.json() == {"sandbox_id": box}
        async with httpx.AsyncClient(base_url=running.url) as nobody:
            for method in ("GET", "PUT", "DELETE"):
                refused = await nobody.request(method, "/v1/files/mine")
                assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
            wrong = await nobody.get("/v1/files/mine", headers={"X-API-Key": "nobody's key 123456"})
            assert wrong.status_code == 401
    assert sorted(path.name for path in area.iterdir()) == [
        ".agentdock-area",
        "of-ann",
        "of-ann%2Fs1",
        "of-bob",
    ]


async def raw(port: int, method: str, path: str) -> tuple[int, bytes]:
    """Send a request with exactly this path; return status and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = b"evil" if method == "PUT" else b""
    writer.write(
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n".encode()
        + body
    )
    answer = await reader.read()
    writer.close()
    head, _, text = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), text


WAYS_OUT = [
    "../canary",
    "../../canary",
    "a/../../canary",
    "%2e%2e/canary",
    "%2e%2e%2f%2e%2e%2fcanary",
    "..%2fcanary",
    ".%2e/canary",
    "%2E%2E/canary",
    "a%00/../canary",
    "canary%00.txt",
    "%c0%ae%c0%ae/canary",
    "%ff/canary",
    "a/%2e%2e/%2e%2e/canary",
]


@pytest.mark.parametrize("through", ["manager", "node"])
async def test_no_path_leads_out(tmp_path: Path, through: str) -> None:
    async with platform(tmp_path, {"one": files_profile()}) as running:
        box = await open_sandbox(running)
        area, boxes = tmp_path / "one/files", tmp_path / "one/nodes/one/box"
        places = [area, area / "of-anonymous", boxes, boxes / box, tmp_path]
        await running.client.put("/v1/files/a/here", content=b"")
        for place in places:
            if place.name not in ("of-anonymous", box):
                (place / "canary").write_text("sings")
        before = {str(place): sorted(os.listdir(place)) for place in places}
        port = running.port if through == "manager" else running.ports["one"]
        for base in ("/v1/files", f"/v1/sandboxes/{box}/files"):
            for way in WAYS_OUT:
                for method in ("GET", "PUT", "DELETE"):
                    status, body = await raw(port, method, f"{base}/{way}")
                    assert status == 400, (method, base, way, body)
                    assert b"sings" not in body
        assert {str(place): sorted(os.listdir(place)) for place in places} == before
        # An absolute path is one beneath the folder, however many slashes it begins with.
        for way in ("//etc/passwd", "/%2Fetc%2Fpasswd", "/./etc/passwd"):
            assert (await raw(port, "GET", f"/v1/files{way}"))[0] == 404
