"""What a real Chromium gives, and what it is kept from giving too much of."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcp_servers.fetching.errors import BadUrl, Refused, TooSlow, UnknownHost, Unreachable
from mcp_servers.fetching.fetcher import Request
from mcp_servers.fetching.guard import Target
from mcp_servers.web.browsing.errors import IsDownload, NoBrowser, PageCrashed
from mcp_servers.web.browsing.settings import BrowserSettings
from tests.mcp_servers.fetching.scripted import Served, fetcher, http
from tests.mcp_servers.web.pages import (
    a_browser,
    a_site,
    environment,
    html,
    need_chromium,
    until,
    until_gone,
    user,
)
from tests.mcp_servers.web.running import fields, running, settings_in, text
from tests.ports import free_ports

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _chromium() -> None:
    need_chromium()


SCRIPTED = """<title>App</title><div id=root></div><script>
  fetch('/data').then(r => r.json()).then(d => {
    document.getElementById('root').textContent = 'made by ' + d.who;
  });
</script>"""


async def test_a_page_that_its_scripts_write_is_rendered() -> None:
    data = http(b'{"who": "scripts"}', "200 OK", "Content-Type: application/json")
    async with a_site({"/": html(SCRIPTED), "/data": data}) as site, a_browser(site) as rig:
        page = await rig.browser.render(f"{site.url}/", 25)
    assert "made by scripts" in page.html
    assert (page.url, page.status, page.note) == (f"{site.url}/", 200, "")


async def test_a_page_that_its_scripts_choose_by_the_fragment_is_that_one() -> None:
    routed = "<div id=root></div><script>root.textContent = 'at ' + location.hash</script>"
    pages: dict[str, Any] = {
        "/app": html(routed),
        "/moved": http(b"", "302 Found", "Location: /app"),
    }
    async with a_site(pages) as site, a_browser(site) as rig:
        for asked in ("/app", "/moved"):
            page = await rig.browser.render(f"{site.url}{asked}#/about", 25)
            assert "at #/about" in page.html
            assert (page.url, page.status) == (f"{site.url}/app#/about", 200)


async def test_status_and_address_are_those_of_where_the_page_ended() -> None:
    pages: dict[str, Any] = {
        "/moved": http(b"", "302 Found", "Location: /next"),
        "/next": html("<script>location = '/last'</script>"),
        "/last": html("the end", "410 Gone"),
    }
    async with a_site(pages) as site, a_browser(site) as rig:
        page = await rig.browser.render(f"{site.url}/moved", 25)
    assert "the end" in page.html
    assert (page.url, page.status) == (f"{site.url}/last", 410)


async def test_what_adds_no_text_is_not_loaded() -> None:
    text = "<img src=/i.png><video src=/v.mp4></video><link rel=icon href=/f.ico>text"
    style = "<style>@font-face{font-family:x;src:url(/f.woff)} body{font-family:x}</style>"
    async with a_site({"/": html(text + style)}) as site, a_browser(site) as rig:
        page = await rig.browser.render(f"{site.url}/", 25)
    assert "text" in page.html
    assert [head.split(" ")[1] for head in site.heads] == ["/"]


async def test_a_page_cannot_forge_what_is_read_of_it() -> None:
    text = """true text<script>
      Object.defineProperty(Element.prototype, 'outerHTML', {get: () => 'forged'});
      Object.defineProperty(document, 'documentElement', {get: () => ({outerHTML: 'forged'})});
      String.prototype.slice = () => 'forged';
    </script>"""
    async with a_site({"/": html(text)}) as site, a_browser(site) as rig:
        page = await rig.browser.render(f"{site.url}/", 25)
    assert "true text" in page.html
    assert page.html != "forged"


async def test_pages_share_nothing() -> None:
    text = """<script>document.write('before: ' + document.cookie + localStorage.x);
      document.cookie = 'seen=yes'; localStorage.x = 'seen';</script>"""
    async with a_site({"/": html(text)}) as site, a_browser(site) as rig:
        pages = [await rig.browser.render(f"{site.url}/", 25) for _ in range(2)]
    assert all("before: undefined" in page.html for page in pages)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("file:///etc/passwd", Refused),
        ("chrome://version", Refused),
        ("http://169.254.169.254/latest", Refused),
        ("http://nowhere.test/", UnknownHost),
        ("not a url", Refused),
        ("http://", BadUrl),
    ],
)
async def test_an_address_that_may_not_be_fetched_starts_no_browser(
    url: str, error: type[Exception]
) -> None:
    async with a_browser() as rig:
        with pytest.raises(error):
            await rig.browser.render(url, 25)
        assert rig.processes() == {}


async def test_a_host_that_does_not_answer_is_said() -> None:
    [port] = free_ports(1)
    async with a_browser(Served(port)) as rig:
        with pytest.raises(Unreachable, match="does not take a connection"):
            await rig.browser.render(f"http://127.0.0.1:{port}/", 25)


async def test_a_download_is_no_page_and_leaves_no_file() -> None:
    file = http(b"x" * 1000, "200 OK", "Content-Disposition: attachment; filename=a.bin")
    async with a_site({"/": file}) as site, a_browser(site) as rig:
        with pytest.raises(IsDownload):
            await rig.browser.render(f"{site.url}/", 25)


LOOPS = {
    "script": "<script>while (true) {}</script>",
    "late script": "text<script>setTimeout(() => { while (true) {} }, 50)</script>",
    "alerts": "<script>while (true) alert('again')</script>",
    "unload": "<script>onbeforeunload = () => { while (true) {} }; while (true) {}</script>",
    "pages": "<script>for (;;) { location.reload() }</script>",
}


@pytest.mark.parametrize("loop", LOOPS)
async def test_a_page_that_hangs_ends_at_its_deadline_and_others_go_on(loop: str) -> None:
    async with (
        a_site({"/": html(LOOPS[loop]), "/good": html("good")}) as site,
        a_browser(site) as rig,
    ):
        await rig.browser.render(f"{site.url}/good", 25)
        with pytest.raises((TooSlow, PageCrashed)):
            await rig.browser.render(f"{site.url}/", 3)
        assert "good" in (await rig.browser.render(f"{site.url}/good", 25)).html
        await until_gone(rig.renderers)


async def test_a_page_that_loads_for_ever_is_read_as_far_as_it_came() -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    text = "so far<script>fetch('/never')</script>"
    async with a_site({"/": html(text), "/never": never}) as site, a_browser(site) as rig:
        page = await rig.browser.render(f"{site.url}/", 8)
    assert "so far" in page.html
    assert page.note == "The page was still loading when it was read."


WINDOWS = """<a id=a href=/other target=_blank>x</a><script>
  for (let i = 0; i < 20; i++) { window.open('/other'); document.getElementById('a').click(); }
