"""Moves files between an owner's folder, its sandboxes and the Internet.

This does what the tools of these names promise; their texts are those that agents were trained on.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import anyio.to_thread

from mcp_servers.fetching.errors import FetchError, TooLarge
from mcp_servers.fetching.fetcher import Fetcher, Request
from mcp_servers.sandbox import paths
from mcp_servers.sandbox.area import FileFault, Folder
from mcp_servers.sandbox.quota import Account, Quota, measure

MAX_FILE = 100 * 1024 * 1024
PIECE = 1 << 18
DOWNLOAD_S = 300.0
LONGEST_NAME = 200
ACCOUNTS = 1000
"""Owners whose use of the area is remembered; that of others is measured when they come."""


class Workspaces(Protocol):
    """Where sandboxes keep their files: what transfers need to know of sandboxes."""

    def opened(self, sandbox_id: str, owner: str) -> AbstractAsyncContextManager[Folder]:
        """Hold a sandbox's workspace while the context is open, refreshing the sandbox's expiry.

        Raises (on entering):
            NoWorkspace: there is no such sandbox, or it is another owner's.
        """
        ...


class Sandboxes(Workspaces, Protocol):
    """Sandboxes as their owners see them over HTTP."""

    def list(self, owner: str) -> list[dict[str, Any]]:
        """Return an owner's sandboxes as JSON objects; `sandbox_id` of each is its id."""
        ...

    async def close(self, sandbox_id: str, owner: str) -> None:
        """End a sandbox and everything in it.

        Raises:
            NoWorkspace: there is no such sandbox, or it is another owner's.
        """
        ...


class NoWorkspace(Exception):
    """The sandbox has no workspace for this owner; the message is for the model."""


class Refusal(Exception):
    """A transfer did not happen; the message is for the model."""


class FileArea:
    """The owners' folders, one for each, made when first needed.

    Args:
        root: The folder that holds them.
        quota: What each owner may keep.
    """

    def __init__(self, root: Path, quota: Quota | None = None) -> None:
        self._root = root
        self._quota = quota or Quota()
        self._accounts: OrderedDict[str, Account] = OrderedDict()

    @asynccontextmanager
    async def opened(self, owner: str) -> AsyncIterator[Folder]:
        """Hold an owner's folder while the context is open."""
        name = _folder_name(owner)
        fd = await anyio.to_thread.run_sync(self._open, name)
        try:
            yield Folder(fd, room=self._account(name))
        finally:
            os.close(fd)

    async def sweep(self) -> None:
        """Delete, in all folders, what servers that were killed left half-written."""
        for name in await anyio.to_thread.run_sync(self._names):
            # Some are gone meanwhile; none is worth to keep the others waiting.
            with suppress(OSError):
                await anyio.to_thread.run_sync(self._measure, name)

    def _account(self, name: str) -> Account:
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = Account(self._quota, lambda: self._measure(name))
            if len(self._accounts) > ACCOUNTS:
                self._accounts.popitem(last=False)
        self._accounts.move_to_end(name)
        return account

    def _names(self) -> list[str]:
        return sorted(os.listdir(self._root)) if self._root.is_dir() else []

    def _measure(self, name: str) -> tuple[int, int]:
        fd = self._open(name)
        try:
            return measure(fd)
        finally:
            os.close(fd)

    def _open(self, name: str) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        root = os.open(self._root, flags)
        try:
            try:
                os.mkdir(name, 0o700, dir_fd=root)
            except FileExistsError:
                pass
            return os.open(name, flags | os.O_NOFOLLOW, dir_fd=root)
        finally:
            os.close(root)


