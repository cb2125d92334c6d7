"""Asks providers in their order: the next when one is resting or fails; all behind the cache."""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import anyio

from mcp_servers.fetching.courtesy import Courtesy, NoTurn
from mcp_servers.web.caching.cache import Cache, Kept, Made, key_of
from mcp_servers.web.searching.base import (
    Found,
    Provider,
    ProviderFailed,
    Query,
    Unavailable,
)
from mcp_servers.web.searching.cooldown import CoolDown, CoolDownPolicy
from mcp_servers.web.searching.shape import Cleaning

log = logging.getLogger(__name__)

VERSION = 1
"""Part of every key: what is kept of another version is not understood."""

HOUR_S = 3600.0
NEWS_S = 300.0
"""How long results are kept; those of the last hour, and empty ones, for less."""

TURN_S = 2.0
"""Seconds to wait for a turn at a provider while another could be asked."""

REST_S = 15.0
"""The longest rest that is waited for when every provider rests, in seconds."""

ATTEMPTS = 3
AGAIN_S = 0.3
"""How often all are tried, and about how long to wait in between, in seconds."""

_QUOTES = re.compile('["“”„«»]')


class NoneUsable(Exception):
    """No provider answered; the text says why, and which variables to set."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What callers get.

    Args:
        payload: In Serper's shape, cleaned; with a `note` where something should be said.
        provider: Who found it.
        age_s: Seconds since it was found, None if that was now.
    """

    payload: dict[str, Any]
    provider: str
    age_s: float | None = None


class Listed:
    """A provider with how it stands and how often it may be asked.

    Args:
        provider: Whom to ask.
        rate: Most requests in a second.
        at_a_time: Most requests at a time.
        policy: How long it rests when it fails; None for the usual.
    """

    def __init__(
        self,
        provider: Provider,
        rate: float = 50.0,
        at_a_time: int = 32,
        policy: CoolDownPolicy | None = None,
    ) -> None:
        self.provider = provider
        self.name = provider.name
        self.rest = CoolDown(policy or CoolDownPolicy())
        self._turns = Courtesy(at_a_time, rate)

    async def ask(self, query: Query, patience_s: float) -> Found:
        """Ask in turn, and note how it went.

        Raises:
            ProviderFailed: it did not answer, or its turn did not come in time.
        """
        try:
            async with self._turns.turn(self.name, patience_s):
                try:
                    found = await self.provider.search(query)
                except ProviderFailed as failure:
                    self.rest.failed(failure, anyio.current_time())
                    raise
                except Exception as error:
                    # The shape of an answer is a stranger's; what it says is not for the log.
                    log.warning("%s: %s", self.name, type(error).__name__)
                    odd = Unavailable("its answer cannot be understood")
                    self.rest.failed(odd, anyio.current_time())
                    raise odd from None
                self.rest.answered()
                return found
        except NoTurn:
            raise Unavailable(f"too many ask; no turn came within {patience_s:g} s") from None