</script>text"""


async def test_windows_that_a_page_opens_do_not_stay() -> None:
    pages: dict[str, Any] = {"/": html(WINDOWS), "/other": html("<script>for(;;){}</script>")}
    async with a_site(pages) as site, a_browser(site) as rig:
        assert "text" in (await rig.browser.render(f"{site.url}/", 25)).html
        await until_gone(rig.renderers)


async def test_bytes_without_end_are_cut() -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(html("").replace(b"Content-Length: 0\r\n", b""))
        while True:
            writer.write(b"<p>more</p>" * 1000)
            await writer.drain()

    async with a_site({"/": flood}) as site, a_browser(site, page_bytes=200_000) as rig:
        page = await rig.browser.render(f"{site.url}/", 25)
    assert "It loaded more than 200000 bytes; the rest was cut." in page.note
    assert len(page.html) < 400_000


async def test_a_page_that_asks_again_and_again_is_stopped() -> None:
    text = "text<script>for (let i = 0; i < 500; i++) fetch('/x' + i)</script>"
    async with a_site({"/": html(text)}) as site, a_browser(site, page_requests=20) as rig:
        page = await rig.browser.render(f"{site.url}/", 25)
    assert "more than 20 requests" in page.note
    assert len(site.heads) <= 20


async def test_a_document_without_end_is_cut() -> None:
    text = "<script>document.write('0123456789'.repeat(100000))</script>"
    async with a_site({"/": html(text)}) as site, a_browser(site, dom_chars=5000) as rig:
        page = await rig.browser.render(f"{site.url}/", 25)
    assert len(page.html) == 5000
    assert "longer than 5000 characters" in page.note


HUNGRY = """<script>
  const all = [];
  for (;;) all.push(new Uint8Array(2e7).fill(1));
