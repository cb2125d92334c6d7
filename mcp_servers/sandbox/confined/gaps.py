"""Fills the gaps in this process's memory, so that what is made from then on lies close together.

A fork copies each page that it writes to, however little that is; and CPython makes new objects in
the gaps that others left, all over the memory.
"""

from __future__ import annotations

from itertools import pairwise

from mcp_servers.sandbox.confined import memory

_POOL = 1 << 14
_POOL_HEAD = 48
"""CPython keeps small objects in pools, each of which is for one size, since 3.10."""
_SMALL = range(16, 513, 16)
_LARGE = (100_000, 50_000, 25_000, 12_000, 6_000, 3_000, 1_500, *range(1_040, 512, -16))
_HEAD = 40
"""Bytes of an object of bytes beside them, and some that its size is rounded up by."""
_MOST_POOLS, _MOST_ARENAS, _MOST_BYTES = 64, 64, 16 << 20
"""Where to give up, in an interpreter that does otherwise."""
_FEW = 8


def fill() -> list[object]:
    """Return as much as it takes until small objects of each size are made in pools of their own.

    It is to be kept for as long as that shall hold.
    """
    return [_of_pools(size) for size in _SMALL]


def fill_wholly() -> list[object]:
    """Return as much as it takes until all objects are made where there was nothing.

    For a process in whose many megabytes new pools would lie scattered, too; in a small one it
    would take more than it saves.
    """
    return [_of_heap(), _of_arenas(), fill()]


def _of_heap() -> list[object]:
    """Fill what the C library has free: the largest gaps first, so that each is filled at once."""
    kept: list[object] = []
    top = 0
    for size in _LARGE:
        for _ in range(_MOST_BYTES // size):
            kept.append(made := bytes(size - _HEAD))
            if id(made) > top:
                top = id(made)
                break
    return kept


def _of_arenas() -> list[object]:
    """Fill pools that are free, until an arena is begun for more of them."""
    known = [(mapping.begin, mapping.end) for mapping in memory.mappings()]
    kept: list[object] = []
    for _ in range(_MOST_ARENAS * memory.ARENA // _POOL):
        objects = _pool_of(_SMALL[-1])
        if not any(begin <= id(objects[0]) < end for begin, end in known):
            break
        kept.append(objects)
    return kept


def _of_pools(size: int) -> list[object]:
    """Fill pools of objects of one size, until a pool is begun."""
    kept: list[object] = []
    for _ in range(_MOST_POOLS):
        objects = _pool_of(size)
        if sum(id(other) - id(one) != size for one, other in pairwise(objects)) <= _FEW:
            begun = id(objects[-1]) // _POOL
            kept += [it for it in objects if id(it) // _POOL != begun]
            break
        kept += objects
    return kept


def _pool_of(size: int) -> list[object]:
    """Return as many objects of a size as a pool has room for."""
    objects: list[object] = [None] * ((_POOL - _POOL_HEAD) // size)
    for place in range(len(objects)):
        objects[place] = _object_of(size)
    return objects


def _object_of(size: int) -> object:
    """Return an object that takes so many bytes."""
    if size == 16:
        return object()
    return complex(1, 1) if size == 32 else bytes(size - _HEAD)
