"""Finds in a page what was asked for."""

from __future__ import annotations

import asyncio
import math
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.to_thread

from mcp_servers.web.extracting.chunks import chunks
from mcp_servers.web.extracting.citations import Source
from mcp_servers.web.extracting.errors import ContextOverflow, LlmError, LlmUnavailable
from mcp_servers.web.extracting.llm import Completion, Llm
from mcp_servers.web.extracting.passages import EXTRACTIVE, excerpt
from mcp_servers.web.extracting.prompt import prompt
from mcp_servers.web.extracting.reply import parse, without_repetition
from mcp_servers.web.extracting.selection import Selection, Selector, outline
from mcp_servers.web.extracting.settings import ExtractSettings
from mcp_servers.web.keys import Keys
from mcp_servers.web.page import Page

LEAST_BUDGET = 300

SMALL = 1_000_000
"""Characters up to which a page is taken apart in a moment: nearly all are smaller."""

SMALL_AT_A_TIME = 16
LARGE_AT_A_TIME = 1
"""Larger ones at a time: one may take half a minute and hundreds of megabytes, and all share one
processor with the calls."""
NOT_FOUND = "not_found_in_page"


@dataclass(frozen=True)
class Extraction:
    """What a page holds of what was asked for.

    Args:
        text: For the agent: the information, or why there is none.
        citations: `passage`, `quote` and `section` of each span that really stands in the page.
        status: ok, not_found_in_page or empty; for a page that could not be read, the page's.
        truncated: Whether parts of the page were not looked at, or not shown.
        model_used: The model's name, or extractive-bm25.
        tokens_used: Spent at the model, failed tries included.
        last_line: The line of the page, from 1, on which the last of what was looked at ends; 0
            if nothing was.
    """

    text: str
    citations: list[dict[str, Any]] = field(default_factory=list)
    status: str = "ok"
    truncated: bool = False
    model_used: str = EXTRACTIVE
    tokens_used: int = 0
    last_line: int = 0


class Extractor:
    """Extracts, with a language model if there is one.

    Args:
        settings: Budgets and deadline.
        llm: The model, which the extractor closes; None to show passages as they are.
        keys: What is hidden in all that the model says; None for nothing.
    """

    def __init__(
        self, settings: ExtractSettings, llm: Llm | None, keys: Keys | None = None
    ) -> None:
        self._settings = settings
        self._llm = llm
        self._keys = keys or Keys()
        self._closing = AsyncExitStack()
        self._small = anyio.Semaphore(SMALL_AT_A_TIME)
        self._large = anyio.Semaphore(LARGE_AT_A_TIME)

    async def __aenter__(self) -> Self:
        """Return itself."""
        if self._llm is not None:
            await self._closing.enter_async_context(self._llm)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections to the model."""
        await self._closing.aclose()

    async def extract(self, page: Page, info: str, deadline_s: float | None = None) -> Extraction:
        """Return what the page holds of `info`.

        A model that fails is no failure: the best passages are shown instead, and it is said.

        Args:
            page: As it was read.
            info: What is asked for.
            deadline_s: Seconds for the model, if less than the setting says.
        """
        if page.status != "ok" or not page.markdown.strip():
            # What a wall says is not what the page says.
            status = page.status if page.status != "ok" else "empty"
            return Extraction(page.note or "The page holds no text.", status=status)
        selector, headings = await self._taken_apart(page.markdown, info)
        if self._llm is None:
            return self._excerpt(page, selector, headings)
        try:
            most_s = min(deadline_s or math.inf, self._settings.llm_deadline_s)
            until = anyio.current_time() + most_s
            return await self._asked(self._llm, page, info, (selector, headings), until)
        except LlmError as error:
            why = f"No model could summarise the page, so its best passages follow. {error}"
            return self._excerpt(page, selector, headings, why, error.spent)

    async def _taken_apart(self, markdown: str, info: str) -> tuple[Selector, list[str]]:
        """Return what is selected from: not on this event loop, for which others wait.

        A thread cannot be stopped. One that nobody waits for any more keeps its place to its end.
        """
        places = self._small if len(markdown) <= SMALL else self._large
        await places.acquire()
        work = asyncio.create_task(anyio.to_thread.run_sync(_prepared, markdown, info))
        work.add_done_callback(lambda _: places.release())
        return await asyncio.shield(work)

    async def _asked(
        self, llm: Llm, page: Page, info: str, prepared: tuple[Selector, list[str]], until: float
    ) -> Extraction:
        """Ask the model, with half as much of the page each time that it is too much."""
        selector, headings = prepared
        budget = self._settings.whole_page_tokens
        if selector.total > budget:
            budget = self._settings.passage_tokens
        while True:
            selection = selector.select(budget)
            asked = prompt(page, info, selection, headings)
            left_s = max(0.01, until - anyio.current_time())
            try:
                completion = await llm.ask(asked.system, asked.user, left_s)
            except ContextOverflow:
                if budget <= LEAST_BUDGET:
                    raise
                budget = max(LEAST_BUDGET, min(budget, selector.total) // 2)
                continue
            # Every quotation is looked for in all that was shown; others wait for this event loop.
            judged = await anyio.to_thread.run_sync(
                _judged, completion, selection, llm.model, asked.mark
            )
            text, citations = self._keys.hide([judged.text, judged.citations])
            ends = selector.ends(selection, page.markdown)
            return replace(judged, text=text, citations=citations, last_line=ends)

    def _excerpt(
        self, page: Page, selector: Selector, headings: list[str], why: str = "", spent: int = 0
    ) -> Extraction:
        selection = selector.best(self._settings.extractive_tokens)
        text, citations = excerpt(page, selection, headings)
        return Extraction(
            f"{why}\n\n{text}" if why else text,
            citations,
            "ok" if selection.matched else NOT_FOUND,
            not selection.whole,
            EXTRACTIVE,
            spent,
            selector.ends(selection, page.markdown),
        )


def _prepared(markdown: str, info: str) -> tuple[Selector, list[str]]:
    passages = chunks(markdown)
    return Selector(passages, info), outline(passages)


def _judged(completion: Completion, selection: Selection, model: str, mark: str) -> Extraction:
    """Return what stands up of a model's answer.

    Raises:
        LlmUnavailable: nothing does, since it does not keep to the form.
    """
    said, looped = without_repetition(completion.text)
    reply = parse(said.replace(mark, ""))
    if reply is None:
        raise LlmUnavailable("The model did not answer in the form asked for.", completion.tokens)
    # What repeats itself ends, with luck, and the quotations follow.
    answer, looped_before = without_repetition(reply.text)
    notes = []
    if not reply.found:
        scope = "page" if selection.whole else "parts of the page that fit best"
        notes.append(f"The {scope} do{'es' * selection.whole} not hold this.")
    source = Source(selection.passages)
    citations, dropped = source.cite(reply.quotes)
    if dropped:
        count = len(citations) + dropped
        notes.append(f"{dropped} of {count} quotations do not stand in the page and were dropped.")
    if reply.found and not citations:
        notes.append("No quotation from the page proves this; check it before you rely on it.")
    if looped or looped_before:
        notes.append("The model began to repeat itself; the rest was cut.")
    elif completion.cut:
        notes.append("The model's answer was cut at its longest length.")
    text = source.without_strange_numbers(answer)
    text = "\n\n".join(filter(None, [text, *(f"({note})" for note in notes)]))
    status = "ok" if reply.found else NOT_FOUND
    return Extraction(text, citations, status, not selection.whole, model, completion.tokens)
