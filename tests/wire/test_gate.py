"""Who and what the gate lets in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fakes.memory_catalogue import MemoryCatalogue, says
from tests.wire.conftest import Connect
from wire.files import MAX_FILE_BYTES

TOOLS = {"box.say": says("hi")}
CALL = "/v1/tools/say/call"


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.5", ""])
@pytest.mark.parametrize("path", ["/v1/tools", "/mcpapi/tools", "/mcp", "/sse", "/livez", "/docs"])
async def test_a_forged_host_is_refused_on_every_face(
    connect: Connect, host: str, path: str
) -> None:
    async with connect(MemoryCatalogue(TOOLS)) as client:
        answer = await client.get(path, headers={"Host": host})
    assert answer.status_code == 421
    assert "host_refused" in answer.text


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080", "LOCALHOST"])
async def test_loopback_names_are_answered_for(connect: Connect, host: str) -> None:
    async with connect(MemoryCatalogue(TOOLS)) as client:
        assert (await client.get("/v1/tools", headers={"Host": host})).status_code == 200


async def test_beyond_loopback_addresses_and_listed_names_are_answered_for(
    connect: Connect,
) -> None:
    policy = {"loopback": False, "hosts": frozenset({"dock.lan"})}
    async with connect(MemoryCatalogue(TOOLS), **policy) as client:
        for host, status in [("10.0.0.5:8080", 200), ("dock.lan", 200), ("evil.example", 421)]:
            answer = await client.get("/v1/tools", headers={"Host": host})
            assert answer.status_code == status, host


@pytest.mark.parametrize("path", [CALL, "/mcpapi/tool/say", "/call_tool", "/mcp", "/messages"])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:9999"])
async def test_a_foreign_origin_is_refused_on_every_face(
    connect: Connect, path: str, origin: str
) -> None:
    async with connect(MemoryCatalogue(TOOLS)) as client:
        answer = await client.post(path, json={}, headers={"Origin": origin})
    assert answer.status_code == 403
    assert "origin_refused" in answer.text


async def test_a_page_of_a_listed_origin_can_call_through_a_browser(connect: Connect) -> None:
    origin = "https://dashboard.example"
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    async with connect(MemoryCatalogue(TOOLS), origins=frozenset({origin})) as client:
        preflight = await client.options(CALL, headers={"Origin": origin, **asks})
        answer = await client.post(CALL, json={}, headers={"Origin": origin})
        foreign = await client.options(CALL, headers={"Origin": "http://evil.example", **asks})
    assert preflight.status_code == 200
    assert "x-api-key" in preflight.headers["access-control-allow-headers"]
    assert answer.headers["access-control-allow-origin"] == origin
    assert "access-control-allow-origin" not in foreign.headers


async def test_our_own_origin_and_listed_ones_are_let_in(connect: Connect) -> None:
    policy = {"origins": frozenset({"https://dashboard.example"})}
    async with connect(MemoryCatalogue(TOOLS), **policy) as client:
        for origin in ("http://localhost", "https://dashboard.example"):
            answer = await client.post(CALL, json={}, headers={"Origin": origin})
            assert answer.status_code == 200


@pytest.mark.parametrize("path", [CALL, "/mcpapi/tool/say", "/call_tool", "/mcp", "/messages"])
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_a_body_that_is_not_json_is_refused_on_every_face(
    connect: Connect, path: str, kind: str | None
) -> None:
    catalogue = MemoryCatalogue(TOOLS)
    async with connect(catalogue) as client:
        headers = {} if kind is None else {"Content-Type": kind}
        answer = await client.post(path, content=b'{"arguments":{}}', headers=headers)
    assert answer.status_code == 415
    assert "unsupported_media_type" in answer.text
    assert catalogue.calls == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer agent-key-0123456789"},
        {"Authorization": "bearer  agent-key-0123456789 "},
        {"X-API-Key": "agent-key-0123456789"},
    ],
)
async def test_a_key_is_taken_as_bearer_or_as_x_api_key(
    connect: Connect, headers: dict[str, str]
) -> None:
    catalogue = MemoryCatalogue(TOOLS)
    async with connect(catalogue) as client:
        answer = await client.post(CALL, json={}, headers=headers | {"X-Session-Id": "r-1"})
    assert answer.status_code == 200
    assert str(catalogue.calls[0].owner) == "alice/r-1"


@pytest.mark.parametrize(
    "headers", [{"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}, {"X-API-Key": ""}]
)
async def test_a_wrong_key_is_refused_and_never_echoed(
    connect: Connect, headers: dict[str, str]
) -> None:
    async with connect(MemoryCatalogue(TOOLS)) as client:
        answer = await client.post(CALL, json={}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "wrong" not in answer.text


async def test_a_body_over_the_limit_is_refused(connect: Connect) -> None:
    catalogue = MemoryCatalogue(TOOLS)
    async with connect(catalogue, max_body_bytes=1000) as client:
        answer = await client.post(CALL, json={"arguments": {"x": "y" * 1000}})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert catalogue.calls == []


async def test_a_body_over_the_limit_is_refused_before_it_is_read(connect: Connect) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 10_000

    async with connect(MemoryCatalogue(TOOLS), max_body_bytes=100_000) as client:
        for path in (CALL, "/mcp", "/take"):
            headers = {"Content-Type": "application/json"}
            answer = await client.post(path, content=endless(), headers=headers)
            assert 400 <= answer.status_code < 500, path
            declared = await client.post(
                path, content=b"x", headers=headers | {"Content-Length": "999999"}
            )
            assert (declared.status_code, declared.json()["code"]) == (413, "body_too_large"), path


async def test_a_session_name_with_odd_characters_is_refused(connect: Connect) -> None:
    async with connect(MemoryCatalogue(TOOLS)) as client:
        answer = await client.post(CALL, json={}, headers={"X-Session-Id": "a/b"})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize("path", ["/v1/files/x", "/v1/sandboxes/one.2/files/x"])
async def test_a_file_may_be_of_any_type_and_longer_than_other_bodies(
    connect: Connect, path: str
) -> None:
    """It gets past the gate, behind which nobody serves files here."""
    async with connect(MemoryCatalogue(TOOLS), max_body_bytes=10) as client:
        for kind in ("text/plain", "application/x-www-form-urlencoded", None):
            headers = {"Content-Type": kind} if kind else {}
            put = await client.put(path, content=bytes(1000), headers=headers)
            assert put.status_code == 404, kind
            assert (await client.post(path, content=b"1", headers=headers)).status_code == 415
        long = {"Content-Length": str(MAX_FILE_BYTES + 1)}
        assert (await client.put(path, headers=long, content=b"1")).status_code == 413
        assert (await client.put("/v1/filesystem", content=b"1")).status_code == 415
        elsewhere = await client.put("/v1/tools/x", content=b"{}", headers={"Content-Type": "a/b"})
        assert elsewhere.status_code == 415


async def test_no_foreign_page_puts_a_file(connect: Connect) -> None:
    async with connect(MemoryCatalogue(TOOLS)) as client:
        page = {"Origin": "http://evil.example"}
        assert (await client.put("/v1/files/x", content=b"1", headers=page)).status_code == 403
        host = {"Host": "evil.example"}
        assert (await client.put("/v1/files/x", content=b"1", headers=host)).status_code == 421
        asks = {**page, "Access-Control-Request-Method": "PUT"}
        preflight = await client.options("/v1/files/x", headers=asks)
        assert "access-control-allow-origin" not in preflight.headers
