"""The tool server that serves files for its node: what it is given, and what is relayed to it."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from nodes.files_socket import FilesPlaces
from nodes.host import Host
from nodes.profile import Profile, with_one_for_files
from tests.nodes.running import SCRIPTED, call_of, eventually, profile_of, scripted, text_of
from tests.nodes.test_app import PEER, node
from tests.nodes.test_host import is_ready, report_of
from wire.errors import ServerUnavailable
from wire.models import ServerState

ECHO = SCRIPTED.parent / "echo_files.py"


def entry_of(name: str, *options: str, extras: str = "files = true") -> str:
    """Return the entry of a tool server that echoes what it is asked for."""
    args = json.dumps(["-I", "-S", str(ECHO), *options])
    return (
        f'[mcpServers.{name}]\ncommand = "python"\nargs = {args}\n'
        f"[mcpServers.{name}.agentdock]\n{extras}\n"
    )


PROFILE = entry_of("box")
PLAIN = f'[mcpServers.tools]\ncommand = "python"\nargs = ["-I", "-S", "{SCRIPTED}"]\n'


async def environ(client: httpx.AsyncClient, server: str) -> dict[str, str]:
    answer = await client.post(f"/v1/tools/{server}__environ/call", json={})
    found: dict[str, str] = json.loads(answer.json()["content"][0]["text"])
    return {name: value for name, value in found.items() if name.startswith("AGENTDOCK_")}


async def test_it_alone_is_told_where_to_serve_and_to_keep(tmp_path: Path) -> None:
    async with node(tmp_path, PROFILE + PLAIN) as client:
        await eventually_ready(client, "box", "tools")
        told, others = await environ(client, "box"), await environ(client, "tools")
        added = {name: Path(told[name]) for name in told.keys() - others.keys()}
        socket = added.pop("AGENTDOCK_FILES_SOCKET")
        assert added == {
            "AGENTDOCK_FILES_DIR": tmp_path / "files",
            "AGENTDOCK_STATE_DIR": tmp_path / "nodes/node-1/box",
        }
        assert len(str(socket)) < 100
        for folder in (socket.parent, *added.values()):
            assert folder.stat().st_mode & 0o777 == 0o700
        assert (await client.get("/v1/servers")).json()["servers"][0]["files"] is True
    assert not socket.parent.exists()
    assert all(folder.is_dir() for folder in added.values())


async def eventually_ready(client: httpx.AsyncClient, *names: str) -> None:
    async with asyncio.timeout(5):
        while True:
            servers = (await client.get("/v1/servers")).json()["servers"]
            if {it["name"] for it in servers if it["state"] == "ready"} >= set(names):
                return
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("headers", "owner"),
    [
        ({}, "anonymous"),
        ({"X-Session-Id": "s1"}, "anonymous/s1"),
        ({"X-Agentdock-Owner": "alice"}, "anonymous"),
        ({**PEER, "X-Agentdock-Owner": "alice/s%201"}, "alice/s%201"),
        ({**PEER, "X-Agentdock-Owner": "al%2569ce"}, "al%2569ce"),
    ],
)
async def test_the_owner_is_whoever_calls_or_whom_a_manager_names(
    tmp_path: Path, headers: dict[str, str], owner: str
) -> None:
    async with node(tmp_path, PROFILE) as client:
        said = (await client.get("/v1/files/x", headers=headers)).json()
    assert said["headers"]["x-agentdock-owner"] == owner
    assert "authorization" not in said["headers"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/files"),
        ("GET", "/v1/sandboxes"),
        ("PUT", "/v1/files/a%20b/%25"),
        ("DELETE", "/v1/sandboxes/box.1"),
        ("PUT", "/v1/sandboxes/box.1/files/x"),
    ],
)
async def test_every_route_is_relayed(tmp_path: Path, method: str, path: str) -> None:
    content = b"12345" if method == "PUT" else None
    async with node(tmp_path, PROFILE) as client:
        said = (await client.request(method, path, content=content)).json()
    assert (said["method"], said["path"]) == (method, path)
    assert said["size"] == (5 if content else 0)


async def test_what_only_begins_alike_is_not_relayed(tmp_path: Path) -> None:
    async with node(tmp_path, PROFILE) as client:
        for path in ("/v1/filesystem", "/v1/sandboxes.txt"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("profile", "reason"),
    [(PLAIN, "no tool server that serves files"), (entry_of("box", "--no-files"), "not serve")],
)
async def test_without_a_server_of_files_nothing_happens(
    tmp_path: Path, profile: str, reason: str
) -> None:
    async with node(tmp_path, profile) as client:
        answer = await client.put("/v1/files/x", content=b"1")
    assert (answer.status_code, answer.json()["code"]) == (503, "server_unavailable")
    assert reason in answer.json()["detail"]


async def test_a_server_that_dies_in_mid_transfer_has_crashed(tmp_path: Path) -> None:
    async with node(tmp_path, PROFILE, restart_base_s=0.02) as client:
        answer = await client.put("/v1/files/die", content=b"1")
        assert (answer.status_code, answer.json()["code"]) == (502, "server_crashed")
        async with asyncio.timeout(5):
            while (again := await client.put("/v1/files/x", content=b"1")).status_code != 200:
                # What it still accepted while it died was cut off, too.
                assert again.json()["code"] in ("server_unavailable", "server_crashed")
                await asyncio.sleep(0.01)


async def test_only_one_entry_of_a_node_serves_files(tmp_path: Path) -> None:
    off = entry_of("off").replace("command", "enabled = false\ncommand")
    async with node(tmp_path, off + PROFILE + entry_of("rival")) as client:
        await eventually_ready(client, "box")
        servers = {it["name"]: it for it in (await client.get("/v1/servers")).json()["servers"]}
        assert (await client.get("/v1/files")).status_code == 200
    assert servers["rival"]["state"] == "failed"
    assert "'box' serves the files of this node already" in servers["rival"]["error"]
    assert servers["box"]["error"] is None


def echo(*options: str, **fields: Any) -> Any:
    args = ("-I", "-S", str(ECHO), *options)
    return scripted(name="box", args=args, files=True, **fields)


async def ask(host: Host, path: str = "/x") -> dict[str, Any]:
    with host.files() as socket:
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=socket)) as client:
            said: dict[str, Any] = (await client.get(f"http://files{path}")).json()
    return said


async def test_a_changed_entry_takes_over_what_begins_and_leaves_what_runs(host: Host) -> None:
    host.apply(profile_of(echo()))
    await eventually(lambda: is_ready(host, "box"))
    old = await ask(host)
    with host.files() as held:
        host.apply(profile_of(echo(timeout_s=50.0)))
        await eventually(lambda: report_of(host, "box").pid not in (None, old["pid"]))
        assert (await ask(host))["pid"] != old["pid"]
        assert Path(held).is_socket()
        assert Path(f"/proc/{old['pid']}").exists()
    await eventually(lambda: not Path(f"/proc/{old['pid']}").exists())
    await eventually(lambda: not Path(held).exists())


async def test_a_change_that_does_not_start_leaves_the_files_where_they_are(host: Host) -> None:
    host.apply(profile_of(echo()))
    await eventually(lambda: is_ready(host, "box"))
    old = await ask(host)
    host.apply(profile_of(echo("--crash-on-start")))
    await eventually(lambda: "does not start" in (report_of(host, "box").error or ""))
    assert (await ask(host))["pid"] == old["pid"]


async def test_a_drain_waits_for_transfers_and_takes_no_new_ones(host: Host) -> None:
    host.apply(profile_of(echo()))
    await eventually(lambda: is_ready(host, "box"))
    with host.files():
        draining = asyncio.create_task(host.drain(5))
        await eventually(lambda: host.draining)
        with pytest.raises(ServerUnavailable, match="draining"):
            await ask(host)
        assert not draining.done()
    await asyncio.wait_for(draining, 5)


async def test_a_server_whose_folders_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "nodes").write_text("in the way")
    async with node(tmp_path, PROFILE, ready=503) as client:
        async with asyncio.timeout(5):
            while True:
                [box] = (await client.get("/v1/servers")).json()["servers"]
                if box["error"]:
                    break
                await asyncio.sleep(0.01)
    assert box["state"] in (ServerState.BACKING_OFF, ServerState.FAILED)
    assert "AGENTDOCK_DATA_DIR" in box["error"]


def test_a_profile_with_one_for_files_is_left_as_it_is() -> None:
    profile = profile_of(echo())
    assert with_one_for_files(profile) is profile
    assert with_one_for_files(Profile()) == Profile()


async def test_sockets_are_removed_and_folders_stay(tmp_path: Path) -> None:
    places = FilesPlaces(tmp_path, "n")
    first, second = places.socket("box"), places.socket("box")
    paths = [Path(it.environ["AGENTDOCK_FILES_SOCKET"]) for it in (first, second)]
    assert paths[0] != paths[1]
    paths[0].touch()
    first.close()
    first.close()
    assert not paths[0].exists()
    places.close()
    places.close()
    assert not paths[0].parent.exists()
    assert (tmp_path / "nodes/n/box").is_dir()


async def test_nodes_that_share_a_file_area_give_it_one_name(tmp_path: Path) -> None:
    places = [
        FilesPlaces(tmp_path / data, node) for data, node in (("a", "n"), ("a", "m"), ("b", "n"))
    ]
    assert {it.area for it in places} == {""}
    for it in places:
        it.socket("box")
        it.close()
    assert places[0].area == places[1].area != places[2].area
    assert len(places[0].area) == 16
    again = FilesPlaces(tmp_path / "a", "n")
    again.socket("box")
    again.close()
    assert again.area == places[0].area
    assert os.listdir(tmp_path / "a" / "files") == [".agentdock-area"]


async def test_a_node_removes_the_sockets_of_killed_ones_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory() as base:
        monkeypatch.setattr(tempfile, "tempdir", base)
        alive = FilesPlaces(tmp_path, "n")
        alive.socket("box")
        [living] = Path(base).iterdir()
        dead, young = Path(base, "agentdock-files-dead"), Path(base, "agentdock-files-young")
        for folder in (dead, young):
            folder.mkdir()
            (folder / "1").touch()
        for folder in (living, dead):
            os.utime(folder, (0, 0))
        other = FilesPlaces(tmp_path, "m")
        other.socket("box")
        left = set(Path(base).iterdir())
        assert left >= {living, young}
        assert (len(left), dead in left) == (3, False)
        for places in (alive, other):
            places.close()


async def test_a_socket_has_a_short_path_wherever_temporary_files_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("x" * 60)))
    places = FilesPlaces(tmp_path, "n")
    assert len(places.socket("box").environ["AGENTDOCK_FILES_SOCKET"]) < 100
    places.close()


async def test_a_call_of_a_server_of_files_is_as_any_other(host: Host) -> None:
    host.apply(profile_of(echo()))
    await eventually(lambda: is_ready(host, "box"))
    reply = json.loads(await host.relay("box", call_of("echo", text="hi"), 5))
    assert text_of(reply) == "hi"
