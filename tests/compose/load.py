"""Calls that go on while something happens to the platform."""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import TracebackType
from typing import Self

import httpx

from tests.compose.deployment import Deployment

CALLERS = 6


class Load:
    """While the context is open, several callers call `echo` and count how each call went."""

    def __init__(self, deployment: Deployment) -> None:
        self._url = str(deployment.client.base_url)
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(n,)) for n in range(CALLERS)]
        self.outcomes: Counter[str] = Counter()
        self.last_failure = 0.0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    @property
    def failures(self) -> Counter[str]:
        """How often each failure was met."""
        return Counter({k: n for k, n in self.outcomes.items() if k != "ok"})

    def wait_for(self, calls: int) -> None:
        """Wait until so many calls more have gone well."""
        goal = self.outcomes["ok"] + calls
        until = time.monotonic() + 30
        while self.outcomes["ok"] < goal:
            assert time.monotonic() < until, f"calls stopped going well: {self.outcomes}"
            time.sleep(0.02)

    def _call(self, number: int) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            count = 0
            while not self._over.is_set():
                count += 1
                outcome = _outcome(client, f"{number}:{count}")
                self.outcomes[outcome] += 1
                if outcome != "ok":
                    self.last_failure = time.monotonic()
                self._over.wait(0.01)


def _outcome(client: httpx.Client, text: str) -> str:
    try:
        answer = client.post("/v1/tools/echo__echo/call", json={"arguments": {"text": text}})
    except httpx.TransportError as error:
        return type(error).__name__
    if answer.status_code != 200:
        return str(answer.json().get("code"))
    [part] = answer.json()["content"]
    return "ok" if part["text"] == text else "the answer of another call"
