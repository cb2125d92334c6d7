"""Files over HTTP on a unix socket: what the node relays for agents, so that no file is base64.

`/v1/files/{path}` is the owner's folder, `/v1/sandboxes/{id}/files/{path}` a sandbox's workspace,
`/v1/sandboxes` the owner's sandboxes. The node says in a header whose request it is; the socket
lies where only the node can reach it.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from email.utils import formatdate
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes

import anyio.to_thread
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from mcp_servers.sandbox import paths
from mcp_servers.sandbox.area import Folder, OpenFile
from mcp_servers.sandbox.problems import HANDLERS, problem
from mcp_servers.sandbox.transfers import (
    MAX_FILE,
    PIECE,
    FileArea,
    NoWorkspace,
    Sandboxes,
    too_large,
)

OWNER = "x-agentdock-owner"
KIND = "application/octet-stream"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class FilesApp:
    """Answers requests for files.

    Args:
        area: The owners' folders.
        sandboxes: The sandboxes and their files; None while there are none that last.
        max_bytes: Largest file.
    """

    def __init__(
        self, area: FileArea, sandboxes: Sandboxes | None = None, max_bytes: int = MAX_FILE
    ) -> None:
        self._area = area
        self._sandboxes = sandboxes
        self._max_bytes = max_bytes
        methods = ["GET", "HEAD", "PUT", "DELETE"]
        self.app = Starlette(
            routes=[
                Route("/v1/files", self._answer, methods=["GET", "HEAD"]),
                Route("/v1/files/{path:path}", self._answer, methods=methods),
                Route("/v1/sandboxes", self._list_sandboxes, methods=["GET"]),
                Route("/v1/sandboxes", self._close_sandboxes, methods=["DELETE"]),
                Route("/v1/sandboxes/{sandbox}", self._show_sandbox, methods=["GET"]),
                Route("/v1/sandboxes/{sandbox}", self._close_sandbox, methods=["DELETE"]),
                Route("/v1/sandboxes/{sandbox}/files", self._answer, methods=["GET", "HEAD"]),
                Route("/v1/sandboxes/{sandbox}/files/{path:path}", self._answer, methods=methods),
            ],
            exception_handlers=HANDLERS,
        )

    async def tidy(self) -> None:
        """Delete what servers that were killed left half-written."""
        await self._area.sweep()

    async def _list_sandboxes(self, request: Request) -> Response:
        found = self._sandboxes.list(_owner(request)) if self._sandboxes is not None else []
        return JSONResponse({"sandboxes": found})

    async def _close_sandboxes(self, request: Request) -> Response:
        """Close all sandboxes of the owner, as at the end of its Session."""
        owner = _owner(request)
        own = self._sandboxes.list(owner) if self._sandboxes is not None else []
        async with anyio.create_task_group() as closing:
            for sandbox in own:
                closing.start_soon(self._close_if_open, sandbox["sandbox_id"], owner)
        return JSONResponse({"closed": len(own)})

    async def _close_if_open(self, sandbox: str, owner: str) -> None:
        try:
            await self._all_sandboxes(sandbox).close(sandbox, owner)
        except NoWorkspace:
            return  # somebody else closes it

    async def _show_sandbox(self, request: Request) -> Response:
        wanted = request.path_params["sandbox"]
        for sandbox in self._all_sandboxes(wanted).list(_owner(request)):
            if sandbox["sandbox_id"] == wanted:
                return JSONResponse(sandbox)
        raise _no_sandbox(wanted)

    async def _close_sandbox(self, request: Request) -> Response:
        wanted = request.path_params["sandbox"]
        await self._all_sandboxes(wanted).close(wanted, _owner(request))
        return Response(status_code=204)

    async def _answer(self, request: Request) -> Response:
        path = request.path_params.get("path", "")
        _check_letters(request)
        if request.method == "PUT":
            async with self._folder(request) as folder:
                return await self._put(request, folder, paths.split_file(path))
        if request.method == "DELETE":
            names = paths.split(path)
            if not names:
                raise paths.BadPath("The folder itself cannot be deleted.")
            async with self._folder(request) as folder:
                await anyio.to_thread.run_sync(folder.delete, names)
            return Response(status_code=204)
        if path == "" or path.endswith("/"):
            return await self._list(request, paths.split(path))
        async with self._folder(request) as folder:
            file = await anyio.to_thread.run_sync(folder.open, paths.split_file(path))
        return _sent(request, file)

    def _folder(self, request: Request) -> AbstractAsyncContextManager[Folder]:
        owner = _owner(request)
        sandbox = request.path_params.get("sandbox")
        if sandbox is None:
            return self._area.opened(owner)
        return self._all_sandboxes(sandbox).opened(sandbox, owner)

    def _all_sandboxes(self, wanted: str) -> Sandboxes:
        """Return the sandboxes.

        Raises:
            NoWorkspace: there are none, so `wanted` is none either.
        """
        if self._sandboxes is None:
            raise _no_sandbox(wanted)
        return self._sandboxes

    async def _list(self, request: Request, names: tuple[str, ...]) -> Response:
        async with self._folder(request) as folder:
            items = await anyio.to_thread.run_sync(folder.list, names)
        shown = [
            {"name": it.name, "kind": it.kind, "size": it.size, "modified": it.modified}
            for it in items
        ]
        return JSONResponse({"path": "/".join(names), "items": shown})

    async def _put(self, request: Request, folder: Folder, names: tuple[str, ...]) -> Response:
        length = request.headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._max_bytes:
            await _let_out(request, self._max_bytes)
            raise too_large(self._max_bytes)
        run = anyio.to_thread.run_sync
        with await run(folder.draft, names) as draft:
            size = 0
            async for piece in request.stream():
                size += len(piece)
                if size > self._max_bytes:
                    await _let_out(request, self._max_bytes)
                    raise too_large(self._max_bytes)
                await run(draft.write, piece)
            replaced = await run(draft.commit)
        answer = {"path": "/".join(names), "size": size}
        return JSONResponse(answer, 200 if replaced else 201)


def _sent(request: Request, file: OpenFile) -> Response:
    """Return the file, or the range of it that was asked for; it is closed with the answer."""
    headers = {
        "accept-ranges": "bytes",
        "etag": file.tag,
        "last-modified": formatdate(file.modified, usegmt=True),
        # It is a stranger's: no browser shall take it for a page of ours.
        "content-disposition": "attachment",
        "x-content-type-options": "nosniff",
    }
    begin, end, status = 0, file.size, 200
    wanted = _RANGE.fullmatch(request.headers.get("range", ""))
    if wanted and any(wanted.groups()) and request.headers.get("if-range", file.tag) == file.tag:
        begin, end = _span(wanted[1], wanted[2], file.size)
        status = 206
        headers["content-range"] = f"bytes {begin}-{end - 1}/{file.size}"
        if begin >= end:
            with file:
                text = f"The file has {file.size} bytes."
                shown = {"content-range": f"bytes */{file.size}"}
                return problem("range_not_satisfiable", 416, text, shown)
    headers["content-length"] = str(end - begin)
    if request.method == "HEAD":
        with file:
            return Response(status_code=status, headers=headers, media_type=KIND)
    return _FileResponse(file, begin, end, status, headers)


class _FileResponse(StreamingResponse):
    """Part of a file, which is closed afterwards, whatever becomes of the answer."""

    def __init__(
        self, file: OpenFile, begin: int, end: int, status: int, headers: dict[str, str]
    ) -> None:
        super().__init__(_pieces(file, begin, end), status, headers, KIND)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file:
            await super().__call__(scope, receive, send)


async def _pieces(file: OpenFile, begin: int, end: int) -> AsyncIterator[bytes]:
    while begin < end:
        piece = await anyio.to_thread.run_sync(file.read, begin, min(PIECE, end - begin))
        if not piece:
            return  # it became shorter: the server breaks off, which the reader notices
        begin += len(piece)
        yield piece


def _span(first: str, last: str, size: int) -> tuple[int, int]:
    """Return begin and end of a range (RFC 9110); an empty one cannot be satisfied."""
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size


async def _let_out(request: Request, most: int) -> None:
    """Read on for a while: most senders hear an answer only after they sent everything."""
    try:
        async for piece in request.stream():
            most -= len(piece)
            if most < 0:
                return
    except (ClientDisconnect, RuntimeError):
        return


def _owner(request: Request) -> str:
    """Return whose request it is.

    Raises:
        BadPath: nobody says.
    """
    owner = unquote(request.headers.get(OWNER, ""))
    if not owner:
        raise paths.BadPath(f"The header {OWNER} must say whose request it is.")
    return owner


def _check_letters(request: Request) -> None:
    """Refuse a path that is not UTF-8: decoded loosely, two different ones would be the same file.

    Raises:
        BadPath: it is not.
    """
    try:
        unquote_to_bytes(request.scope["raw_path"]).decode()
    except UnicodeDecodeError:
        raise paths.BadPath("The path is not UTF-8.") from None


def _no_sandbox(wanted: str) -> NoWorkspace:
    return NoWorkspace(f"There is no sandbox {wanted[:200]!r}.")


class _Server(uvicorn.Server):
    """A server beside another one: signals are not its business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@asynccontextmanager
