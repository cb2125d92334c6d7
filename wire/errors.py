"""The platform's failures, each with a stable code. A tool's own failure is never one of these.

`PlatformError` is the root; faces translate it once, into RFC 9457 problem details over HTTP and
into JSON-RPC errors over MCP. `from_problem` restores an error that a node sent to the manager.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from mcp_types import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST

REQUEST_TIMEOUT = -32001
"""JSON-RPC code that the MCP SDKs use for a request that took too long."""


class PlatformError(Exception):
    """The platform failed, or refused, to do what was asked.

    Args:
        detail: One sentence for the caller: what went wrong and what to do.
        retry_after_s: Seconds after which another try makes sense, if known.
        extra: Further JSON fields of the problem document.
    """

    code: ClassVar[str] = "internal_error"
    http_status: ClassVar[int] = 500
    rpc_code: ClassVar[int] = INTERNAL_ERROR
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, *, retry_after_s: float | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.extra = extra

    def problem(self) -> dict[str, Any]:
        """Return the RFC 9457 document, with our `code` and `retryable` beside its fields."""
        document: dict[str, Any] = {
            "type": f"urn:agentdock:error:{self.code}",
            "title": self.code.replace("_", " "),
            "status": self.http_status,
            "detail": self.detail,
            "code": self.code,
            "retryable": self.retryable,
        }
        if self.retry_after_s is not None:
            document["retry_after_s"] = self.retry_after_s
        return document | self.extra

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the HTTP headers that belong to this error."""
        if self.retry_after_s is None:
            return []
        return [(b"retry-after", b"%d" % max(1, math.ceil(self.retry_after_s)))]


class BadRequest(PlatformError):
    """The request is not of the documented form."""

    code = "bad_request"
    http_status = 400
    rpc_code = INVALID_REQUEST


class Unauthorized(PlatformError):
    """No key, or one that is not known."""

    code = "unauthorized"
    http_status = 401

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Name the scheme, as RFC 9110 asks of a 401."""
        return [(b"www-authenticate", b"Bearer")]


class Forbidden(PlatformError):
    """The caller is known and may not do this."""

    code = "forbidden"
    http_status = 403


class OriginRefused(PlatformError):
    """A web page of another origin sent the request."""

    code = "origin_refused"
    http_status = 403


class HostRefused(PlatformError):
    """The Host header names a host that this service does not answer for."""

    code = "host_refused"
    http_status = 421


class UnsupportedMediaType(PlatformError):
    """A body that is not application/json."""

    code = "unsupported_media_type"
    http_status = 415


class BodyTooLarge(PlatformError):
    """The request's body is over the limit."""

    code = "body_too_large"
    http_status = 413


class NotFound(PlatformError):
    """No such route, tool server or node."""

    code = "not_found"
    http_status = 404
    rpc_code = INVALID_PARAMS


class ToolNotFound(PlatformError):
    """No tool has that name; `near` lists similar ones."""

    code = "tool_not_found"
    http_status = 404
    rpc_code = INVALID_PARAMS


class ToolAmbiguous(PlatformError):
    """Several tool servers have a tool of that bare name; `candidates` lists them."""

    code = "tool_ambiguous"
    http_status = 409
    rpc_code = INVALID_PARAMS


class BadArguments(PlatformError):
    """The arguments do not fit the tool's schema; `field` says where."""

    code = "bad_arguments"
    http_status = 422
    rpc_code = INVALID_PARAMS


class BadEntry(PlatformError):
    """An entry for a tool server that cannot be used."""

    code = "bad_entry"
    http_status = 422


class Conflict(PlatformError):
    """What is there already is in the way of what was asked."""

    code = "conflict"
    http_status = 409


class Overloaded(PlatformError):
    """Too much work; nothing was accepted."""

    code = "overloaded"
    http_status = 503
    retryable = True


class NoNode(PlatformError):
    """No node could be reached that has the tool; nothing ran."""

    code = "no_node"
    http_status = 503
    retryable = True


class NodeLost(PlatformError):
    """The node went away after it may have accepted the call, which may have run."""

    code = "node_lost"
    http_status = 502


class ServerUnavailable(PlatformError):
    """The tool server is not running now; nothing ran."""

    code = "server_unavailable"
    http_status = 503
    retryable = True


class ServerCrashed(PlatformError):
    """The tool server died while it worked on the call, which may have run in part."""

    code = "server_crashed"
    http_status = 502


class ServerError(PlatformError):
    """The tool server answered with a JSON-RPC error; `rpc_error` holds it as it came."""

    code = "server_error"
    http_status = 502


class CallTimedOut(PlatformError):
    """The call's deadline passed; the tool was told to stop."""

    code = "call_timed_out"
    http_status = 504
    rpc_code = REQUEST_TIMEOUT


class TransferStalled(PlatformError):
    """A file stopped moving on its way, so the transfer was given up; it may be stored."""

    code = "transfer_stalled"
    http_status = 504


class SandboxLost(PlatformError):
    """The node that held the sandbox is gone, and the sandbox with it."""

    code = "sandbox_lost"
    http_status = 410


class StoreUnavailable(PlatformError):
    """The store cannot be reached; nothing was saved."""

    code = "store_unavailable"
    http_status = 503
    retryable = True


def _tree(root: type[PlatformError]) -> dict[str, type[PlatformError]]:
    return {root.code: root} | {
        code: c for s in root.__subclasses__() for code, c in _tree(s).items()
    }


def from_problem(problem: dict[str, Any]) -> PlatformError:
    """Restore the error that a node described; an unknown code becomes `PlatformError`."""
    kind = _tree(PlatformError).get(str(problem.get("code")), PlatformError)
    fields = {
        k: v
        for k, v in problem.items()
        if k not in ("type", "title", "status", "detail", "code", "retryable", "retry_after_s")
    }
    detail = str(problem.get("detail", "the node gave no reason"))
    return kind(detail, retry_after_s=problem.get("retry_after_s"), **fields)
