"""Loads what every sandbox has at hand, so that forks share its memory."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Sequence

from mcp_servers.sandbox.confined import memory
from mcp_servers.sandbox.confined.worker import Worker

ALWAYS = ("asyncio", "subprocess", "threading")
"""What workers import where they use it: the zygote, which forks none, does without.

Each fork of a process that has `threading` begins with its hooks, which cost more than all the rest
of forking a small one.
"""

ROOM = 20 << 20
"""Bytes of small objects that numpy, pandas and matplotlib are about to make."""


def loaded_worker(modules: Sequence[str]) -> Worker:
    """Import modules and return what runs Python with them; what fails only its users miss."""
    with memory.room(ROOM):
        worker = Worker()
        for module in (*ALWAYS, *modules):
            try:
                importlib.import_module(module)
            except Exception:  # whatever a library raises when it cannot be imported
                continue
        worker.prepare()
    return worker


def settle() -> None:
    """Have what is here now never be looked at again, and in pages that a fork copies quickly."""
    gc.collect()
    gc.freeze()
    memory.join_mappings()
    memory.gather()
