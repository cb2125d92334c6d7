"""Builds the web server from its settings: the only place that knows which provider is which."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mcp.server.mcpserver import MCPServer
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from mcp_servers.fetching.app import create_fetcher, create_guard
from mcp_servers.fetching.resolving import Resolver
from mcp_servers.fetching.settings import FetchSettings
from mcp_servers.web.body import Bodies
from mcp_servers.web.browsing.app import create_browser
from mcp_servers.web.browsing.settings import BrowserSettings
from mcp_servers.web.caching.cache import Cache
from mcp_servers.web.caching.folder import folder_for_cache
from mcp_servers.web.caching.sqlite import SqliteStore
from mcp_servers.web.extracting.app import create_extractor
from mcp_servers.web.extracting.passages import EXTRACTIVE
from mcp_servers.web.extracting.settings import ExtractSettings
from mcp_servers.web.extracts import Extracts
from mcp_servers.web.jina_reader import JinaReader
from mcp_servers.web.keys import Keys, keys_of
from mcp_servers.web.links import BlockedLinks
from mcp_servers.web.reader import PageReader, Ways
from mcp_servers.web.reading.reader import Reader as Documents
from mcp_servers.web.searching.base import Provider
from mcp_servers.web.searching.brave import Brave
from mcp_servers.web.searching.endpoint import Endpoints
from mcp_servers.web.searching.jina import Jina
from mcp_servers.web.searching.metasearch import Ddgs
from mcp_servers.web.searching.search import Listed, Search
from mcp_servers.web.searching.searxng import Searxng
from mcp_servers.web.searching.serper import Serper
from mcp_servers.web.searching.shape import Cleaning
from mcp_servers.web.searching.tavily import Tavily
from mcp_servers.web.server import create_server
from mcp_servers.web.settings import PROVIDERS, WebSettings

STATE_DIR = "AGENTDOCK_STATE_DIR"
"""Where a node lets this server keep things, if it does."""

GIVE_WAY_S = 0.0005
"""After how long a thread that takes a page apart gives way to the calls: there are many, and each
waits that long whenever it goes on."""

S = TypeVar("S", bound=BaseSettings)

CACHE_FILE = "web-cache.db"


@dataclass(frozen=True, slots=True)
class Settings:
    """All that can be set.

    Args:
        web: Search, cache, order of things.
        fetch: How pages are fetched.
        extract: How pages are extracted from.
        browser: How pages are rendered.
    """

    web: WebSettings
    fetch: FetchSettings
    extract: ExtractSettings
    browser: BrowserSettings


class UnusableSettings(ValueError):
    """Variables are unusable; the text has a line for each, with its name and not its value."""


def load_settings() -> Settings:
    """Return what the environment says.

    Raises:
        UnusableSettings: a variable is unusable.
    """
    faults: list[str] = []
    web = _load(WebSettings, faults)
    fetch = _load(FetchSettings, faults)
    extract = _load(ExtractSettings, faults)
    browser = _load(BrowserSettings, faults)
    if not (web and fetch and extract and browser):
        raise UnusableSettings("\n".join(faults))
    return Settings(web, fetch, extract, browser)


def _load(kind: type[S], faults: list[str]) -> S | None:
    """Return settings of a kind; None, and what is wrong, if they are unusable."""
    prefix = kind.model_config.get("env_prefix") or ""
    try:
        return kind()
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False, include_context=False):
            field = "_".join(str(part) for part in fault["loc"])
            name = f"{prefix}{field}: ".upper() if field else ""
            faults.append(f"{name}{fault['msg'].removeprefix('Value error, ')}")
    except ValueError as error:
        faults.append(str(error))
    return None


@asynccontextmanager
async def web_server(
    settings: Settings, resolver: Resolver | None = None
) -> AsyncIterator[MCPServer]:
    """Assemble the server; everything that it holds is closed with the context.

    Args:
        settings: See there.
        resolver: In place of the machine's own.
    """
    web, fetch = settings.web, settings.fetch
    guard = create_guard(fetch, resolver)
    async with AsyncExitStack() as stack:
        stack.callback(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(GIVE_WAY_S)
        llm_key = settings.extract.key() if settings.extract.chat_url else None
        keys = Keys([*keys_of(web, fetch, settings.extract), llm_key or ""])
        endpoints = Endpoints(fetch, web.web_provider_deadline_s, keys)
        stack.push_async_callback(endpoints.aclose)
        cache = Cache(await _store(web, stack))
        fetcher = await stack.enter_async_context(create_fetcher(fetch, resolver=resolver))
        documents = await stack.enter_async_context(Documents(web.web_readers))
        browser = await stack.enter_async_context(
            create_browser(settings.browser, fetch, fetcher=fetcher, resolver=resolver)
        )
        extractor = await stack.enter_async_context(
            create_extractor(settings.extract, fetching=fetch, keys=keys)
        )
        relay = _relay(web, endpoints)
        ways = Ways(
            fetcher,
            documents.read,
            browser if browser.available() else None,
            relay,
            relay_first=web.web_jina_reader == "first",
        )
        blocked = BlockedLinks(web.blocked_links)
        bodies = Bodies(fetch.max_bytes, web.web_max_pdf_bytes)
        # What is kept was read under other rules if these differ.
        policy = f"{fetch.allowed_hosts}|{web.web_jina_reader if relay else ''}"
        reader = PageReader(guard, blocked, ways, cache, bodies, policy, web.web_read_deadline_s)
        model = settings.extract.llm_model_name if settings.extract.chat_url else EXTRACTIVE
        deadline_s = web.web_read_deadline_s + settings.extract.llm_deadline_s
        extracts = Extracts(reader, extractor, cache, model, deadline_s)
        yield create_server(_search(web, fetch, endpoints, cache, blocked), reader, extracts)


def _search(
    web: WebSettings,
    fetch: FetchSettings,
    endpoints: Endpoints,
    cache: Cache,
    blocked: BlockedLinks,
) -> Search:
    listed = []
    for name, rate in web.providers:
        provider = _provider(name, web, fetch, endpoints)
        if provider is not None:
            listed.append(Listed(provider) if rate is None else Listed(provider, rate))
    usable = {it.name for it in listed}
    missing = [variable for name, variable in PROVIDERS.items() if variable and name not in usable]
    cleaning = Cleaning(
        blocked, web.remove_snippets, web.remove_knowledge_graph, web.remove_answer_box
    )
    return Search(listed, cache, cleaning, missing, web.web_search_deadline_s)


def _provider(
    name: str, web: WebSettings, fetch: FetchSettings, endpoints: Endpoints
) -> Provider | None:
    """Return a provider, None if what it needs is not set."""
    match name:
        case "serper" if web.serper_api_key:
            return Serper(endpoints, web.serper_base_url, web.serper_api_key)
        case "searxng" if web.searxng_url:
            return Searxng(endpoints, web.searxng_url)
        case "brave" if web.brave_api_key:
            return Brave(endpoints, web.brave_base_url, web.brave_api_key)
        case "tavily" if web.tavily_api_key:
            return Tavily(endpoints, web.tavily_base_url, web.tavily_api_key)
        case "jina" if web.jina_api_key:
            return Jina(endpoints, web.jina_search_url, web.jina_api_key)
        case "ddgs":
            proxy = fetch.proxy.get_secret_value() if fetch.proxy else None
            return Ddgs(web.web_ddgs_engines, web.web_provider_deadline_s, proxy)
    return None


def _relay(web: WebSettings, endpoints: Endpoints) -> JinaReader | None:
    if web.jina_api_key is None or web.web_jina_reader == "off":
        return None
    return JinaReader(endpoints, web.jina_base_url, web.jina_api_key)


async def _store(web: WebSettings, stack: AsyncExitStack) -> SqliteStore | None:
    if not web.web_cache:
        return None
    wanted = web.web_cache_dir or Path(os.environ.get(STATE_DIR) or "data/web")
    folder = folder_for_cache(wanted)
    if folder is None:
        return None
    store = SqliteStore(folder / CACHE_FILE, web.web_cache_max_bytes)
    await store.open()
    stack.push_async_callback(store.aclose)
    return store
