"""Chooses the best level that works here, by trying it, and refuses what keeps too little."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import anyio

from mcp_servers.sandbox.confined.site import Limits, Site
from mcp_servers.sandbox.levels.base import Level, LevelFault
from mcp_servers.sandbox.record import Facts, Records
from mcp_servers.sandbox.run import CannotRun, TimeLimit
from mcp_servers.sandbox.sandbox import Sandbox

log = logging.getLogger(__name__)

BEST_FIRST = ("namespaces", "fallback")
PROBE = TimeLimit(10.0, 1.0)
FIRST_PYTHON = TimeLimit(60.0, 1.0)
"""The libraries are loaded before."""
FEW = 12
"""Processes that a probe's sandbox may have."""

_SIGHT = """
[ -z "$(find / -xdev -name 'agentdock-probe-*' 2>/dev/null)" ] || echo files
[ "$(ls -d /proc/[0-9]* | wc -l)" -lt 9 ] || echo processes
(exec 3<>/dev/tcp/127.0.0.1/9) 2>/dev/null && echo network
[ -z "$(grep -v '^ *lo:' /proc/net/dev | tail -n +3)" ] || echo network
unshare -U true 2>/dev/null && echo kernel
touch /usr/probe 2>/dev/null && echo files
exit 0
"""
_FILL = f"for n in $(seq {FEW - 4}); do sleep 5 & done; sleep 5"
_FORK = f"for n in $(seq {FEW - 5}); do sleep 0.01 & done; wait"


async def choose(
    names: Sequence[str],
    make: Callable[[str], Level],
    records: Records,
    demanded: frozenset[str],
) -> Level:
    """Return the first level that works and keeps what is demanded, started.

    Args:
        names: Levels, the best first.
        make: Makes a level of its name.
        records: Where its probe's sandboxes are kept for a moment.
        demanded: What has to be promised.

    Raises:
        LevelFault: there is none; the text says why for each.
    """
    faults = []
    for name in names:
        level = make(name)
        try:
            await level.start()
            missing = demanded - level.promises()
            if missing:
                raise LevelFault(f"it does not promise {', '.join(sorted(missing))}")
            if name == "namespaces":
                await _probe(level, records)
        except LevelFault as fault:
            faults.append(f"{name}: {fault}")
            log.warning("the sandbox cannot use level %s: %s", name, fault)
            await level.close()
        else:
            return level
    raise LevelFault("no sandbox can be confined here. " + "; ".join(faults))


async def _probe(level: Level, records: Records) -> None:
    """See whether a level keeps what it promises.

    Raises:
        LevelFault: it does not.
    """
    few = Limits(processes=FEW)
    try:
        async with _opened(level, records, few) as sandbox:
            seen = await sandbox.command(_SIGHT, PROBE)
            if seen.exit_code != 0 or seen.stdout.strip():
                broken = ", ".join(seen.stdout.split()) or seen.stderr.strip()
                raise LevelFault(f"a probe broke out: {broken}")
            await sandbox.start_command(_FILL)
            # Each counts its own processes, although outside they may be of one user.
            async with _opened(level, records, few) as other:
                forked = await other.command(_FORK, PROBE)
                if forked.stderr:
                    raise LevelFault("its sandboxes share one limit of processes")
                begun = await other.python("1 + 1", FIRST_PYTHON, last=True)
                if begun.results != ["2"]:
                    raise LevelFault(f"no Python runs there: {(begun.error or {}).get('value')}")
    except CannotRun as error:
        raise LevelFault(str(error)) from None


@asynccontextmanager
async def _opened(level: Level, records: Records, limits: Limits) -> AsyncIterator[Sandbox]:
    number = 0
    name = f"agentdock-probe-{time.time_ns()}"
    facts = Facts(name, "", 60.0, number, time.time())
    make = partial(records.make, facts, level.user_of(number), lasting=False)
    record = await anyio.to_thread.run_sync(make)
    site = Site(str(record.folder), level.user_of(number), limits)
    sandbox = Sandbox(record.folder.name, site, level)
    try:
        yield sandbox
    finally:
        with anyio.CancelScope(shield=True):
            await sandbox.close()
            await anyio.to_thread.run_sync(record.forget)