async def serving(app: FilesApp, path: Path) -> AsyncIterator[None]:
    """Serve on a unix socket at `path` while the context is open.

    A socket that is there already is replaced at once, without a moment without one: a successor
    takes over from a server that drains.

    Raises:
        OSError: the socket cannot be made.
    """
    config = uvicorn.Config(
        app.app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
    )
    server = _Server(config)
    listener, inode = _listen(path)
    try:
        task = asyncio.create_task(server.serve([listener]), name="files")
        tidying = asyncio.create_task(app.tidy(), name="tidying of files")
        try:
            yield
        finally:
            server.should_exit = server.force_exit = True
            tidying.cancel()
            await asyncio.wait([task, tidying])
    finally:
        listener.close()
        _remove(path, inode)


def _listen(path: Path) -> tuple[socket.socket, int]:
    """Return a listening socket with the inode of its file."""
    coming = path.with_name(f"{path.name}.{os.getpid()}")
    coming.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(coming))
        coming.chmod(0o600)
        listener.listen(128)
        coming.rename(path)
    except OSError:
        listener.close()
        raise
    return listener, path.stat().st_ino


def _remove(path: Path, inode: int) -> None:
    """Delete the socket, unless a successor has put its own there."""
    try:
        if path.stat().st_ino == inode:
            path.unlink()
    except FileNotFoundError:
        return