</script>"""


async def test_a_page_that_takes_all_memory_is_killed_alone() -> None:
    async with (
        a_site({"/": html(HUNGRY), "/good": html("good")}) as site,
        a_browser(site, memory_bytes=900_000_000) as rig,
    ):
        with pytest.raises(PageCrashed):
            await rig.browser.render(f"{site.url}/", 25)
        assert "good" in (await rig.browser.render(f"{site.url}/good", 25)).html


async def test_many_pages_at_once_are_all_rendered_a_few_at_a_time() -> None:
    async with a_site({"/": html(SCRIPTED)}) as site, a_browser(site, pages=2) as rig:
        pages = await asyncio.gather(*(rig.browser.render(f"{site.url}/", 60) for _ in range(6)))
    assert all(page.status == 200 for page in pages)


async def test_no_key_of_the_server_is_in_the_browsers_environment_nor_root_its_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUMMARY_LLM_API_KEY", "sk-very-secret")
    async with a_site({"/": html("x")}) as site, a_browser(site) as rig:
        await rig.browser.render(f"{site.url}/", 25)
        running = rig.processes()
        environments = [environment(pid) for pid in running]
        chromium = [pid for pid, command in running.items() if "--user-data-dir" in command]
        users = {user(pid) for pid in chromium} - {None}
    assert sum(b"PATH=" in variables for variables in environments) > 2
    assert not any(b"sk-very-secret" in variables for variables in environments)
    assert len(users) == 1
    assert os.geteuid() != 0 or users != {0}


async def test_without_a_browser_the_error_says_that_one_is_needed() -> None:
    async with a_browser(executable="/nowhere/chromium") as rig:
        assert not rig.browser.available()
        with pytest.raises(NoBrowser, match="needs a browser"):
            await rig.browser.render("http://127.0.0.1:1/", 5)


async def test_a_program_that_is_no_browser_is_said_in_time() -> None:
    async with a_site({"/": html("x")}) as site, a_browser(site, executable="/bin/true") as rig:
        assert rig.browser.available()
        with pytest.raises(NoBrowser, match="does not start"):
            await rig.browser.render(f"{site.url}/", 25)
        await until_gone(rig.processes)


async def test_a_call_that_is_given_up_leaves_no_page() -> None:
    async with a_site({"/": html(LOOPS["script"])}) as site, a_browser(site) as rig:
        task = asyncio.create_task(rig.browser.render(f"{site.url}/", 60))
        await until(lambda: bool(site.heads and rig.renderers()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until_gone(rig.renderers)


@pytest.mark.parametrize("way", ["at_once", "script", "redirect"])
async def test_a_document_that_robots_txt_forbids_is_not_shown(way: str) -> None:
    pages: dict[str, Any] = {
        "/robots.txt": http(b"User-agent: *\nDisallow: /private"),
        "/script": html("<script>location = '/private/x'</script>"),
        "/redirect": http(b"", "302 Found", "Location: /private/x"),
        "/private/x": html("private"),
    }
    async with (
        a_site(pages) as site,
        fetcher(site, robots=True) as guarded,
        a_browser(site, introduce=guarded.introduce) as rig,
    ):
        path = "/private/x" if way == "at_once" else f"/{way}"
        with pytest.raises(Refused, match=r"robots\.txt"):
            await rig.browser.render(f"{site.url}{path}", 25)
    asked = [head.split()[1] for head in site.heads]
    assert ("/private/x" in asked) == (way == "redirect"), "only what redirects is told too late"


async def test_what_a_document_loads_is_not_subject_to_robots_txt() -> None:
    data = http(b'{"who": "scripts"}', "200 OK", "Content-Type: application/json")
    pages = {"/": html(SCRIPTED), "/data": data}
    pages["/robots.txt"] = http(b"User-agent: *\nDisallow: /data")
    async with (
        a_site(dict(pages)) as site,
        fetcher(site, robots=True) as guarded,
        a_browser(site, introduce=guarded.introduce) as rig,
    ):
        assert "made by scripts" in (await rig.browser.render(f"{site.url}/", 25)).html


async def test_each_document_waits_for_a_turn_at_its_host() -> None:
    introduced: list[str] = []
    pages = {"/": html("<script>location = '/next'</script>"), "/next": html("the end")}

    async with a_site(dict(pages)) as site, fetcher(site, host_connections=1) as guarded:

        async def introduce(target: Target) -> None:
            await guarded.introduce(target)
            introduced.append(target.url.path)

        async with a_browser(site, introduce=introduce) as rig:
            assert "the end" in (await rig.browser.render(f"{site.url}/", 25)).html
    assert introduced == ["/", "/next"]


async def test_a_browser_whose_turn_does_not_come_says_so() -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with (
        a_site({"/": html("x"), "/never": never}) as site,
        fetcher(site, host_connections=1, wait_s=0.2) as guarded,
        a_browser(site, introduce=guarded.introduce) as rig,
    ):
        fetching = asyncio.create_task(guarded.fetch(Request(f"{site.url}/never")))
        await until(lambda: bool(site.heads))
        with pytest.raises(TooSlow, match="FETCH_WAIT_S"):
            await rig.browser.render(f"{site.url}/", 25)
        fetching.cancel()


async def test_the_servers_browser_has_the_manners_of_its_fetcher(tmp_path: Path) -> None:
    shell = "<title>App</title><div id=root></div><script>location = '/private/x'</script>"
    pages: dict[str, Any] = {
        "/robots.txt": http(b"User-agent: *\nDisallow: /private"),
        "/": html(shell),
        "/private/x": html(f"<p>{'The private page, which is long enough. ' * 20}</p>"),
    }
    async with a_site(pages) as site:
        settings = settings_in(tmp_path, f"127.0.0.1:{site.port}", fetch={"robots": True})
        settings = replace(settings, browser=BrowserSettings())
        async with running(settings) as client:
            result = await client.call_tool("scrape_website", {"url": f"{site.url}/"})
    assert result.is_error
    assert "robots.txt" in text(result)
    assert fields(result)["status"] == "refused_by_policy"
    assert [head.split()[1] for head in site.heads] == ["/robots.txt", "/", "/"]
