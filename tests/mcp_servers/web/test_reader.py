"""From a URL to a page: what may be read, what is kept, and who else is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from mcp_servers.fetching.app import create_guard
from mcp_servers.fetching.errors import TooSlow
from mcp_servers.fetching.settings import FetchSettings
from mcp_servers.web.body import Bodies
from mcp_servers.web.caching.cache import Cache
from mcp_servers.web.caching.sqlite import SqliteStore
from mcp_servers.web.jina_reader import JinaReader
from mcp_servers.web.keys import Keys
from mcp_servers.web.links import BlockedLinks
from mcp_servers.web.page import Page
from mcp_servers.web.reader import PageReader, Ways, completed
from mcp_servers.web.searching.endpoint import Endpoints
from tests.fakes.scripted_api import ScriptedApi, scripted_api
from tests.mcp_servers.fetching import scripted


async def read(body: bytes, content_type: str | None, url: str, status: int = 200) -> Page:
    """Read a page whose text may say what its status is."""
    text = body.decode()
    said = text.split()[0] if text.startswith("status:") else "ok" if status < 400 else "not_found"
    kind = "pdf" if text.startswith("%PDF-") else "html"
    return Page(url, "", text, kind, said.removeprefix("status:"), "", None, None)


@dataclass
class Shown:
    html: str
    url: str
    status: int = 200
    note: str = ""


@dataclass
class ScriptedBrowser:
    """A browser that shows a text, or fails."""

    shows: str | Exception = "rendered"
    asked: list[str] = field(default_factory=list)

    async def render(self, url: str, deadline_s: float) -> Shown:
        self.asked.append(url)
        if isinstance(self.shows, Exception):
            raise self.shows
        return Shown(self.shows, url)


NAMES: dict[str, Sequence[str]] = {
    "127.0.0.1": ["127.0.0.1"],
    "public.org": ["93.184.216.34"],
    "inside.org": ["10.1.2.3"],
}


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Reading:
    """A reader, and the site that it reads."""

    reader: PageReader
    site: ScriptedApi
    jina: ScriptedApi
    clock: Clock


@asynccontextmanager
async def reading(folder: Path, *, relay: bool = False, **options: Any) -> AsyncIterator[Reading]:
    """Run a reader; the site's host is an inner one unless `public` names lead to it."""
    browser = options.pop("browser", None)
    relay_first = options.pop("relay_first", False)
    clock = Clock()
    async with scripted_api() as site, scripted_api() as jina:
        site.say(200, b"hello")
        settings = FetchSettings(allowed_hosts=site.host, host_rate=10_000)
        names = scripted.resolver(NAMES)
        store = SqliteStore(folder / "kept.db", 10**7)
        endpoints = Endpoints(settings, 5, Keys())
        key = SecretStr("key-4711")
        fetcher = scripted.fetcher(site.host, names=names)
        ways = Ways(
            fetcher,
            read,
            browser,
            JinaReader(endpoints, jina.url, key) if relay else None,
            relay_first=relay_first,
        )
        reader = PageReader(
            create_guard(settings, names),
            BlockedLinks(["huggingface.co/datasets", "127.0.0.1/secret"]),
            ways,
            Cache(store, clock),
            Bodies(options.pop("max_bytes", 1000), options.pop("max_pdf_bytes", 5000)),
            "",
            options.pop("deadline_s", 10.0),
        )
        async with fetcher:
            yield Reading(reader, site, jina, clock)
        await endpoints.aclose()
        await store.aclose()


async def test_a_page_is_read_once_and_then_kept(tmp_path: Path) -> None:
    async with reading(tmp_path) as it:
        first = await it.reader.read(f"{it.site.url}/a#part")
        it.clock.now += 5
        second = await it.reader.read(f"{it.site.url}/a")
        assert (first.page.markdown, first.age_s) == ("hello", None)
        assert (second.page, second.age_s) == (first.page, 5.0)
        fresh = await it.reader.read(f"{it.site.url}/a", fresh=True)
        assert fresh.age_s is None
        assert len(it.site.asked) == 2


