"""Fetches that the server makes for the agent, at addresses that only it can reach."""

from __future__ import annotations

import socket

from tests.redteam.attack import Attack, shows, steps
from tests.redteam.promises import Promise
from tests.redteam.scene import NotRun, Scene


def fetches(name: str, *urls: str, breaks_plain: bool = False) -> Attack:
    """Return an attack that has URLs fetched, notations of the same idea one after the other.

    `{web}` and `{tcp}` in a URL are ports of the canaries, `{address}` is the machine's, and
    `{token}` tells that the request arrived.
    """

    @steps(name, Promise.TRANSFERS, breaks_plain=breaks_plain)
    async def run(scene: Scene) -> str | None:
        facts = scene.facts
        known = {"web": facts["WEB_PORT"], "tcp": facts["TCP_PORT"], "token": scene.token}
        known |= {"address": facts["HOST_ADDRESS"], "file": facts["HOST_FILE"]}
        known |= {"name": socket.gethostname()}
        found = [await fetch(scene, url.format(**known)) for url in urls]
        return next((evidence for evidence in found if evidence), None)

    return run


async def fetch(scene: Scene, url: str) -> str | None:
    """Have a URL fetched and look whether it was, and what came into the sandbox."""
    reply = scene.keep(await scene.agent.fetch(await scene.sandbox(), url))
    if reply.status in (404, 422):
        raise NotRun(reply.raw[:300])
    scene.keep(await scene.agent.command(await scene.sandbox(), "grep -rs canary- . ; true"))
    arrived = scene.arena.canaries.arrivals(scene.token)
    if arrived:
        return f"{url} was fetched from {arrived}"
    return next((f for name in ("web", "host_file", "greeting") if (f := shows(name)(scene))), None)


@steps("fetch-special-ranges", Promise.TRANSFERS)
async def special_ranges(scene: Scene) -> str | None:
    """Each address that is not public is refused as loopback is, not tried until time is up."""
    sandbox = await scene.sandbox()
    known = await scene.agent.fetch(sandbox, "http://127.0.0.1:9/")
    for host in (
        "169.254.169.254",
        "[fd00:ec2::254]",
        "100.64.0.1",
        "198.18.0.1",
        "240.0.0.1",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "224.0.0.1",
    ):
        reply = scene.keep(await scene.agent.fetch(sandbox, f"http://{host}:9/{scene.token}"))
        if reply.fields.get("error_kind") != known.fields.get("error_kind") or reply.seconds > 2:
            return f"{host} was tried: {reply.text[:200]}"
    return None


@steps("fetch-by-redirection", Promise.TRANSFERS, breaks_plain=True)
async def redirection(scene: Scene) -> str | None:
    """A first address sends the fetcher on to another; both are refused by themselves."""
    port = scene.facts["WEB_PORT"]
    target = f"http%3A//localhost%3A{port}/{scene.token}"
    return await fetch(scene, f"http://127.0.0.1:{port}/to/{target}")


@steps("fetch-onto-the-host", Promise.TRANSFERS, breaks_plain=True)
async def fetch_onto_the_host(scene: Scene) -> str | None:
    """The file that is fetched goes to a path of the host."""
    url = f"http://127.0.0.1:{scene.facts['WEB_PORT']}/file"
    path = f"{scene.facts['HOST_FOLDER']}/landed"
    scene.keep(await scene.agent.fetch(await scene.sandbox(), url, path))
    return scene.arena.canaries.spoiled()


ATTACKS = (
    fetches("fetch-loopback", "http://127.0.0.1:{web}/{token}", breaks_plain=True),
    fetches(
        "fetch-loopback-as-numbers",
        "http://2130706433:{web}/{token}",
        "http://0x7f.0x0.0x0.0x1:{web}/{token}",
        "http://0177.0.0.01:{web}/{token}",
        "http://127.1:{web}/{token}",
        breaks_plain=True,
    ),
    fetches(
        "fetch-loopback-by-version-6",
        "http://[::1]:{web}/{token}",
        "http://[0:0:0:0:0:ffff:127.0.0.1]:{web}/{token}",
        "http://[::ffff:7f00:1]:{web}/{token}",
    ),
    fetches(
        "fetch-the-unspecified-address",
        "http://0.0.0.0:{web}/{token}",
        "http://[::]:{web}/{token}",
        "http://0:{web}/{token}",
        breaks_plain=True,
    ),
    fetches(
        "fetch-local-names",
        "http://LocalHost:{web}/{token}",
        "http://localhost.:{web}/{token}",
        "http://{name}:{web}/{token}",
        breaks_plain=True,
    ),
    fetches(
        "fetch-disguised-hosts",
        "http://%31%32%37.0.0.1:{web}/{token}",
        "http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460:{web}/{token}",
        "http://127\u3002" + "0\u3002" + "0\u3002" + "1:{web}/{token}",
        breaks_plain=True,
    ),
    fetches(
        "fetch-behind-a-user-part",
        "http://example.com@127.0.0.1:{web}/{token}",
        "http://example.com%2f@127.0.0.1:{web}/{token}",
        "http://127.0.0.1:{web}\\@example.com/{token}",
    ),
    fetches(
        "fetch-the-address-of-the-machine", "http://{address}:{web}/{token}", breaks_plain=True
    ),
    fetches("fetch-a-file", "file://{file}", "file://localhost{file}", breaks_plain=True),
    fetches(
        "fetch-by-other-schemes",
        "ftp://127.0.0.1:{tcp}/{token}",
        "gopher://127.0.0.1:{tcp}/_{token}",
    ),
    fetches("fetch-with-a-smuggled-header", "http://127.0.0.1:{web}/x\r\nX-Key: {token}"),
    special_ranges,
    redirection,
    fetch_onto_the_host,
)
