"""The node's membership with a manager: joins, reports, leaves; keeps trying while it is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

import httpx

from wire.models import NodeReport, Registration, ReportTaken

log = logging.getLogger(__name__)

REPORT_TIMEOUT_S = 3.0
LEAVE_TIMEOUT_S = 1.0


class Membership:
    """Tells one manager how this node stands: every so often, and at once after each change.

    Of several managers it reports to one, and turns to the next when that one does not take a
    report. Who cannot keep a report takes notice of it all the same, so in an outage of their
    store each of them hears of this node in turn.

    Args:
        manager_urls: The managers, without slashes at the end; one or more.
        secret: What manager and nodes know each other by.
        report: Returns the report of this moment.
        every_s: Seconds between two reports.
        take: Takes the registrations that a manager says this node lacks.
    """

    def __init__(
        self,
        manager_urls: Sequence[str],
        secret: str,
        report: Callable[[], NodeReport],
        every_s: float,
        take: Callable[[Sequence[Registration]], None] = lambda news: None,
    ) -> None:
        self._urls = tuple(manager_urls)
        self._turn = 0
        self._headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
        self._report = report
        self._every_s = every_s
        self._take = take
        self._changed = asyncio.Event()
        self._troubles: dict[str, str] = {}
        self._joined: str | None = None

    def changed(self) -> None:
        """Report soon: something but the load has changed."""
        self._changed.set()

    async def run(self) -> None:
        """Report until cancelled, then leave."""
        # No proxy settings: manager and node are neighbours.
        async with httpx.AsyncClient(headers=self._headers, trust_env=False) as client:
            try:
                while True:
                    self._changed.clear()
                    await self._tell(client)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._every_s):
                            await self._changed.wait()
            finally:
                await self._leave(client)

    async def _tell(self, client: httpx.AsyncClient) -> None:
        """Report to the first manager that takes it, from the present one on."""
        for _ in self._urls:
            url = self._urls[self._turn]
            trouble = await self._send(client, url)
            self._note(url, trouble)
            if trouble is None:
                return
            self._turn = (self._turn + 1) % len(self._urls)

    async def _send(self, client: httpx.AsyncClient, url: str) -> str | None:
        """Report to one manager; return what went wrong, if anything.

        Whatever it is, the next round tries again: we are still a member.
        """
        try:
            report = self._report()
            response = await client.put(
                f"{url}/v1/nodes/{report.id}/report",
                content=report.model_dump_json(),
                timeout=REPORT_TIMEOUT_S,
            )
        except httpx.HTTPError as error:
            return f"cannot be reached ({str(error) or type(error).__name__})"
        except Exception as error:
            return f"cannot be told of this node ({type(error).__name__}: {str(error)[:200]})"
        if response.is_success:
            return self._heed(response.content)
        if response.status_code in (401, 403):
            return "refuses this node: AGENTDOCK_SECRET must be the same for both"
        return f"refuses the report: {response.status_code} {response.text[:300]}"

    def _heed(self, answer: bytes) -> str | None:
        """Do what a manager's answer to a report says; return what was wrong with it, if any."""
        try:
            taken = ReportTaken.model_validate_json(answer)
        except ValueError:
            return "took the report, but its answer cannot be read: is it of another version?"
        if taken.registrations:
            self._take(taken.registrations)
        return None

    async def _leave(self, client: httpx.AsyncClient) -> None:
        url = self._urls[self._turn]
        if url in self._troubles or self._joined is None:
            return
        with suppress(httpx.HTTPError):
            report = self._report()
            # Said late, it must not make the manager forget the process that came after this one.
            await client.delete(
                f"{url}/v1/nodes/{report.id}",
                params={"boot": report.boot},
                timeout=LEAVE_TIMEOUT_S,
            )
            log.info("left manager %s", url)

    def _note(self, url: str, trouble: str | None) -> None:
        """Log what changed: an outage is one line at its start and one at its end."""
        before = self._troubles.pop(url, None)
        if trouble is None:
            if before is not None or self._joined != url:
                log.info("joined manager %s", url)
            self._joined = url
            return
        if trouble[:24] != (before or "")[:24]:
            log.warning("manager %s %s; trying on", url, trouble)
        self._troubles[url] = trouble