@pytest.mark.parametrize(
    ("status", "text", "headers", "kept_s"),
    [
        (200, b"hello", [], 24 * 3600),
        (200, b"%PDF-1.7", [], 7 * 24 * 3600),
        (404, b"gone", [], 600),
        (200, b"status:captcha", [], 0),
        (200, b"status:blocked", [], 0),
        (200, b"status:needs_browser", [], 0),
        (200, b"hello", ["Cache-Control: private, no-store"], 0),
    ],
)
async def test_how_long_a_page_is_kept_depends_on_what_it_is(
    tmp_path: Path, status: int, text: bytes, headers: list[str], kept_s: int
) -> None:
    async with reading(tmp_path) as it:
        it.site.now_say(status, text, *headers)
        await it.reader.read(it.site.url)
        if kept_s:
            it.clock.now += kept_s - 1
            assert (await it.reader.read(it.site.url)).age_s == kept_s - 1
        it.clock.now += 2
        assert (await it.reader.read(it.site.url)).age_s is None


async def test_what_a_site_asks_not_to_keep_is_not_kept_when_it_was_rendered(
    tmp_path: Path,
) -> None:
    browser = ScriptedBrowser("status:ok rendered")
    async with reading(tmp_path, browser=browser) as it:
        it.site.now_say(200, b"status:needs_browser", "Cache-Control: no-store")
        for _ in range(2):
            seen = await it.reader.read(it.site.url)
            assert (seen.page.status, seen.age_s) == ("ok", None)
        assert len(browser.asked) == 2


async def test_a_callers_header_replaces_ours_whatever_its_case(tmp_path: Path) -> None:
    async with reading(tmp_path) as it:
        await it.reader.read(it.site.url, {"user-agent": "theirs"})
        [asked] = it.site.asked
        assert asked.headers.get("user-agent") == "theirs"


async def test_what_is_read_with_headers_is_neither_kept_nor_shared(tmp_path: Path) -> None:
    async with reading(tmp_path) as it:
        for key in ("one", "two"):
            seen = await it.reader.read(it.site.url, {"Authorization": key})
            assert seen.age_s is None
        assert (await it.reader.read(it.site.url)).age_s is None
        sent = [asked.headers.get("authorization") for asked in it.site.asked]
        assert sent == ["one", "two", None]


async def test_headers_do_not_reach_another_origin(tmp_path: Path) -> None:
    async with reading(tmp_path) as it, scripted_api() as other:
        other.say(200, b"other")
        it.site.now_say(302, b"", f"Location: http://localhost:{it.site.port}/")
        seen = await it.reader.read(it.site.url, {"X-Key": "canary"})
        assert seen.page.status == "refused_by_policy"
        assert other.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost/",
        "http://[::1]/",
        "http://2130706433/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:70/_x",
        "data:text/html,<p>hi",
        "blob:https://example.com/1",
        "javascript:alert(1)",
        "MAILTO:ann@example.com",
        "view-source:http://10.0.0.1/",
        "10.0.0.1",
        "user:pass@10.0.0.1",
        "https://huggingface.co/datasets/gaia",
        "huggingface.co/%64atasets/gaia",
    ],
)
async def test_what_may_not_be_read_is_refused_and_nothing_is_dialled(
    tmp_path: Path, url: str
) -> None:
    async with reading(tmp_path, relay=True, relay_first=True) as it:
        with scripted.watched_dials() as dials:
            seen = await it.reader.read(url)
        assert seen.page.status == "refused_by_policy"
        assert seen.page.note
        assert dials.seen == []
        assert it.jina.asked == []


