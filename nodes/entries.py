"""One tool server as its entry describes it, with everything expanded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nodes.environment import PROJECT_ROOT
from wire.entry import (
    KEY_NAME,
    REFERENCE,
    TRANSPORTS,
    EntryFault,
    EntryForm,
    ProgramForm,
    RemoteForm,
    Transport,
    check_form,
)
from wire.models import Scope

SHORTEST_SECRET = 6
"""Shorter values are not censored: they would be found in every other word."""


_USER = re.compile(r"://(?:[^\s/?#@:]*:)?([^\s/?#@]+)@")
_QUERY = re.compile(r"[?&]([^\s=&#]+)=([^\s&#]+)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a remote tool server is, and what to send with each request. Both may hold secrets."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    transport: Transport = Transport.HTTP


@dataclass(frozen=True, slots=True)
class Entry:
    """One tool server, with everything expanded. Equal entries need no restart.

    It is a program to run, or a `place` where somebody else runs it. `env` is what the entry adds
    to the environment; `timeout_s` the longest a call may take.
    `written` is command and arguments as the file has them, for texts that people read;
    `secrets` the values of variables that hold keys, which no such text may quote.
    """

    name: str
    command: str = ""
    args: tuple[str, ...] = ()
    cwd: Path = PROJECT_ROOT
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    place: Place | None = None
    timeout_s: float = 60.0
    idempotent: frozenset[str] = frozenset()
    affinity: str | None = None
    linger_s: float = 0.0
    prefers: str | None = None
    max_result_chars: int | None = None
    max_in_flight: int | None = None
    scope: Scope = Scope.SHARED
    processes: int = 1
    session_idle_s: float = 600.0
    max_sessions: int = 64
    files: bool = False
    enabled: bool = True
    written: tuple[str, ...] = field(default=(), compare=False)
    secrets: frozenset[str] = field(default=frozenset(), compare=False, repr=False)

    @property
    def shown_argv(self) -> tuple[str, ...]:
        """Command and arguments without what `${VAR}` stands for."""
        return self.written or (self.command, *self.args)

    def censor(self, text: str) -> str:
        """Return `text` without the values of variables that hold keys, and URLs' passwords."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


def parse_entry(
    name: str,
    raw: object,
    environ: Mapping[str, str],
    expandable: frozenset[str] | None = None,
) -> Entry:
    """Return the entry that `raw` describes.

    Args:
        name: Its key under `mcpServers`.
        raw: Its table as TOML or JSON gave it.
        environ: Where `${VAR}` and `env_pass` look.
        expandable: Names of the only variables that it may refer to; None for all.

    Raises:
        EntryFault: it cannot be used.
    """
    form = check_form(name, raw)
    if isinstance(form, RemoteForm):
        return _expand_remote(name, form, _Filler(environ, expandable))
    return _expand_program(name, form, _Filler(environ, expandable))


class _Filler:
    """Expands `${VAR}`, and notes the values of variables that hold keys."""

    def __init__(self, environ: Mapping[str, str], expandable: frozenset[str] | None) -> None:
        self.secrets: set[str] = set()
        self._environ = environ
        self._expandable = expandable

    def __call__(self, key: str, value: str) -> str:
        """Return `value`, which stands under `key`, with every reference expanded."""
        return REFERENCE.sub(lambda match: self._resolve(key, match), value)

    def passed(self, named: str) -> dict[str, str]:
        """Return the variables that a word of `env_pass` names, those that are set."""
        self._check(f"agentdock.env_pass: {named}", named)
        if not named.endswith("*"):
            return {named: self._environ[named]} if named in self._environ else {}
        start = named.removesuffix("*")
        return {name: value for name, value in self._environ.items() if name.startswith(start)}

    def note(self, name: str, value: str) -> None:
        """Keep a value as a secret if the name of its variable says that it is one.

        Of `Bearer value` the second word is one by itself, and so is what keys URLs hold.
        """
        found = [match[1] for match in _USER.finditer(value)]
        found += [match[2] for match in _QUERY.finditer(value) if KEY_NAME.search(match[1])]
        if KEY_NAME.search(name):
            found += [value, value.rpartition(" ")[2]]
        self.secrets.update(secret for secret in found if len(secret) >= SHORTEST_SECRET)

    def _resolve(self, key: str, match: re.Match[str]) -> str:
        self._check(key, match[1])
        value = _resolve(key, match, self._environ)
        self.note(match[1], value)
        return value

    def _check(self, key: str, variable: str) -> None:
        if self._expandable is not None and variable not in self._expandable:
            raise EntryFault(
                f"`{key}` refers to {variable}: an entry that came over the API may do so only if "
                "AGENTDOCK_NODE_EXPANDABLE_VARS of the node names it."
            )


