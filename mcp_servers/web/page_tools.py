"""The tools that read pages: `scrape_and_extract_info`, `scrape_website` and `fetch_url`."""

from __future__ import annotations

from typing import Annotated, Any

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import CallToolResult
from pydantic import AliasChoices, BeforeValidator, Field

from mcp_servers.web import texts
from mcp_servers.web.calls import as_json, result, time_left_s
from mcp_servers.web.extracts import Extracts
from mcp_servers.web.reader import PageReader
from mcp_servers.web.search_tools import READS, NoCache, one_or_more

OTHER_NAMES = {"description": "info_to_extract", "introduction": "info_to_extract"}
USUAL_SLICE = 20_000

EXTRACT = """\
Read a web page or document (HTML, PDF, Office, text, JSON, CSV, feeds) and get the information
asked for, with quotations from it. The answer is JSON; `status` says what became of the page, and
`extracted_info` holds what was found."""

SCRAPE = """\
Read a web page or document (HTML, PDF, Office, text, JSON, CSV, feeds) and get its main content as
Markdown. A long page comes in parts: the end of each says with which `start` the next begins."""

FETCH = """\
Read up to three web pages or documents at once and get from each what serves a purpose."""


def add_page_tools(server: MCPServer, reader: PageReader, extracts: Extracts) -> None:
    """Give a server the tools that read pages."""
    _add_extract(server, extracts)
    _add_scrape(server, reader)
    _add_fetch(server, extracts)


def _add_extract(server: MCPServer, extracts: Extracts) -> None:
    @server.tool(
        description=EXTRACT,
        annotations=READS,
        meta={"agentdock/argument_aliases": OTHER_NAMES},
        structured_output=False,
    )
    async def scrape_and_extract_info(
        url: Annotated[str, Field(description="Address of the page.")],
        info_to_extract: Annotated[
            str,
            Field(
                validation_alias=AliasChoices("info_to_extract", *OTHER_NAMES),
                description="What to look for, as a question or a description.",
            ),
        ],
        context: Context,
        custom_headers: Annotated[
            dict[str, str] | None, Field(description="Headers to send to the page's own site.")
        ] = None,
        no_cache: NoCache = False,
    ) -> CallToolResult:
        left_s = time_left_s(context.request_context.meta)
        extract = await extracts.extract(
            url, info_to_extract, custom_headers, fresh=no_cache, deadline_s=left_s
        )
        fields = texts.extract(url, extract)
        return result(as_json(fields), fields, is_error=not fields["success"])


def _add_scrape(server: MCPServer, reader: PageReader) -> None:
    @server.tool(description=SCRAPE, annotations=READS, structured_output=False)
    async def scrape_website(
        url: Annotated[str, Field(description="Address of the page.")],
        context: Context,
        start: Annotated[int, Field(description="First character to show, from 0.", ge=0)] = 0,
        max_chars: Annotated[
            int, Field(description="Most characters to show; at most 100,000.", ge=1)
        ] = USUAL_SLICE,
        no_cache: NoCache = False,
    ) -> CallToolResult:
        left_s = time_left_s(context.request_context.meta)
        seen = await reader.read(url, fresh=no_cache, deadline_s=left_s)
        page = seen.page
        if page.status != "ok":
            return _refused(url, page.status, texts.page_failure(page))
        if start and start >= len(page.markdown):
            return _refused(url, "ok", f"The page has only {len(page.markdown)} characters.")
        return result(*texts.page_slice(seen, start, max_chars))


def _add_fetch(server: MCPServer, extracts: Extracts) -> None:
    @server.tool(description=FETCH, annotations=READS, structured_output=False)
    async def fetch_url(
        url: Annotated[
            list[str],
            BeforeValidator(one_or_more),
            Field(description="One to three addresses.", min_length=1, max_length=3),
        ],
        purpose: Annotated[str, Field(description="What the pages are read for.")],
        context: Context,
        no_cache: NoCache = False,
    ) -> CallToolResult:
        left_s = time_left_s(context.request_context.meta)
        outcomes: list[dict[str, Any]] = [{} for _ in url]

        async def one(place: int, address: str) -> None:
            extract = await extracts.extract(address, purpose, fresh=no_cache, deadline_s=left_s)
            outcomes[place] = texts.extract(address, extract)

        async with anyio.create_task_group() as readings:
            for place, address in enumerate(url):
                readings.start_soon(one, place, address)
        parts = [texts.extracts(it["url"], purpose, it) for it in outcomes]
        failed = not any(it["success"] for it in outcomes)
        return result(texts.joined(parts), {"results": outcomes}, is_error=failed)


def _refused(url: str, status: str, error: str) -> CallToolResult:
    fields = texts.page_refusal(url, status, error)
    return result(as_json(fields), fields, is_error=True)