class Transfers:
    """The transfers.

    Args:
        area: What `local` means: the owner's folder.
        workspaces: Where the sandboxes' files are.
        fetcher: Gets what is on the Internet.
        max_bytes: Largest file.
    """

    def __init__(
        self, area: FileArea, workspaces: Workspaces, fetcher: Fetcher, max_bytes: int = MAX_FILE
    ) -> None:
        self._area = area
        self._workspaces = workspaces
        self._fetcher = fetcher
        self._max_bytes = max_bytes

    async def upload(self, owner: str, sandbox_id: str, local: str, folder: str) -> str:
        """Copy a local file into a folder of a sandbox; return the text of the success.

        Raises:
            Refusal: it did not happen.
        """
        async with self._both(owner, sandbox_id, "upload the file") as (area, workspace):
            names = _without_slash(paths.split(local), local)
            target = (*paths.in_sandbox(folder), names[-1])
            await self._copy(area, names, workspace, target)
        return f"File uploaded to {_shown(target)}"

    async def fetch(self, owner: str, sandbox_id: str, url: str, folder: str) -> str:
        """Fetch a URL into a folder of a sandbox; return the text of the success.

        Raises:
            Refusal: it did not happen.
        """
        async with self._opened(owner, sandbox_id, "download the file") as workspace:
            target = (*paths.in_sandbox(folder), paths.name_in_url(url))
            request = Request(url, max_bytes=self._max_bytes, deadline_s=DOWNLOAD_S)
            with await anyio.to_thread.run_sync(workspace.draft, target) as draft:

                async def keep(piece: bytes) -> None:
                    await anyio.to_thread.run_sync(draft.write, piece)

                await self._fetcher.download(request, keep)
                await anyio.to_thread.run_sync(draft.commit)
        return f"File downloaded to {_shown(target)}"

    async def download(self, owner: str, sandbox_id: str, path: str, local: str | None) -> str:
        """Copy a file of a sandbox into the owner's folder; return the text of the success.

        Raises:
            Refusal: it did not happen.
        """
        async with self._both(owner, sandbox_id, "download the file") as (area, workspace):
            names = _without_slash(paths.in_sandbox(path), path)
            target = (names[-1],) if not local else paths.split_file(local)
            await self._copy(workspace, names, area, target)
        return f"File downloaded successfully to: {'/'.join(target)}"

    async def _copy(
        self, source: Folder, names: tuple[str, ...], goal: Folder, target: tuple[str, ...]
    ) -> None:
        run = anyio.to_thread.run_sync
        with await run(source.open, names) as file:
            if file.size > self._max_bytes:
                raise too_large(self._max_bytes)
            with await run(goal.draft, target) as draft:
                offset = 0
                # What is appended meanwhile is not copied: a file could grow without end.
                while offset < file.size:
                    piece = await run(file.read, offset, min(PIECE, file.size - offset))
                    if not piece:
                        raise FileFault("changed_meanwhile", 409, "The file became shorter.")
                    await run(draft.write, piece)
                    offset += len(piece)
                await run(draft.commit)

    @asynccontextmanager
    async def _both(
        self, owner: str, sandbox_id: str, what: str
    ) -> AsyncIterator[tuple[Folder, Folder]]:
        async with (
            self._opened(owner, sandbox_id, what) as workspace,
            self._area.opened(owner) as area,
        ):
            yield area, workspace

    @asynccontextmanager
    async def _opened(self, owner: str, sandbox_id: str, what: str) -> AsyncIterator[Folder]:
        """Hold a workspace; turn every failure within into a Refusal that says what failed."""
        try:
            async with self._workspaces.opened(sandbox_id, owner) as workspace:
                yield workspace
        except NoWorkspace as error:
            raise Refusal(str(error)) from None
        except TooLarge:
            raise Refusal(f"[ERROR]: Failed to {what}: {too_large(self._max_bytes)}") from None
        except (FileFault, paths.BadPath, FetchError) as error:
            raise Refusal(f"[ERROR]: Failed to {what}: {error}") from None


def too_large(limit: int) -> FileFault:
    """Return the fault of a file that is over `limit` bytes."""
    return FileFault("body_too_large", 413, f"The file is over {limit} bytes, the most there is.")


def _without_slash(names: tuple[str, ...], path: str) -> tuple[str, ...]:
    if not names or path.endswith("/"):
        raise paths.BadPath(f"{path!r} names a folder; name a file.")
    return names


def _shown(names: tuple[str, ...]) -> str:
    return "/".join((paths.HOME, *names))


def _folder_name(owner: str) -> str:
    """Return the name of an owner's folder: readable, of one part, and never that of another's."""
    name = quote(owner, safe="")
    if len(name) <= LONGEST_NAME:
        return f"of-{name}"
    return f"by-{hashlib.sha256(owner.encode()).hexdigest()}"