class Search:
    """Searches the web with whoever can.

    Args:
        providers: In the order in which they are asked.
        cache: Keeps what was found.
        cleaning: What is taken out of every answer.
        missing: Variables that would make another provider usable.
        deadline_s: Longest time for a search, in seconds.
    """

    def __init__(
        self,
        providers: Sequence[Listed],
        cache: Cache,
        cleaning: Cleaning,
        missing: Sequence[str] = (),
        deadline_s: float = 30.0,
    ) -> None:
        self._providers = providers
        self._cache = cache
        self._cleaning = cleaning
        self._missing = missing
        self._deadline_s = deadline_s

    async def search(
        self, query: Query, *, fresh: bool = False, deadline_s: float | None = None
    ) -> Answer:
        """Return what there is. Nothing found is an answer, with a note.

        Args:
            query: What is searched for.
            fresh: Whether what is kept will not do.
            deadline_s: Seconds that the caller has.

        Raises:
            NoneUsable: nobody could be asked, or nobody answered in time.
        """
        limit_s = min(deadline_s or self._deadline_s, self._deadline_s)
        answer: Answer | None = None
        with anyio.move_on_after(limit_s):
            answer = await self._answer(query, fresh)
            if not answer.payload["organic"] and _QUOTES.search(query.q):
                answer = await self._without_quotes(query, fresh, answer)
        if answer is not None:
            return _noted(answer)
        raise NoneUsable(f"No search provider answered within {limit_s:g} s. Try again.")

    async def _without_quotes(self, query: Query, fresh: bool, empty: Answer) -> Answer:
        words = " ".join(_QUOTES.sub(" ", query.q).split())
        if not words:
            return empty
        try:
            answer = await self._answer(replace(query, q=words), fresh)
        except NoneUsable:
            return empty
        note = "Nothing was found with the quotes; these are results without them."
        return _with_note(answer, note) if answer.payload["organic"] else empty

    async def _answer(self, query: Query, fresh: bool) -> Answer:
        """Ask until somebody answers; wait for one that stumbled, or rests only for a moment."""
        if not self._providers:
            raise NoneUsable(f"No search provider is set up. {self._cure()}")
        for attempt in range(1, ATTEMPTS + 1):
            failures: dict[str, ProviderFailed] = {}
            for listed, is_last in _with_last(self._providers):
                try:
                    kept = await self._kept(listed, query, fresh, None if is_last else TURN_S)
                except ProviderFailed as failure:
                    failures[listed.name] = failure
                else:
                    if kept is not None:
                        return self._cleaned(listed, kept)
            wait_s = self._until_next(failures)
            if wait_s is None or attempt == ATTEMPTS:
                break
            await anyio.sleep(wait_s + random.random() * AGAIN_S)
        raise NoneUsable(self._explained(failures))

    def _until_next(self, failures: dict[str, ProviderFailed]) -> float | None:
        """Return after how long to try all again, None if that would not help."""
        now = anyio.current_time()
        waits = [
            listed.rest.left_s(now) or AGAIN_S
            for listed in self._providers
            if listed.rest.left_s(now) or isinstance(failures.get(listed.name), Unavailable)
        ]
        soonest = min(waits, default=None)
        return soonest if soonest is not None and soonest <= REST_S else None

    async def _kept(
        self, listed: Listed, query: Query, fresh: bool, patience_s: float | None
    ) -> Kept | None:
        """Return a provider's answer; None if there is none and it rests."""

        async def make() -> Made:
            found = await listed.ask(query, patience_s or self._deadline_s)
            return Made({"payload": found.payload, "note": found.note}, _ttl_s(query, found))

        key = key_of("search", VERSION, listed.name, query.parameters())
        if listed.rest.left_s(anyio.current_time()):
            return None if fresh else await self._cache.get(key)
        return await self._cache.get_or_make(key, make, fresh=fresh)

    def _cleaned(self, listed: Listed, kept: Kept) -> Answer:
        payload = self._cleaning.clean(kept.value["payload"])
        answer = _with_note(Answer(payload, listed.name, kept.age_s), kept.value["note"])
        if kept.value["payload"].get("organic") and not payload["organic"]:
            return _with_note(answer, "All that was found is on the list of what is not shown.")
        return answer

    def _explained(self, failures: dict[str, ProviderFailed]) -> str:
        now = anyio.current_time()
        reasons = []
        for listed in self._providers:
            why = str(failures.get(listed.name) or listed.rest.reason)
            left_s = listed.rest.left_s(now)
            again = f", asked again in {left_s:.0f} s" if left_s else ""
            reasons.append(f"{listed.name}: {why}{again}")
            log.warning("search: %s", reasons[-1])
        return f"No search provider answered ({'; '.join(reasons)}). {self._cure()}"

    def _cure(self) -> str:
        if not self._missing:
            return "Try again later."
        return f"Whoever runs this can add another one by setting {' or '.join(self._missing)}."


def _with_last(providers: Sequence[Listed]) -> list[tuple[Listed, bool]]:
    """Return providers, each with whether nobody comes after it who could be asked."""
    now = anyio.current_time()
    able = [listed for listed in providers if not listed.rest.left_s(now)]
    return [(listed, bool(able) and listed is able[-1]) for listed in providers]


def _ttl_s(query: Query, found: Found) -> float:
    if query.freshness == "hour" or not found.payload.get("organic"):
        return NEWS_S
    return HOUR_S


def _with_note(answer: Answer, note: str) -> Answer:
    if not note:
        return answer
    notes = " ".join(filter(None, (answer.payload.get("note"), note)))
    return replace(answer, payload={**answer.payload, "note": notes})


def _noted(answer: Answer) -> Answer:
    if answer.payload["organic"] or "note" in answer.payload:
        return answer
    return _with_note(answer, "Nothing was found. Try other words, or fewer.")
