"""How this process's memory lies: what a fork takes depends on pages and mappings, not on bytes."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

from mcp_servers.sandbox.confined import linux

_READ, _WRITE, _EXECUTE = 1, 2, 4
_COLLAPSE = 25
_LARGE_PAGE = 2 << 20
ARENA = 1 << 20
"""Bytes that CPython takes at a time for pools of small objects."""
_FILLER = 400
"""Bytes of an object that is small enough to lie in an arena."""


class Mapping(NamedTuple):
    """A line of /proc/self/maps. `access` is as written there, such as `r-xp`."""

    begin: int
    end: int
    access: str
    offset: int
    name: str

    def goes_on_in(self, other: Mapping) -> bool:
        """Whether the other lies behind this one, in memory and in the same file."""
        return (
            self.name == other.name
            and self.end == other.begin
            and self.offset + self.end - self.begin == other.offset
        )


def gather() -> None:
    """Move this process's own memory into large pages, whose tables a fork copies in less time.

    What is not of whole large pages stays as it is; so does all of it before Linux 6.1.
    """
    for mapping in mappings():
        if mapping.access != "rw-p" or mapping.name not in ("", "[heap]"):
            continue
        begin = -(-mapping.begin // _LARGE_PAGE) * _LARGE_PAGE
        end = mapping.end // _LARGE_PAGE * _LARGE_PAGE
        if begin < end:
            linux.libc().madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), _COLLAPSE)


@contextmanager
def room(size: int) -> Iterator[None]:
    """Have so many bytes of the objects that are made within lie in one place.

    CPython takes memory for small objects in arenas of a mebibyte, which would lie scattered among
    libraries, where they are no large pages.
    """
    # No list that grows, which would take its place among the arenas, time and again.
    fillers: list[bytes | None] = [None] * (size // _FILLER)
    for number in range(len(fillers)):
        fillers[number] = bytes(_FILLER)
    # One in each arena, which is not given back as long as it is there.
    kept = fillers[:: ARENA // 2 // _FILLER]
    del fillers
    yield
    del kept


def join_mappings() -> None:
    """Give neighbouring parts of each library the same access, so that the kernel joins them.

    A fork copies mapping by mapping, and each of more than a hundred libraries has five. This takes
    protections from a process against its own faults, which one that runs foreign code has no use
    for.
    """
    files = [mapping for mapping in mappings() if mapping.name.startswith("/")]
    for one, other in pairwise(files):
        if not one.goes_on_in(other):
            continue
        if {one.access, other.access} == {"r--p", "r-xp"}:
            _protect(one, _READ | _EXECUTE)
            _protect(other, _READ | _EXECUTE)
        elif (one.access, other.access) == ("r--p", "rw-p"):
            _protect(one, _READ | _WRITE)


def _protect(mapping: Mapping, access: int) -> None:
    """Change the access; a kernel that refuses leaves it as it is."""
    length = ctypes.c_size_t(mapping.end - mapping.begin)
    linux.libc().mprotect(ctypes.c_void_p(mapping.begin), length, access)


def mappings() -> Iterator[Mapping]:
    """Yield what this process has mapped, in order of address."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        lines = file.readlines()
    for line in lines:
        span, access, offset, _, _, *name = line.split(maxsplit=5)
        begin, end = (int(address, 16) for address in span.split("-"))
        yield Mapping(begin, end, access, int(offset, 16), name[0].strip() if name else "")
