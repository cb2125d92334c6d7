"""Loads what every sandbox has at hand, so that forks share its memory."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Sequence

from mcp_servers.sandbox.confined import gaps, memory
from mcp_servers.sandbox.confined.worker import Worker

ALWAYS = ("asyncio", "subprocess", "threading")
"""What workers import where they use it. The zygote, and the nursery for plain code, do without.

Each fork of a process that has `threading` begins with its hooks, which cost more than all the rest
of forking a small one.
"""

ROOM = 32 << 20
"""Bytes of small objects that numpy, pandas and matplotlib are about to make."""
ROOM_OF_PLAIN = 4 << 20
"""Bytes of those that modules of the standard library make."""


def loaded_worker(modules: Sequence[str], room: int = ROOM) -> Worker:
    """Import modules and return what runs Python with them; what fails only its users miss.

    Args:
        modules: Their names.
        room: Bytes of small objects that they are about to make.
    """
    with memory.room(room):
        worker = Worker()
        for module in modules:
            try:
                importlib.import_module(module)
            except Exception:  # whatever a library raises when it cannot be imported
                continue
        worker.prepare()
    return worker


def settle(worker: Worker | None = None) -> list[object]:
    """Have what is here now never be looked at again, and in pages that a fork copies quickly.

    Args:
        worker: What forks will run, if they will.

    Returns:
        What is to be kept for as long as that shall hold.
    """
    gc.collect()
    _forget_attributes()
    fill = gaps.fill() if worker is None else _settle_worker(worker)
    gc.freeze()
    memory.join_mappings()
    memory.gather()
    return fill


def _settle_worker(worker: Worker) -> list[object]:
    """Have a worker's last objects, and those of its forks, made where new ones lie together."""
    fill = gaps.fill_wholly()
    worker.prepare_draws()
    # Some was freed by that; and what was made while gaps were filled lay in gaps, too, where the
    # interpreter keeps it for reuse until it collects.
    gc.collect()
    return [fill, gaps.fill_wholly()]


def _forget_attributes() -> None:
    """Empty the interpreter's list of attributes that were looked up in types.

    A fork that looks up others writes to the names that it finds in their place: after matplotlib
    was loaded, those of its methods, each on a page of its own.
    """
    if sys.version_info >= (3, 13):
        sys._clear_internal_caches()
    else:
        sys._clear_type_cache()
