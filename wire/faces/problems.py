"""Turns every error of the FastAPI routes into an RFC 9457 problem document."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from wire.errors import BadRequest, NotFound, PlatformError

log = logging.getLogger(__name__)


def answer_with_problems(app: FastAPI) -> None:
    """Install the handlers; routes themselves contain no `try`."""
    app.add_exception_handler(PlatformError, _platform)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def _response(error: PlatformError, status: int | None = None) -> Response:
    headers = {name.decode(): value.decode() for name, value in error.headers()}
    return JSONResponse(
        error.problem() | ({} if status is None else {"status": status}),
        status_code=status or error.http_status,
        headers=headers,
        media_type="application/problem+json",
    )


async def _platform(request: Request, error: Exception) -> Response:
    assert isinstance(error, PlatformError)
    return _response(error)


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [
        f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
        for fault in error.errors()
    ]
    return _response(BadRequest("; ".join(faults)))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == NotFound.http_status:
        return _response(NotFound(f"There is nothing at {request.url.path}. See /docs."))
    return _response(BadRequest(f"{error.detail} ({request.method})."), error.status_code)


async def _unexpected(request: Request, error: Exception) -> Response:
    return _response(PlatformError("The service met an unexpected fault; its log has the details."))
