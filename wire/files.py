"""The routes of files and sandboxes, which managers and nodes relay to a tool server, unread."""

from __future__ import annotations

FILES = "/v1/files"
SANDBOXES = "/v1/sandboxes"
MAX_FILE_BYTES = 100 * 1024 * 1024
"""Longest body of a file; of everything else less is taken."""


def is_here(path: str) -> bool:
    """Whether a path belongs to these routes."""
    return path in (FILES, SANDBOXES) or path.startswith((f"{FILES}/", f"{SANDBOXES}/"))


def takes_any_body(method: str, path: str) -> bool:
    """Whether the body is a file: of any content type, and up to MAX_FILE_BYTES long."""
    return method == "PUT" and is_here(path)
