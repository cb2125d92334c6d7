"""Describes `/v1/files` and `/v1/sandboxes` in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from wire.faces.operations import SESSION, operation, parameter

BYTES = "application/octet-stream"
_FILE = {"schema": {"type": "string", "format": "binary"}}
_ITEM = {"name": "data.csv", "kind": "file", "size": 1024, "modified": 1764000000.0}
_LIST = {"example": {"path": "", "items": [_ITEM]}}
_SANDBOX = {"sandbox_id": "explore.3f2a.9c0d"}
_PATH = parameter("path", "path", "A file beneath the folder; with a slash at the end, a folder.")
_RANGE = parameter("header", "Range", "The part of the file that is wanted, such as bytes=0-99.")
_IF_RANGE = parameter("header", "If-Range", "The ETag without which the whole file is wanted.")
_ID = parameter("path", "id", "The sandbox, as the tool that opened it said.")


def file_paths() -> dict[str, Any]:
    """Return the paths of files and sandboxes."""
    return {
        **_folder("/v1/files", "Files", "your folder", [SESSION]),
        "/v1/sandboxes": {
            "get": operation(
                "sandboxes",
                "listSandboxes",
                "List your sandboxes",
                {"example": {"sandboxes": [_SANDBOX], "failed": {}}},
                parameters=[SESSION],
            )
        },
        "/v1/sandboxes/{id}": {
            "get": operation(
                "sandboxes",
                "showSandbox",
                "Show a sandbox",
                {"example": _SANDBOX},
                parameters=[_ID, SESSION],
            ),
            "delete": operation(
                "sandboxes",
                "closeSandbox",
                "Close a sandbox",
                {},
                status=204,
                parameters=[_ID, SESSION],
            ),
        },
        **_folder("/v1/sandboxes/{id}/files", "SandboxFiles", "a sandbox", [_ID, SESSION]),
    }


def _folder(prefix: str, name: str, what: str, parameters: list[Any]) -> dict[str, Any]:
    """Return the paths of one folder and of the files in it."""
    there = [_PATH, *parameters]
    put = {"required": True, "content": {"*/*": _FILE}}
    stored = {"example": {"path": "data.csv", "size": 1024}}
    parts = [_RANGE, _IF_RANGE]

    def one(method: str, text: str, answer: dict[str, Any], **more: Any) -> dict[str, Any]:
        more = {"parameters": there} | more
        return operation("files", f"{method}{name}", f"{text} {what}", answer, **more)

    return {
        prefix: {"get": one("list", "List what is in", _LIST, parameters=parameters)},
        f"{prefix}/{{path}}": {
            "get": one(
                "get",
                "Read a file or list a folder in",
                _FILE,
                media=BYTES,
                parameters=[*there, *parts],
            ),
            "head": one("head", "Tell size and ETag of a file in", {}, media=BYTES),
            "put": one("put", "Store a file in", stored, status=201, requestBody=put),
            "delete": one("delete", "Delete a file or an empty folder in", {}, status=204),
        },
    }
