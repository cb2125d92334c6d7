"""What a face needs of whoever has the tools, and the index by which tools are found."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn, Protocol

import jsonschema_rs

from wire.errors import BadArguments, ToolAmbiguous, ToolNotFound
from wire.faces.aliases import other_names, renamed
from wire.models import Call, Outcome, ToolInfo

log = logging.getLogger(__name__)


SHOWN_CHARS = 500
"""Characters of a schema fault that are told: it quotes the value, which may be megabytes."""


class Catalogue(Protocol):
    """Tools that can be listed and called; the manager's registry or one node's host."""

    def tools(self, server: str | None = None) -> Sequence[ToolInfo]:
        """Return the tools that can be called now, in a stable order; of one server if named.

        Raises:
            NotFound: no tool server has that name.
        """
        ...

    def servers(self) -> Sequence[str]:
        """Return the names of the tool servers, sorted."""
        ...

    def find(self, name: str) -> ToolInfo:
        """Return the tool that `name` means.

        Raises:
            ToolNotFound, ToolAmbiguous: see `ToolIndex.find`.
        """
        ...

    async def call(self, call: Call) -> Outcome:
        """Use the tool once. Cancelling the task cancels the call down to the tool.

        Raises:
            PlatformError: the platform failed; a tool's own failure is an Outcome.
        """
        ...


class IndexedTool:
    """A tool with its argument checker, compiled at first use (1 ms a schema, 11 us a check)."""

    __slots__ = ("_checker", "info")

    def __init__(self, info: ToolInfo) -> None:
        self.info = info
        self._checker: jsonschema_rs.Validator | None = None

    def check(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Check arguments against the tool's schema; return them as the tool takes them.

        Those that do not fit are tried once more with aliases in place of the names they stand for.

        Raises:
            BadArguments: naming the field and what it should be.
        """
        if self._checker is None:
            self._checker = _compile(self.info)
        if self._checker.is_valid(arguments):
            return arguments
        meant = renamed(self.info, arguments)
        if meant is not None and self._checker.is_valid(meant):
            return meant
        error = next(self._checker.iter_errors(arguments))
        field = "/".join(str(part) for part in error.instance_path) or "arguments"
        raise BadArguments(
            f"{self.info.qualified}: {field}: {error.message[:SHOWN_CHARS]}",
            tool=self.info.qualified,
            field=field,
        )


class ToolIndex:
    """Finds a tool by `server__tool`, `server.tool` or a bare name that only one server has.

    A name that no tool has may be another name of one; in each of the three forms.
    """

    def __init__(self, tools: Iterable[ToolInfo], previous: ToolIndex | None = None) -> None:
        """Index `tools`; checkers compiled by `previous` are kept where the tool is the same."""
        self._by_key: dict[tuple[str, str], IndexedTool] = {}
        self._by_name: dict[str, IndexedTool] = {}
        self._bare: dict[str, list[IndexedTool]] = {}
        self._others: dict[str, list[IndexedTool]] = {}
        for info in tools:
            old = previous._by_key.get((info.server, info.name)) if previous else None
            self._add(old if old is not None and old.info == info else IndexedTool(info))

    def _add(self, tool: IndexedTool) -> None:
        info = tool.info
        self._by_key[info.server, info.name] = tool
        self._by_name[info.qualified] = tool
        self._by_name[f"{info.server}__{info.name}"] = tool
        self._by_name[info.dotted] = tool
        self._bare.setdefault(info.name, []).append(tool)
        for name in other_names(info):
            for form in (name, f"{info.server}__{name}", f"{info.server}.{name}"):
                self._others.setdefault(form, []).append(tool)

    def list(self, server: str | None = None) -> Sequence[ToolInfo]:
        """Return the tools sorted by server and name."""
        keys = sorted(key for key in self._by_key if server is None or key[0] == server)
        return [self._by_key[key].info for key in keys]

    def find(self, name: str, server: str | None = None) -> IndexedTool:
        """Return the tool that `name` means, within one tool server if given.

        Raises:
            ToolNotFound: with similar names.
            ToolAmbiguous: the bare name belongs to several tool servers.
        """
        exact = self._by_name.get(name) if server is None else self._by_key.get((server, name))
        if exact is not None:
            return exact
        found = self._bare.get(name, ()) if server is None else ()
        found = found or [
            tool
            for tool in self._others.get(name, ())
            if server is None or tool.info.server == server
        ]
        if len(found) == 1:
            return found[0]
        if not found:
            self._refuse(name, server)
        candidates = sorted(tool.info.qualified for tool in found)
        raise ToolAmbiguous(
            f"{len(found)} tools are named {name!r}: call one of {', '.join(candidates)}.",
            candidates=candidates,
        )

    def _refuse(self, name: str, server: str | None) -> NoReturn:
        if server is None:
            known = {*self._by_name, *self._bare}
        else:
            known = {tool for owner, tool in self._by_key if owner == server}
        near = difflib.get_close_matches(name, sorted(known), n=3)
        place = "" if server is None else f" on tool server {server!r}"
        hint = f" Did you mean {' or '.join(near)}?" if near else " GET /v1/tools lists them."
        raise ToolNotFound(f"There is no tool named {name!r}{place}.{hint}", near=near)


def _compile(info: ToolInfo) -> jsonschema_rs.Validator:
    """Compile the argument schema; one that accepts anything if the server's is unusable."""
    try:
        return jsonschema_rs.validator_for(info.input_schema, retriever=_refuse_remote)
    except ValueError as error:
        log.warning("schema of %s is unusable, arguments pass unchecked: %s", info.qualified, error)
        return jsonschema_rs.validator_for(True)


def _refuse_remote(uri: str) -> NoReturn:
    """Refuse `$ref` to other documents: a tool's schema must not make us fetch a URL."""
    raise ValueError(f"schemas may not refer to other documents: {uri}")