async def test_a_redirect_to_what_may_not_be_read_is_refused(tmp_path: Path) -> None:
    async with reading(tmp_path) as it:
        it.site.now_say(302, b"", "Location: /secret/x")
        it.site.say(200, b"the answers")
        seen = await it.reader.read(f"{it.site.url}/open")
        assert (seen.page.status, seen.page.markdown) == ("refused_by_policy", "")
        assert (await it.reader.read(f"{it.site.url}/open")).age_s is None


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        (" example.com/a ", "https://example.com/a"),
        ("http://example.com", "http://example.com"),
        ("example.com:8080/a", "https://example.com:8080/a"),
    ],
)
def test_a_scheme_that_is_left_out_is_https(url: str, whole: str) -> None:
    assert completed(url) == whole


async def test_a_shell_is_rendered_where_there_is_a_browser(tmp_path: Path) -> None:
    browser = ScriptedBrowser()
    async with reading(tmp_path, browser=browser) as it:
        it.site.now_say(200, b"status:needs_browser")
        assert (await it.reader.read(it.site.url)).page.markdown == "rendered"
        it.clock.now += 1
        assert (await it.reader.read(it.site.url)).age_s == 1
        await it.reader.read(it.site.url, {"X-Key": "canary"})
    assert len(browser.asked) == 1


async def test_pages_of_one_address_that_scripts_choose_by_the_fragment_are_several(
    tmp_path: Path,
) -> None:
    browser = ScriptedBrowser()
    async with reading(tmp_path, browser=browser, relay=True) as it:
        it.site.now_say(200, b"status:needs_browser")
        for fragment in ("", "#/about", "#!/team", "#part", "#/about"):
            await it.reader.read(f"{it.site.url}/{fragment}")
        # What only names a place in a page is that page.
        assert browser.asked == [f"{it.site.url}/{part}" for part in ("", "#/about", "#!/team")]


async def test_jinas_reader_is_told_which_page_the_fragment_chooses(tmp_path: Path) -> None:
    async with reading(tmp_path, relay=True, relay_first=True) as it:
        it.jina.say(200, JINA_PAGE)
        await it.reader.read("https://public.org/#/about")
        assert it.jina.asked[0].json == {"url": "https://public.org/#/about"}


@pytest.mark.parametrize("failure", [TooSlow("It was too slow."), RuntimeError("broken")])
async def test_a_browser_that_fails_leaves_the_page_as_what_it_is(
    tmp_path: Path, failure: Exception
) -> None:
    async with reading(tmp_path, browser=ScriptedBrowser(failure)) as it:
        it.site.now_say(200, b"status:needs_browser")
        page = (await it.reader.read(it.site.url)).page
        assert page.status == "needs_browser"
        assert page.note


async def test_without_a_browser_a_shell_is_said_to_need_one(tmp_path: Path) -> None:
    async with reading(tmp_path) as it:
        it.site.now_say(200, b"status:needs_browser")
        assert (await it.reader.read(it.site.url)).page.status == "needs_browser"


JINA_PAGE = {
    "code": 200,
    "status": 20000,
    "data": {"title": "Far", "url": "https://public.org/", "content": "from afar", "usage": {}},
}


async def test_jinas_reader_is_not_told_of_inner_hosts(tmp_path: Path) -> None:
    async with reading(tmp_path, relay=True) as it:
        it.site.now_say(200, b"status:captcha")
        it.jina.say(200, JINA_PAGE)
        assert (await it.reader.read(it.site.url)).page.status == "captcha"
        assert it.jina.asked == []


async def test_a_name_that_leads_inside_is_not_told_to_jina(tmp_path: Path) -> None:
    async with reading(tmp_path, relay=True, relay_first=True) as it:
        it.jina.say(200, JINA_PAGE)
        seen = await it.reader.read("https://inside.org/")
        assert seen.page.status == "refused_by_policy"
        assert it.jina.asked == []


