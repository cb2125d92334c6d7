"""The web server on the platform: plugged as the shipped profile says, called by the manager."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.scripted_api import ScriptedApi, scripted_api
from tests.fakes.search_shapes import SERPER
from tests.guards.source import ROOT
from tests.mcp_servers.web.pages import need_chromium
from tests.platform.running import RunningPlatform, platform

pytestmark = pytest.mark.slow

KEY = "key-of-the-platform-4711"
PAGE = b"""<html><head><title>Of apples</title></head><body><article><h1>Of apples</h1>
<p>The apple is a round fruit that grows on trees in temperate lands, and its seeds are dark.</p>
<p>The Boskoop was found in 1856 in a village of the Netherlands, and is sour.</p>
</article></body></html>"""
SHELL = b"""<html><head><title>App</title></head><body><div id="root"></div><script>
const words = "No word of this is in the document. ".repeat(20);
document.getElementById("root").innerHTML = `<h1>Made by scripts</h1><p>${words}</p>`;
</script></body></html>"""


def shipped() -> str:
    """Return the part of the shipped profile that plugs the web server."""
    profile = tomllib.loads((ROOT / "nodes" / "profiles" / "explore.toml").read_text())
    extras = profile["mcpServers"]["web"]["agentdock"]
    lines = [f"{name} = {json.dumps(value)}" for name, value in extras.items()]
    return "\n".join(
        [
            "[mcpServers.web]",
            'command = "python"',
            'args = ["-m", "mcp_servers.web"]',
            "[mcpServers.web.agentdock]",
            *lines,
        ]
    )


def environment(folder: Path, provider: ScriptedApi, site: ScriptedApi) -> dict[str, str]:
    return {
        "SERPER_API_KEY": KEY,
        "SERPER_BASE_URL": provider.url,
        "WEB_SEARCH_PROVIDERS": "serper",
        "WEB_CACHE_DIR": str(folder / "cache"),
        "FETCH_ALLOWED_HOSTS": site.host,
    }


def text(answer: Any) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["content"][0]["text"])


def logged(running: RunningPlatform) -> str:
    """Return all that the platform wrote into files."""
    files = [path for path in running.folder.rglob("*") if path.is_file()]
    return "".join(path.read_bytes().decode("latin-1") for path in files)


async def test_a_search_and_a_page_come_through_the_platform_and_no_key_with_them(
    tmp_path: Path,
) -> None:
    async with scripted_api() as provider, scripted_api() as site:
        provider.say(200, SERPER)
        site.say(200, PAGE, "Content-Type: text/html")
        given = environment(tmp_path, provider, site)
        async with platform(tmp_path, {"one": shipped()}, **given) as running:
            found = await running.call("google_search", q="apple")
            read = await running.call("scrape_website", url=site.url)
            refused = await running.call("scrape_website", url=running.url)
            provider.now_say(403, {"message": "Unauthorized."})
            failed = await running.call("google_search", q="pear")
            shown = (await running.client.get("/v1/servers")).text
        assert json.loads(text(found))["organic"][0]["title"] == "Apple"
        assert found.json()["structured_content"]["provider"] == "serper"
        assert "Boskoop was found in 1856" in text(read)
        assert refused.json()["is_error"]
        assert failed.json()["is_error"]
        assert json.loads(text(failed))["results"] == []
        assert provider.asked[0].headers["x-api-key"] == KEY
        said = "".join(answer.text for answer in (found, read, refused, failed)) + shown
        assert KEY not in said + logged(running)


async def test_a_page_that_scripts_make_is_read_on_a_node_with_a_browser(tmp_path: Path) -> None:
    need_chromium()
    async with scripted_api() as provider, scripted_api() as site:
        site.say(200, SHELL, "Content-Type: text/html")
        given = environment(tmp_path, provider, site)
        async with platform(tmp_path, {"one": shipped()}, **given) as running:
            nodes = await running.nodes()
            read = await running.call("scrape_website", url=site.url)
        assert nodes["one"]["capabilities"] == ["browser"]
        assert "Made by scripts" in text(read)
