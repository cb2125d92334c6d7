"""The tools that search: `google_search` and `search`."""

from __future__ import annotations

import re
from typing import Annotated, Any

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import CallToolResult, ToolAnnotations
from pydantic import BeforeValidator, Field
from pydantic.json_schema import SkipJsonSchema

from mcp_servers.web import texts
from mcp_servers.web.calls import as_json, result, time_left_s
from mcp_servers.web.searching.base import Query
from mcp_servers.web.searching.search import Answer, NoneUsable, Search

READS = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=True)
MOST_RESULTS = 100
MOST_PAGES = 100
LONGEST_QUERY = 2000

NoCache = SkipJsonSchema[bool]
"""An argument that callers may send though models are not shown it."""

GOOGLE_SEARCH = """\
Search the web as with Google and get the results as JSON: `organic` lists title, link and snippet
of each page found; `knowledgeGraph`, `answerBox`, `peopleAlsoAsk` and `relatedSearches` are there
when there is something in them. Nothing found is an empty `organic` with a `note`."""

SEARCH = """\
Search the web for up to three queries at once. The results of each query are a list of titles with
their links and snippets."""


def one_or_more(value: Any) -> Any:
    """Return a lone text as a list."""
    return [value] if isinstance(value, str) else value


def add_search_tools(server: MCPServer, search: Search) -> None:
    """Give a server the tools that search."""
    _add_google_search(server, search)
    _add_search(server, search)


def _add_google_search(server: MCPServer, search: Search) -> None:
    @server.tool(description=GOOGLE_SEARCH, annotations=READS, structured_output=False)
    async def google_search(
        q: Annotated[str, Field(description="What to search for; Google's operators work.")],
        context: Context,
        gl: Annotated[str, Field(description="Country in two letters, such as us or cn.")] = "us",
        hl: Annotated[str, Field(description="Language, such as en or zh.")] = "en",
        location: Annotated[
            str | None, Field(description="City or region near which to search.")
        ] = None,
        num: Annotated[int, Field(description="How many results.")] = 10,
        tbs: Annotated[
            str | None,
            Field(description="How old: qdr:h, qdr:d, qdr:w, qdr:m or qdr:y for hour to year."),
        ] = None,
        page: Annotated[int, Field(description="Which page of results, from 1.")] = 1,
        autocorrect: Annotated[
            bool | None, Field(description="Whether spelling is corrected.")
        ] = None,
        no_cache: NoCache = False,
    ) -> CallToolResult:
        query = query_of(q, gl, hl, num, page, location=location, tbs=tbs, autocorrect=autocorrect)
        try:
            _check(query)
            left_s = time_left_s(context.request_context.meta)
            answer = await search.search(query, fresh=no_cache, deadline_s=left_s)
        except NoneUsable as error:
            return _failed(str(error))
        return result(as_json(answer.payload), _fields(answer))


def _add_search(server: MCPServer, search: Search) -> None:
    @server.tool(name="search", description=SEARCH, annotations=READS, structured_output=False)
    async def search_all(
        query: Annotated[
            list[str],
            BeforeValidator(one_or_more),
            Field(description="One to three queries.", min_length=1, max_length=3),
        ],
        context: Context,
        no_cache: NoCache = False,
    ) -> CallToolResult:
        left_s = time_left_s(context.request_context.meta)
        parts: list[str] = [""] * len(query)
        found: list[dict[str, Any]] = [{} for _ in query]

        async def one(place: int, words: str) -> None:
            try:
                asked = query_of(words)
                _check(asked)
                answer = await search.search(asked, fresh=no_cache, deadline_s=left_s)
            except NoneUsable as error:
                parts[place] = f"The search for '{words}' failed: {error}"
                found[place] = {"query": words, **texts.search_failure(str(error))}
            else:
                parts[place] = texts.results(words, answer)
                found[place] = {"query": words, **_fields(answer)}

        async with anyio.create_task_group() as searches:
            for place, words in enumerate(query):
                searches.start_soon(one, place, words)
        failed = all("error" in it for it in found)
        return result(texts.joined(parts), {"results": found}, is_error=failed)


def query_of(
    q: str,
    gl: str = "us",
    hl: str = "en",
    num: int = 10,
    page: int = 1,
    *,
    location: str | None = None,
    tbs: str | None = None,
    autocorrect: bool | None = None,
) -> Query:
    """Return what a caller means: unusable values become the usual ones, equal queries equal.

    Country and language are letters only: some providers make addresses of them.
    """
    return Query(
        q=" ".join(q.split()),
        gl=gl.lower() if re.fullmatch("[A-Za-z]{2}", gl) else "us",
        hl=hl.lower() if re.fullmatch("[A-Za-z]{2,3}(-[A-Za-z]{2,4})?", hl) else "en",
        location=(location or "").strip() or None,
        num=min(max(num, 1), MOST_RESULTS),
        tbs=(tbs or "").strip() or None,
        page=min(max(page, 1), MOST_PAGES),
        autocorrect=autocorrect,
    )


def _check(query: Query) -> None:
    """Refuse what nobody can be asked.

    Raises:
        NoneUsable: it is empty, or far too long.
    """
    if not query.q:
        raise NoneUsable("Search query 'q' is required and cannot be empty.")
    if len(query.q) > LONGEST_QUERY:
        raise NoneUsable(f"The query is longer than {LONGEST_QUERY} characters: shorten it.")


def _fields(answer: Answer) -> dict[str, Any]:
    return {**answer.payload, "provider": answer.provider, **texts.mark(answer.age_s)}


def _failed(error: str) -> CallToolResult:
    fields = texts.search_failure(error)
    return result(as_json(fields), fields, is_error=True)