@pytest.mark.parametrize("relay_first", [True, False])
async def test_jinas_reader_is_asked_first_or_when_a_page_cannot_be_had(
    tmp_path: Path, relay_first: bool
) -> None:
    async with reading(tmp_path, relay=True, relay_first=relay_first) as it:
        it.jina.say(200, JINA_PAGE)
        with scripted.watched_dials() as dials:
            seen = await it.reader.read("https://public.org/a")
        assert (seen.page.status, seen.page.markdown) == ("ok", "from afar")
        assert (("93.184.216.34", 443) in dials.seen) is not relay_first
        [asked] = it.jina.asked
        assert asked.json == {"url": "https://public.org/a"}
        assert asked.headers["authorization"] == "Bearer key-4711"
        assert (await it.reader.read("https://public.org/a")).age_s == 0


async def test_headers_of_callers_are_not_told_to_jina(tmp_path: Path) -> None:
    async with reading(tmp_path, relay=True, relay_first=True) as it:
        with scripted.watched_dials():
            seen = await it.reader.read("https://public.org/a", {"Authorization": "canary"})
        assert seen.page.status == "http_error"
        assert it.jina.asked == []


async def test_a_jina_that_fails_leaves_the_page_as_what_it_is(tmp_path: Path) -> None:
    async with reading(tmp_path, relay=True) as it:
        it.jina.say(402, {"code": 402, "readableMessage": "insufficient balance"})
        with scripted.watched_dials():
            seen = await it.reader.read("https://public.org/a")
        assert seen.page.status == "http_error"


async def test_the_reader_keeps_to_its_deadline(tmp_path: Path) -> None:
    async with reading(tmp_path) as it:
        held = it.site.hold()
        seen = await it.reader.read(it.site.url, deadline_s=0.1)
        assert (seen.page.status, seen.page.markdown) == ("timeout", "")
        held.set()


async def test_many_who_read_the_same_page_are_one_request(tmp_path: Path) -> None:
    async with reading(tmp_path) as it:
        held = it.site.hold()
        asking = [asyncio.create_task(it.reader.read(it.site.url)) for _ in range(50)]
        await asyncio.sleep(0)
        held.set()
        pages = [seen.page.markdown for seen in await asyncio.gather(*asking)]
        assert pages == ["hello"] * 50
        assert len(it.site.asked) == 1


async def test_a_pdf_may_be_larger_than_a_page(tmp_path: Path) -> None:
    async with reading(tmp_path) as it:
        it.site.now_say(200, b"%PDF-" + b"x" * 4000)
        assert (await it.reader.read(f"{it.site.url}/pdf")).page.status == "ok"
        it.site.now_say(200, b"%PDF-" + b"x" * 6000)
        assert (await it.reader.read(f"{it.site.url}/large")).page.status == "http_error"
        it.site.now_say(200, b"x" * 4000)
        seen = await it.reader.read(f"{it.site.url}/page")
        assert (seen.page.status, "1000 bytes" in seen.page.note) == ("http_error", True)


async def test_a_host_that_does_not_answer_is_an_http_error_with_a_reason(tmp_path: Path) -> None:
    async with reading(tmp_path) as it:
        settled = await it.reader.read("https://unknown.org/")
        assert settled.page.status == "http_error"
        assert "not known" in settled.page.note


async def test_jinas_reader_may_take_as_long_as_its_deadline(tmp_path: Path) -> None:
    """A search is given up sooner; the Reader runs a browser for us and says nothing meanwhile."""
    async with scripted_api() as jina:
        jina.say(200, JINA_PAGE)
        held = jina.hold()
        endpoints = Endpoints(FetchSettings(), 0.2, Keys())
        relay = JinaReader(endpoints, jina.url, SecretStr("key-4711"))
        reading_ = asyncio.create_task(relay.read("https://public.org/", 20))
        assert await asyncio.wait([reading_], timeout=0.6) == (set(), {reading_})
        held.set()
        assert (await reading_).markdown == "from afar"
        await endpoints.aclose()
