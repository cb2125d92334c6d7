"""What one entry of a profile may say, checked strictly; faults say what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nodes.environment import PROJECT_ROOT
from wire.models import SERVER_NAME

RESERVED = "AGENTDOCK_"
"""Names that are ours: an entry can neither set them nor read them into a tool server."""

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}")
_KEY_NAME = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH", re.IGNORECASE)
SHORTEST_SECRET = 6
"""Shorter values are not censored: they would be found in every other word."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class EntryFault(Exception):
    """An entry cannot be used; the text names the key and what to do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tool server to run, with everything expanded. Equal entries need no restart.

    `env` is what the entry adds to the environment; `timeout_s` the longest a call may take.
    `written` is command and arguments as the file has them, for texts that people read;
    `secrets` the values of variables that hold keys, which no such text may quote.
    """

    name: str
    command: str
    args: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(repr=False)
    timeout_s: float = 60.0
    idempotent: frozenset[str] = frozenset()
    affinity: str | None = None
    max_result_chars: int | None = None
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


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    command: str = Field(min_length=1)
    args: list[str] = []
    env: dict[str, str] = {}
    cwd: str | None = None
    enabled: bool = True
    type: str = "stdio"
    agentdock: _Extras = _Extras()


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
        raise EntryFault("An entry must be a table with at least `command`.")
    if "url" in raw or raw.get("type", "stdio") != "stdio":
        raise EntryFault("Remote tool servers (url) are not supported yet: give a `command`.")
    form = _check(raw)
    return _expand(name, form, environ)


def _check(raw: dict[str, Any]) -> _Form:
    try:
        return _Form.model_validate(raw)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        # A misspelt key explains why another is missing, so it comes first.
        fault = next((f for f in faults if f["type"] == "extra_forbidden"), faults[0])
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            _refuse_key(key)
        if fault["type"] == "missing":
            raise EntryFault(f"`{key}` is missing: name the program to start.") from None
        raise EntryFault(f"`{key}`: {fault['msg']}.") from None


def _refuse_key(key: str) -> NoReturn:
    *table, last = key.split(".")
    known = list((_Extras if table else _Form).model_fields)
    near = difflib.get_close_matches(last, known, n=1, cutoff=0.0)
    ours = " (our own keys go under [mcpServers.NAME.agentdock])" if not table else ""
    if not table and last in _Extras.model_fields:
        raise EntryFault(f"`{last}` belongs under [mcpServers.NAME.agentdock].") from None
    raise EntryFault(f"`{key}` is not a known key. Did you mean `{near[0]}`?{ours}") from None


def _expand(name: str, form: _Form, environ: Mapping[str, str]) -> Entry:
    secrets: set[str] = set()

    def resolve(key: str, match: re.Match[str]) -> str:
        value = _resolve(key, match, environ)
        if _KEY_NAME.search(match[1]) and len(value) >= SHORTEST_SECRET:
            secrets.add(value)
        return value

    def text(key: str, value: str) -> str:
        return _REFERENCE.sub(lambda match: resolve(key, match), value)

    extras = form.agentdock
    env = {
        _plain(variable, "env"): text(f"env.{variable}", value)
        for variable, value in form.env.items()
    }
    for variable in extras.env_pass:
        if _plain(variable, "agentdock.env_pass") in environ:
            env[variable] = environ[variable]
    secrets |= {
        value
        for variable, value in env.items()
        if _KEY_NAME.search(variable) and len(value) >= SHORTEST_SECRET
    }
    return Entry(
        name=name,
        command=text("command", form.command),
        args=tuple(text(f"args.{index}", value) for index, value in enumerate(form.args)),
        cwd=_folder(text("cwd", form.cwd or ".")),
        env=env,
        timeout_s=extras.timeout_s,
        idempotent=frozenset(extras.idempotent),
        affinity=extras.affinity,
        max_result_chars=extras.max_result_chars,
        enabled=form.enabled,
        written=(form.command, *form.args),
        secrets=frozenset(secrets),
    )


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
