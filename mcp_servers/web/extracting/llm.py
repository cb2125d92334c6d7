"""Asks a language model behind any OpenAI-compatible endpoint: one text in, one text out."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import anyio
import httpx

from mcp_servers.fetching.retries import PASSING, RetryPolicy, retry_after_s
from mcp_servers.web.extracting.budget import tokens
from mcp_servers.web.extracting.errors import ContextOverflow, LlmUnavailable

MAX_BYTES = 4_000_000
CONNECT_S = 10.0
ERROR_BYTES = 20_000
_OVERFLOW = re.compile(
    r"context[ _-]?(length|window|size|limit)|maximum (context|prompt|input)"
    r"|max_(model_len|seq_len)|(prompt|input|request|message)s?( is| are|) too (long|large)"
    r"|too many (input )?tokens"
    r"|reduce the length|exceeds? .{0,60}\btokens?\b|tokens? .{0,40}\bexceed|string too long",
    re.IGNORECASE,
)
_THOUGHT = re.compile(r"<think(ing)?>.*?(</think(ing)?>|\Z)", re.DOTALL)
RETRIED = PASSING | {408, 409, 500, 529}


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model said.

    Args:
        text: Without its thoughts.
        tokens: Spent in all, as the endpoint says, else a guess.
        cut: Whether it had to stop in the middle.
    """

    text: str
    tokens: int
    cut: bool


class Llm:
    """A language model. Its endpoint is trusted to be reached, not to be right or in time.

    Args:
        url: Takes `POST` of chat completions.
        model: Its name there.
        key: Sent as a bearer, if there is one.
        answer_tokens: Longest answer.
        connections: Most requests at a time.
        proxy: URL of the proxy to it; None to ask it directly.
        retries: How often to ask.
    """

    def __init__(
        self,
        url: str,
        model: str,
        key: str | None,
        *,
        answer_tokens: int,
        connections: int,
        proxy: str | None = None,
        retries: RetryPolicy | None = None,
    ) -> None:
        self.model = model
        self._url = url
        self._retries = retries or RetryPolicy()
        self._options: dict[str, Any] = {"temperature": 0, "max_tokens": answer_tokens}
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(None, connect=CONNECT_S),
            limits=httpx.Limits(max_connections=connections),
            follow_redirects=False,
            # No proxy of the environment: what a setting does not name gets no key of ours.
            verify=httpx.create_ssl_context(),
            trust_env=False,
            proxy=proxy,
        )

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def ask(self, system: str, user: str, deadline_s: float) -> Completion:
        """Return the model's answer.

        Raises:
            ContextOverflow: the texts are longer than the model takes.
            LlmUnavailable: it did not answer, or not with text.
        """
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        with anyio.move_on_after(deadline_s):
            body = await self._answer(messages)
            return _completion(body, tokens(system) + tokens(user))
        raise LlmUnavailable(f"The model did not answer within {deadline_s:.0f} s.")

    async def _answer(self, messages: list[dict[str, str]]) -> bytes:
        """Return the body of an answer that is a success, after some tries if need be."""
        tried = 0
        while True:
            options = dict(self._options)
            status, body, asked_s = await self._post({**options, "messages": messages})
            if status == 200:
                return body
            text = body[:ERROR_BYTES].decode("utf-8", "replace")
            if status in (400, 413, 422, 500):
                if self._adapted(options, text):
                    continue
                if status == 413 or _OVERFLOW.search(text):
                    raise ContextOverflow("The page is longer than the model takes.")
            tried += 1
            wait_s = self._retries.wait_s(tried, asked_s, random.random())
            if status not in RETRIED | {0} or wait_s is None:
                raise LlmUnavailable(_explained(status))
            await anyio.sleep(wait_s)

    async def _post(self, body: dict[str, Any]) -> tuple[int, bytes, float | None]:
        """Return status, body and Retry-After of an answer; the status is 0 if none came."""
        received = bytearray()
        request = self._client.stream("POST", self._url, json={"model": self.model, **body})
        try:
            async with request as response:
                async for piece in response.aiter_bytes():
                    received += piece
                    if len(received) > MAX_BYTES:
                        raise LlmUnavailable("The model's endpoint sent more than any answer has.")
        except httpx.HTTPError:
            return 0, b"", None
        asked_s = retry_after_s(response.headers.get("retry-after"))
        return response.status_code, bytes(received), asked_s

    def _adapted(self, sent: dict[str, Any], refusal: str) -> bool:
        """Leave out for good what this model does not take; return whether that may help."""
        options = dict(sent)
        if "max_completion_tokens" in refusal and "max_tokens" in options:
            options["max_completion_tokens"] = options.pop("max_tokens")
        elif "temperature" in refusal:
            options.pop("temperature", None)
        if options == sent:
            return False
        self._options = options
        return True


def _completion(body: bytes, sent_tokens: int) -> Completion:
    """Take the text out of an answer.

    Raises:
        ContextOverflow: it is an error with the status of a success, as relays send them.
        LlmUnavailable: it holds none.
    """
    try:
        answer = json.loads(body)
        choice = answer["choices"][0]
        content = choice["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        if _OVERFLOW.search(body[:ERROR_BYTES].decode("utf-8", "replace")):
            raise ContextOverflow("The page is longer than the model takes.") from None
        raise LlmUnavailable("The model's endpoint sent something that is no answer.") from None
    spent = _usage(answer)
    if not isinstance(content, str) or not (text := _THOUGHT.sub("", content).strip()):
        raise LlmUnavailable("The model sent an empty answer.", spent or sent_tokens)
    spent = spent or sent_tokens + tokens(content)
    return Completion(text, spent, choice.get("finish_reason") == "length")


def _usage(answer: dict[str, Any]) -> int:
    usage = answer.get("usage")
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    return total if isinstance(total, int) and 0 < total < 10**9 else 0


def _explained(status: int) -> str:
    match status:
        case 0:
            return "The model's endpoint cannot be reached."
        case 401 | 403:
            return f"The model's endpoint does not accept our key (HTTP status {status})."
        case 404:
            return "The model's endpoint does not know the address or the model (HTTP status 404)."
        case 429:
            return "The model's endpoint takes no more requests for now (HTTP status 429)."
    return f"The model's endpoint answered with HTTP status {status}."
