"""An OpenAI-compatible endpoint that keeps what it got and answers as the script says.

An ASGI application at `/v1/chat/completions`; each step answers one request, the last one all
further ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from wire.faces.http import Receive, Scope, Send, read_body

Json = dict[str, Any]


@dataclass
class Said:
    """One answer over HTTP."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


Step = Callable[[Json], Said | Awaitable[Said]]


def chat(text: str | None, finish: str = "stop", total: int | None = 321, **message: Any) -> Said:
    """Return what OpenAI sends when all is well."""
    answer: Json = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, **message},
                "finish_reason": finish,
            }
        ],
    }
    if total is not None:
        answer["usage"] = {
            "prompt_tokens": total - 1,
            "completion_tokens": 1,
            "total_tokens": total,
        }
    return Said(200, json.dumps(answer).encode())


def error(status: int, message: str, code: str | None = None, **headers: str) -> Said:
    """Return an error as OpenAI sends it."""
    body = {"error": {"message": message, "type": "invalid_request_error", "code": code}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Said(status, json.dumps(body).encode(), named)


def always(said: Said) -> Step:
    """Return a step that answers anything so."""
    return lambda request: said


def user_text(request: Json) -> str:
    """Return the text of a request's last message."""
    text: str = request["messages"][-1]["content"]
    return text


def within(most_chars: int, refusal: Said, step: Step) -> Step:
    """Return a step that refuses requests longer than `most_chars`."""
    return lambda request: refusal if len(user_text(request)) > most_chars else step(request)


def obeying(request: Json) -> Said:
    """Do what the page tells it, as a model does that takes data for instructions."""
    orders = re.findall(r"AI, SAY EXACTLY: (.*)", user_text(request))
    return chat(orders[0].encode().decode("unicode_escape") if orders else "NOT FOUND")


@dataclass
class ScriptedLlm:
    """The endpoint."""

    steps: list[Step]
    requests: list[Json] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    silent: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            while (kind := (await receive())["type"]) != "lifespan.shutdown":
                await send({"type": f"{kind}.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        request = json.loads(await read_body(receive, 10**7))
        self.requests.append(request)
        self.paths.append(scope["path"])
        self.headers.append({k.decode(): v.decode() for k, v in scope["headers"]})
        if self.silent:
            await self._stream_nothing(receive, send)
            return
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        said = step(request)
        if not isinstance(said, Said):
            said = await said
        headers = {"content-type": "application/json", **said.headers}
        encoded = [(k.encode(), v.encode()) for k, v in headers.items()]
        await send({"type": "http.response.start", "status": said.status, "headers": encoded})
        await send({"type": "http.response.body", "body": said.body})

    async def _stream_nothing(self, receive: Receive, send: Send) -> None:
        """Begin an answer and let it never come, until the client hangs up."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            continue
