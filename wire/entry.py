"""The form of an entry under `mcpServers`, checked strictly; faults say what to do.

Manager and nodes check the same: an entry stands in a profile file, or comes over the API.
"""

from __future__ import annotations

import difflib
import re
from enum import StrEnum
from typing import Any, Literal, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wire.models import CAPABILITY, SERVER_NAME

F = TypeVar("F", bound="EntryForm")

RESERVED = "AGENTDOCK_"
"""Names that are ours: an entry can neither set them nor read them into a tool server."""

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}")
"""`${VAR}` or `${VAR:-default}`."""

KEY_NAME = re.compile(
    r"KEY|TOKEN|SECRET|PASS|PWD|CREDENTIAL|AUTH|COOKIE|(?<![A-Z])(?:DSN|PAT)(?![A-Z])",
    re.IGNORECASE,
)
"""Names of variables and headers whose values are never shown."""

_MISSING = {
    "command": "name the program to start",
    "url": "say where the remote tool server is",
}

_OURS_TO_SET = re.compile(
    r"(?i)mcp-.*|host|content-(type|length)|accept|connection|transfer-encoding|last-event-id"
)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

MAX_PROCESSES = 64
_OF_SESSIONS = frozenset({"session_idle_s", "max_sessions"})


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


class Extras(BaseModel):
    """The table `agentdock` of an entry; times in seconds."""

    model_config = ConfigDict(extra="forbid", strict=True)

    timeout_s: float = Field(default=60.0, gt=0, le=86_400)
    idempotent: list[str] = []
    env_pass: list[str] = []
    affinity: str | None = None
    linger_s: float = Field(default=0.0, ge=0, le=86_400)
    prefers: str | None = Field(default=None, pattern=CAPABILITY)
    max_result_chars: int | None = Field(default=None, gt=0)
    max_in_flight: int | None = Field(default=None, gt=0)
    scope: Literal["shared", "session"] = "shared"
    processes: int = Field(default=1, ge=1, le=MAX_PROCESSES)
    session_idle_s: float = Field(default=600.0, gt=0, le=86_400)
    max_sessions: int = Field(default=64, ge=1, le=10_000)
    files: bool = False


class EntryForm(BaseModel):
    """What entries of both kinds may say."""

    model_config = ConfigDict(extra="forbid", strict=True)

    enabled: bool = True
    agentdock: Extras = Extras()


class ProgramForm(EntryForm):
    """An entry that names a program to run."""

    command: str = Field(min_length=1)
    args: list[str] = []
    env: dict[str, str] = {}
    cwd: str | None = None
    type: Literal["stdio"] = "stdio"


class RemoteForm(EntryForm):
    """An entry that says where somebody else runs a tool server."""

    url: str = Field(min_length=1)
    headers: dict[str, str] = {}
    type: str = "http"


def check_form(name: str, raw: object) -> ProgramForm | RemoteForm:
    """Return the entry that `raw` describes, with its `${VAR}` as they are.

    Args:
        name: Its key under `mcpServers`.
        raw: Its table as TOML or JSON gave it.

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
    kind = raw.get("type")
    is_remote = "url" in raw or (isinstance(kind, str) and kind in TRANSPORTS)
    if "command" in raw and is_remote:
        raise EntryFault(
            "`command` starts a program, `url` (with `type` http or sse) names a remote tool "
            "server: give one of them."
        )
    form = _check(RemoteForm, raw) if is_remote else _check(ProgramForm, raw)
    if isinstance(form, RemoteForm):
        _check_remote(form)
    else:
        _check_program(form)
    _check_scope(form.agentdock)
    return form


def _check_program(form: ProgramForm) -> None:
    for variable in form.env:
        _check_variable(variable, "env")
    for named in form.agentdock.env_pass:
        # `FETCH_*` names all that begin so; a bare `*` would hand on every key there is.
        _check_variable(re.sub(r"(?<=[A-Za-z0-9]{2}_)\*$", "", named), "agentdock.env_pass")
    for index, value in enumerate(form.args):
        _check_references(f"args.{index}", value)
    for variable, value in form.env.items():
        _check_references(f"env.{variable}", value)
    _check_references("command", form.command)
    _check_references("cwd", form.cwd or "")


def _check_remote(form: RemoteForm) -> None:
    if form.agentdock.env_pass:
        raise EntryFault("`agentdock.env_pass` is for programs; a remote one has no environment.")
    if form.agentdock.processes > 1:
        raise EntryFault("`agentdock.processes` is for programs; a remote one has its own.")
    if form.agentdock.files:
        raise EntryFault("`agentdock.files` is for programs; a remote one is given no socket.")
    if form.type not in TRANSPORTS:
        raise EntryFault(f"`type`: with a `url` it must be one of {', '.join(TRANSPORTS)}.")
    _check_references("url", form.url)
    for header, value in form.headers.items():
        if not _HEADER.fullmatch(header):
            raise EntryFault(f"`headers`: {header!r} is not the name of a header.")
        if _OURS_TO_SET.fullmatch(header):
            raise EntryFault(f"`headers.{header}` is set by MCP itself: leave it out.")
        _check_references(f"headers.{header}", value)


def _check_variable(variable: str, key: str) -> None:
    if not _VARIABLE.fullmatch(variable):
        raise EntryFault(f"`{key}`: {variable!r} is not the name of a variable.")
    if variable.startswith(RESERVED):
        raise EntryFault(f"`{key}` names {variable}: {RESERVED}* is never given to a tool server.")


def _check_references(key: str, value: str) -> None:
    for match in REFERENCE.finditer(value):
        if match[1].startswith(RESERVED):
            raise EntryFault(
                f"`{key}` refers to {match[1]}: {RESERVED}* is never given to a tool server."
            )


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


def _refuse_key(kind: type[EntryForm], key: str) -> NoReturn:
    *table, last = key.split(".")
    known = list((Extras if table else kind).model_fields)
    near = difflib.get_close_matches(last, known, n=1, cutoff=0.0)
    ours = " (our own keys go under [mcpServers.NAME.agentdock])" if not table else ""
    if not table and last in Extras.model_fields:
        raise EntryFault(f"`{last}` belongs under [mcpServers.NAME.agentdock].") from None
    raise EntryFault(f"`{key}` is not a known key. Did you mean `{near[0]}`?{ours}") from None


def _check_scope(extras: Extras) -> None:
    """Refuse what contradicts itself: a call must find the process that knows what it is about."""
    if extras.processes > 1 and extras.affinity is not None:
        raise EntryFault(
            "`agentdock.affinity` with `processes` above 1: a handle names a node, not one of "
            "several processes there. Leave one of them out."
        )
    if extras.linger_s and extras.affinity is None:
        raise EntryFault(
            "`agentdock.linger_s` is for tool servers that hand out handles: name the argument in "
            "`affinity`."
        )
    if extras.files and (extras.processes > 1 or extras.scope == "session"):
        raise EntryFault(
            '`agentdock.files` with `processes` above 1, or scope = "session": files are served by '
            "one process, which a node must be able to name. Leave one of them out."
        )
    if extras.scope == "session":
        if extras.processes > 1:
            raise EntryFault(
                '`agentdock.processes` is for scope = "shared": with "session" each Session has '
                "one, and `max_sessions` limits them."
            )
    elif given := sorted(_OF_SESSIONS & extras.model_fields_set):
        raise EntryFault(f'`agentdock.{given[0]}` needs `scope = "session"` beside it.')
