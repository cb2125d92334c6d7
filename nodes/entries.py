"""What one entry of a profile may say, checked strictly; faults say what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nodes.environment import PROJECT_ROOT
from wire.models import SERVER_NAME, Scope

RESERVED = "AGENTDOCK_"
"""Names that are ours: an entry can neither set them nor read them into a tool server."""

F = TypeVar("F", bound="_Form")

_MISSING = {
    "command": "name the program to start",
    "url": "say where the remote tool server is",
}
_OURS_TO_SET = re.compile(
    r"(?i)mcp-.*|host|content-(type|length)|accept|connection|transfer-encoding|last-event-id"
)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
MAX_PROCESSES = 64
_OF_SESSIONS = frozenset({"session_idle_s", "max_sessions"})
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}")
_KEY_NAME = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH", re.IGNORECASE)
SHORTEST_SECRET = 6
"""Shorter values are not censored: they would be found in every other word."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class EntryFault(Exception):
    """An entry cannot be used; the text names the key and what to do."""


class Transport(StrEnum):
    """How MCP is carried to a remote tool server."""

    HTTP = "http"
    SSE = "sse"


TRANSPORTS = {
    "http": Transport.HTTP,
    "streamable-http": Transport.HTTP,
    "streamable_http": Transport.HTTP,
    "sse": Transport.SSE,
}
"""The words for `type` that entries of other programs use."""


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
    max_result_chars: int | None = None
    max_in_flight: int | None = None
    scope: Scope = Scope.SHARED
    processes: int = 1
    session_idle_s: float = 600.0
    max_sessions: int = 64
    enabled: bool = True
    written: tuple[str, ...] = field(default=(), compare=False)
    secrets: frozenset[str] = field(default=frozenset(), compare=False, repr=False)

    @property
    def shown_argv(self) -> tuple[str, ...]:
        """Command and arguments without what `${VAR}` stands for."""
        return self.written or (self.command, *self.args)

    def censor(self, text: str) -> str:
        """Return `text` without the values of variables that hold keys."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


class _Extras(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    timeout_s: float = Field(default=60.0, gt=0, le=86_400)
    idempotent: list[str] = []
    env_pass: list[str] = []
    affinity: str | None = None
    max_result_chars: int | None = Field(default=None, gt=0)
    max_in_flight: int | None = Field(default=None, gt=0)
    scope: Literal["shared", "session"] = "shared"
    processes: int = Field(default=1, ge=1, le=MAX_PROCESSES)
    session_idle_s: float = Field(default=600.0, gt=0, le=86_400)
    max_sessions: int = Field(default=64, ge=1, le=10_000)


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    enabled: bool = True
    agentdock: _Extras = _Extras()


class _Program(_Form):
    command: str = Field(min_length=1)
    args: list[str] = []
    env: dict[str, str] = {}
    cwd: str | None = None
    type: Literal["stdio"] = "stdio"


class _Remote(_Form):
    url: str = Field(min_length=1)
    headers: dict[str, str] = {}
    type: str = "http"


def parse_entry(name: str, raw: object, environ: Mapping[str, str]) -> Entry:
    """Return the entry that `raw` describes.

    Args:
        name: Its key under `mcpServers`.
        raw: Its table as TOML or JSON gave it.
        environ: Where `${VAR}` and `env_pass` look.

    Raises:
        EntryFault: it cannot be used.
    """
    if not re.fullmatch(SERVER_NAME, name):
        raise EntryFault(
            f"{name!r} cannot name a tool server: use at most 40 letters, digits, '-' and single "
            "'_', with a letter or digit at both ends."
        )
    if not isinstance(raw, dict):
        raise EntryFault("An entry must be a table with at least `command` or `url`.")
    if "command" in raw and ("url" in raw or raw.get("type") in TRANSPORTS):
        raise EntryFault(
            "`command` starts a program, `url` (with `type` http or sse) names a remote tool "
            "server: give one of them."
        )
    if "url" in raw or raw.get("type") in TRANSPORTS:
        return _expand_remote(name, _check(_Remote, raw), environ)
    return _expand_program(name, _check(_Program, raw), environ)


def _check(kind: type[F], raw: dict[str, Any]) -> F:
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        # A misspelt key explains why another is missing, so it comes first.
        fault = next((f for f in faults if f["type"] == "extra_forbidden"), faults[0])
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            _refuse_key(kind, key)
        if fault["type"] == "missing":
            raise EntryFault(f"`{key}` is missing: {_MISSING[key]}.") from None
        raise EntryFault(f"`{key}`: {fault['msg']}.") from None


def _refuse_key(kind: type[_Form], key: str) -> NoReturn:
    *table, last = key.split(".")
    known = list((_Extras if table else kind).model_fields)
    near = difflib.get_close_matches(last, known, n=1, cutoff=0.0)
    ours = " (our own keys go under [mcpServers.NAME.agentdock])" if not table else ""
    if not table and last in _Extras.model_fields:
        raise EntryFault(f"`{last}` belongs under [mcpServers.NAME.agentdock].") from None
    raise EntryFault(f"`{key}` is not a known key. Did you mean `{near[0]}`?{ours}") from None


class _Filler:
    """Expands `${VAR}`, and notes the values of variables that hold keys."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.secrets: set[str] = set()
        self._environ = environ

    def __call__(self, key: str, value: str) -> str:
        """Return `value`, which stands under `key`, with every reference expanded."""
        return _REFERENCE.sub(lambda match: self._resolve(key, match), value)

    def note(self, name: str, value: str) -> None:
        """Keep a value as a secret if the name of its variable says that it is one."""
        if _KEY_NAME.search(name) and len(value) >= SHORTEST_SECRET:
            self.secrets.add(value)

    def _resolve(self, key: str, match: re.Match[str]) -> str:
        value = _resolve(key, match, self._environ)
        self.note(match[1], value)
        return value


