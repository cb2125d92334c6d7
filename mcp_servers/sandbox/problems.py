"""What the files server answers when it refuses: RFC 9457 documents in the platform's form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from mcp_servers.sandbox.area import FileFault
from mcp_servers.sandbox.paths import BadPath
from mcp_servers.sandbox.transfers import NoWorkspace


def problem(
    code: str, status: int, detail: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an answer that says what is wrong."""
    document = {
        "type": f"urn:agentdock:error:{code}",
        "title": code.replace("_", " "),
        "status": status,
        "detail": detail,
        "code": code,
        "retryable": False,
    }
    return JSONResponse(document, status, headers, media_type="application/problem+json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, FileFault)
    return problem(error.code, error.status, str(error))


async def _bad(request: Request, error: Exception) -> Response:
    return problem("bad_request", 400, str(error))


async def _none(request: Request, error: Exception) -> Response:
    return problem("not_found", 404, str(error))


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = "not_found" if error.status_code == 404 else "bad_request"
    text = f"There is nothing at {request.url.path} to {request.method}."
    return problem(code, error.status_code, text, error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    return problem("internal_error", 500, "An unexpected fault; the log of the server has it.")


HANDLERS: Mapping[type[Exception] | int, Callable[[Request, Exception], Awaitable[Response]]] = {
    FileFault: _refused,
    BadPath: _bad,
    NoWorkspace: _none,
    ClientDisconnect: _gone,
    HTTPException: _no_route,
    Exception: _failed,
}
"""What each exception means to whoever asked."""
