"""The node's membership with a manager: joins, reports, leaves; keeps trying while it is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

import httpx

from wire.models import NodeReport

log = logging.getLogger(__name__)

REPORT_TIMEOUT_S = 3.0
LEAVE_TIMEOUT_S = 1.0


class Membership:
    """Tells one manager how this node stands: every so often, and at once after each change.

    Args:
        manager_url: The manager, without a slash at the end.
        secret: What manager and nodes know each other by.
        report: Returns the report of this moment.
        every_s: Seconds between two reports.
    """

    def __init__(
        self, manager_url: str, secret: str, report: Callable[[], NodeReport], every_s: float
    ) -> None:
        self._manager_url = manager_url
        self._headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
        self._report = report
        self._every_s = every_s
        self._changed = asyncio.Event()
        self._trouble: str | None = None
        self._joined = False

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
        """Report once. Whatever goes wrong, the next round tries again: we are still a member."""
        try:
            await self._send(client)
        except Exception as error:
            self._note(f"cannot be told of this node ({type(error).__name__}: {str(error)[:200]})")

    async def _send(self, client: httpx.AsyncClient) -> None:
        report = self._report()
        try:
            response = await client.put(
                f"{self._manager_url}/v1/nodes/{report.id}/report",
                content=report.model_dump_json(),
                timeout=REPORT_TIMEOUT_S,
            )
        except httpx.HTTPError as error:
            self._note(f"cannot be reached ({str(error) or type(error).__name__})")
            return
        if response.is_success:
            self._note(None)
        elif response.status_code in (401, 403):
            self._note("refuses this node: AGENTDOCK_SECRET must be the same for both")
        else:
            self._note(f"refuses the report: {response.status_code} {response.text[:300]}")

    async def _leave(self, client: httpx.AsyncClient) -> None:
        if self._trouble is not None:
            return
        with suppress(httpx.HTTPError):
            report = self._report()
            url = f"{self._manager_url}/v1/nodes/{report.id}"
            # Said late, it must not make the manager forget the process that came after this one.
            await client.delete(url, params={"boot": report.boot}, timeout=LEAVE_TIMEOUT_S)
            log.info("left manager %s", self._manager_url)

    def _note(self, trouble: str | None) -> None:
        """Log what changed: an outage is one line at its start and one at its end."""
        if trouble is None and (self._trouble is not None or not self._joined):
            log.info("joined manager %s", self._manager_url)
        elif trouble is not None and (trouble[:24] != (self._trouble or "")[:24]):
            log.warning("manager %s %s; trying on", self._manager_url, trouble)
        self._trouble = trouble
        self._joined = self._joined or trouble is None