def _expand_program(name: str, form: _Program, environ: Mapping[str, str]) -> Entry:
    text = _Filler(environ)
    env = {
        _plain(variable, "env"): text(f"env.{variable}", value)
        for variable, value in form.env.items()
    }
    for variable in form.agentdock.env_pass:
        if _plain(variable, "agentdock.env_pass") in environ:
            env[variable] = environ[variable]
    for variable, value in env.items():
        text.note(variable, value)
    return Entry(
        name=name,
        command=text("command", form.command),
        args=tuple(text(f"args.{index}", value) for index, value in enumerate(form.args)),
        cwd=_folder(text("cwd", form.cwd or ".")),
        env=env,
        written=(form.command, *form.args),
        secrets=frozenset(text.secrets),
        **_common(form),
    )


def _expand_remote(name: str, form: _Remote, environ: Mapping[str, str]) -> Entry:
    if form.agentdock.env_pass:
        raise EntryFault("`agentdock.env_pass` is for programs; a remote one has no environment.")
    if form.agentdock.processes > 1:
        raise EntryFault("`agentdock.processes` is for programs; a remote one has its own.")
    transport = TRANSPORTS.get(form.type)
    if transport is None:
        raise EntryFault(f"`type`: with a `url` it must be one of {', '.join(TRANSPORTS)}.")
    text = _Filler(environ)
    url = text("url", form.url)
    _check_url(url)
    headers = {
        header: _header_value(header, text(f"headers.{header}", value))
        for header, value in form.headers.items()
    }
    for header, value in headers.items():
        text.note(header, value)
    return Entry(
        name=name,
        place=Place(url, headers, transport),
        secrets=frozenset(text.secrets),
        **_common(form),
    )


def _common(form: _Form) -> dict[str, Any]:
    """Return what entries of both kinds have."""
    extras = form.agentdock
    _check_scope(extras)
    return {
        "timeout_s": extras.timeout_s,
        "idempotent": frozenset(extras.idempotent),
        "affinity": extras.affinity,
        "max_result_chars": extras.max_result_chars,
        "max_in_flight": extras.max_in_flight,
        "scope": Scope(extras.scope),
        "processes": extras.processes,
        "session_idle_s": extras.session_idle_s,
        "max_sessions": extras.max_sessions,
        "enabled": form.enabled,
    }


def _check_scope(extras: _Extras) -> None:
    """Refuse what contradicts itself: a call must find the process that knows what it is about."""
    if extras.processes > 1 and extras.affinity is not None:
        raise EntryFault(
            "`agentdock.affinity` with `processes` above 1: a handle names a node, not one of "
            "several processes there. Leave one of them out."
        )
    if extras.scope == "session":
        if extras.processes > 1:
            raise EntryFault(
                '`agentdock.processes` is for scope = "shared": with "session" each Session has '
                "one, and `max_sessions` limits them."
            )
    elif given := sorted(_OF_SESSIONS & extras.model_fields_set):
        raise EntryFault(f'`agentdock.{given[0]}` needs `scope = "session"` beside it.')


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
    if not _HEADER.fullmatch(header):
        raise EntryFault(f"`headers`: {header!r} is not the name of a header.")
    if _OURS_TO_SET.fullmatch(header):
        raise EntryFault(f"`headers.{header}` is set by MCP itself: leave it out.")
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
    if variable.startswith(RESERVED):
        raise EntryFault(
            f"`{key}` refers to {variable}: {RESERVED}* is never given to a tool server."
        )
    value = environ.get(variable)
    if match[2] is not None:
        return value or str(default)
    if value is None:
        raise EntryFault(
            f"`{key}` needs {variable}, which is not set: put it into .env or the environment, or "
            f"write ${{{variable}:-default}}."
        )
    return value


def _plain(variable: str, key: str) -> str:
    if not _VARIABLE.fullmatch(variable):
        raise EntryFault(f"`{key}`: {variable!r} is not the name of a variable.")
    if variable.startswith(RESERVED):
        raise EntryFault(f"`{key}` names {variable}: {RESERVED}* is never given to a tool server.")
    return variable