def _expand_program(name: str, form: ProgramForm, text: _Filler) -> Entry:
    env = {variable: text(f"env.{variable}", value) for variable, value in form.env.items()}
    for named in form.agentdock.env_pass:
        env |= text.passed(named)
    for variable, value in env.items():
        text.note(variable, value)
    args = tuple(text(f"args.{index}", value) for index, value in enumerate(form.args))
    for before, arg in pairwise(("", *args)):
        option, equals, value = arg.partition("=")
        text.note(option if equals else before if before.startswith("-") else "", value or arg)
    return Entry(
        name=name,
        command=text("command", form.command),
        args=args,
        cwd=_folder(text("cwd", form.cwd or ".")),
        env=env,
        written=(form.command, *form.args),
        secrets=frozenset(text.secrets),
        **_common(form),
    )


def _expand_remote(name: str, form: RemoteForm, text: _Filler) -> Entry:
    url = text("url", form.url)
    text.note("", url)
    _check_url(url)
    headers = {
        header: _header_value(header, text(f"headers.{header}", value))
        for header, value in form.headers.items()
    }
    for header, value in headers.items():
        text.note(header, value)
    return Entry(
        name=name,
        place=Place(url, headers, TRANSPORTS[form.type]),
        secrets=frozenset(text.secrets),
        **_common(form),
    )


def _common(form: EntryForm) -> dict[str, Any]:
    """Return what entries of both kinds have."""
    extras = form.agentdock
    return {
        "timeout_s": extras.timeout_s,
        "idempotent": frozenset(extras.idempotent),
        "affinity": extras.affinity,
        "linger_s": extras.linger_s,
        "prefers": extras.prefers,
        "max_result_chars": extras.max_result_chars,
        "max_in_flight": extras.max_in_flight,
        "scope": Scope(extras.scope),
        "processes": extras.processes,
        "session_idle_s": extras.session_idle_s,
        "max_sessions": extras.max_sessions,
        "files": extras.files,
        "enabled": form.enabled,
    }


def _check_url(url: str) -> None:
    """Refuse what is no URL; the text never quotes it, for it may hold a secret."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise EntryFault("`url` must be an http:// or https:// address.")


def _header_value(header: str, value: str) -> str:
    value = value.strip()
    if not (value.isascii() and value.isprintable()):
        raise EntryFault(f"`headers.{header}` must be one line of printable ASCII characters.")
    return value


def _folder(path: str) -> Path:
    try:
        return PROJECT_ROOT / Path(path).expanduser()
    except RuntimeError:
        raise EntryFault(f"`cwd`: the home folder that {path!r} begins with is unknown.") from None


def _resolve(key: str, match: re.Match[str], environ: Mapping[str, str]) -> str:
    variable, default = match[1], match[3]
    value = environ.get(variable)
    if match[2] is not None:
        return value or str(default)
    if value is None:
        raise EntryFault(
            f"`{key}` needs {variable}, which is not set: put it into .env or the environment, or "
            f"write ${{{variable}:-default}}."
        )
    return value
