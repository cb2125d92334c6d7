"""Configuration files of other programs: read into entries, and written from them. No I/O.

Forms: `mcpServers` of Claude and Cursor (https://modelcontextprotocol.io/docs/develop/connect-local-servers),
`servers` of VS Code's mcp.json, and the `server.json` of the MCP registry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from manager.masking import hidden
from wire.entry import EntryFault
from wire.errors import BadRequest
from wire.models import Registration

Form = Literal["mcpServers", "vscode", "server.json"]
Entry = dict[str, Any]

OTHERS_KEYS = frozenset(
    {"alwaysAllow", "autoApprove", "autoapprove", "description", "dev", "disabledTools", "gallery"}
    | {"icon", "includeTools", "excludeTools", "name", "timeout", "trust", "tools", "version"}
)
"""Keys by which other programs say how they themselves treat a tool server."""

_FOREIGN = re.compile(
    r"\$\{(?!env:)([A-Za-z]+:(?!-)[^}]*|workspaceFolder|userHome|pathSeparator|/)\}"
)
_INPUT = re.compile(r"\$\{input:([^}]+)\}")
_ENV = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
_URL_KEYS = ("serverUrl", "httpUrl")
_TYPE_KEYS = ("transport", "transportType")
_TYPES = {"streamableHttp": "http", "local": "stdio"}
_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_BLANK = re.compile(r"\{([A-Za-z_][A-Za-z0-9_-]*)\}")


@dataclass(slots=True)
class Config:
    """What a file holds: entries by name, and what is wrong with those that cannot be used."""

    form: Form
    entries: dict[str, Entry] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)


def read_config(document: object) -> Config:
    """Return the entries of a configuration file, whichever form it has.

    Raises:
        BadRequest: it has none of the known forms.
    """
    if isinstance(document, dict):
        inner = document.get("mcp")
        if isinstance(inner, dict) and "servers" in inner:
            return read_config(inner)
        if isinstance(document.get("server"), dict):
            return read_config(document["server"])
        for key, form in (("mcpServers", "mcpServers"), ("servers", "vscode")):
            if isinstance(document.get(key), dict):
                return _read_table(form, document[key], _references(document.get("inputs")))
        if isinstance(document.get("name"), str) and {"packages", "remotes"} & document.keys():
            return _read_server_json(document)
    raise BadRequest(
        "This is no configuration that can be imported: send a JSON object with `mcpServers` "
        "(Claude, Cursor), `servers` (VS Code), or a server.json with `name` and `packages` or "
        "`remotes`."
    )


def _references(inputs: object) -> dict[str, str]:
    """Return what stands for each input of VS Code: a variable in place of asking a person."""
    found = {}
    for item in inputs if isinstance(inputs, list) else []:
        if isinstance(item, dict) and item.get("type") in ("promptString", "pickString"):
            key, default = str(item.get("id", "")), item.get("default")
            fallback = f":-{default}" if isinstance(default, str) and "}" not in default else ""
            name = _variable(key)
            if name and not name[0].isdigit():
                found[key] = f"${{{name}{fallback}}}"
    return found


def _read_table(form: Any, table: dict[str, Any], inputs: Mapping[str, str]) -> Config:
    config = Config(form)
    for name, raw in table.items():
        try:
            config.entries[name] = _adapted(raw, inputs)
        except EntryFault as fault:
            config.faults[name] = str(fault)
    return config


def _adapted(raw: object, inputs: Mapping[str, str]) -> Entry:
    """Return an entry of another program in our words; what is unknown stays, to be refused."""
    if not isinstance(raw, dict):
        raise EntryFault("An entry must be an object with at least `command` or `url`.")
    entry = {k: _translated(k, v, inputs) for k, v in raw.items() if k not in OTHERS_KEYS}
    if "envFile" in entry:
        raise EntryFault("`envFile` is not read here: put its variables under `env`.")
    if entry.pop("disabled", False):
        entry["enabled"] = False
    for key in _URL_KEYS:
        if key in entry:
            entry["url"] = entry.pop(key)
    for key in _TYPE_KEYS:
        if key in entry:
            entry["type"] = entry.pop(key)
    if isinstance(entry.get("type"), str):
        entry["type"] = _TYPES.get(entry["type"], entry["type"])
    elif "httpUrl" not in raw and _ends_as_sse(entry.get("url")):
        # The others try both transports; what such an address offers is told by its name.
        entry["type"] = "sse"
    if isinstance(entry.get("env"), dict):
        entry["env"] = {name: value for name, value in entry["env"].items() if value is not None}
    return entry


def _ends_as_sse(url: object) -> bool:
    return isinstance(url, str) and url.partition("?")[0].rstrip("/").endswith("/sse")


def _translated(key: str, value: Any, inputs: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        value = _INPUT.sub(lambda match: inputs.get(match[1], match[0]), value)
        foreign = _FOREIGN.search(value)
        if foreign:
            raise EntryFault(
                f"`{key}` refers to {foreign[0]}, which only the program that it was written for "
                "can fill in: write the value, or ${VAR}."
            )
        return _ENV.sub(r"${\1}", value)
    if isinstance(value, dict):
        return {name: _translated(f"{key}.{name}", item, inputs) for name, item in value.items()}
    if isinstance(value, list):
        return [_translated(key, item, inputs) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool) and key.startswith("env."):
        return str(value)
    return value


# server.json


def _read_server_json(document: dict[str, Any]) -> Config:
    config = Config("server.json")
    name = _NAME.sub("-", document["name"].rpartition("/")[2])[:40].strip("-_") or "server"
    faults = []
    candidates: list[tuple[Callable[[dict[str, Any], str], Entry], dict[str, Any]]] = []
    for key, reader in (("packages", _package), ("remotes", _remote)):
        listed = document.get(key) or []
        if not isinstance(listed, list):
            raise BadRequest(f"`{key}` of a server.json must be a list.")
        candidates += [(reader, raw) for raw in listed]
    for read, raw in candidates:
        try:
            config.entries[name] = read(raw, name)
            return config
        except (KeyError, TypeError, AttributeError) as error:
            faults.append(f"it is not as server.json should be ({error})")
        except EntryFault as fault:
            faults.append(str(fault))
    config.faults[name] = " ".join(faults) or "It names neither a package nor a remote."
    return config


def _package(package: dict[str, Any], name: str) -> Entry:
    kind = package.get("registryType") or package.get("registry_type") or "?"
    transport = (package.get("transport") or {}).get("type", "stdio")
    if transport != "stdio":
        raise EntryFault(f"The {kind} package speaks {transport}: run it and give its `url`.")
    version = package.get("version")
    pinned = version and version != "latest"
    if kind == "npm":
        command, runner = "npx", ["-y"]
        what = f"{package['identifier']}@{version}" if pinned else package["identifier"]
    elif kind == "pypi":
        command, runner = "uvx", []
        what = f"{package['identifier']}=={version}" if pinned else package["identifier"]
    else:
        raise EntryFault(f"A package of type {kind} cannot be run here; npm and pypi ones can.")
    given = _arguments(package.get("runtimeArguments") or [])
    entry: Entry = {
        "command": command,
        "args": [*(a for a in runner if a not in given), *given, what],
    }
    entry["args"] += _arguments(package.get("packageArguments") or [])
    env = _inputs(package.get("environmentVariables") or [], prefix="")
    return entry | ({"env": env} if env else {})


def _remote(remote: dict[str, Any], name: str) -> Entry:
    kinds = {"streamable-http": "http", "http": "http", "sse": "sse"}
    kind = remote.get("type") or remote.get("transport_type") or "?"
    if kind not in kinds:
        raise EntryFault(f"A remote of type {kind} is not known; streamable-http and sse are.")
    prefix = _variable(name) + "_"
    entry: Entry = {"type": kinds[kind], "url": _filled(remote["url"], remote, "url")}
    headers = _inputs(remote.get("headers") or [], prefix)
    return entry | ({"headers": headers} if headers else {})


def _arguments(arguments: list[dict[str, Any]]) -> list[str]:
    found: list[str] = []
    for argument in arguments:
        name = argument.get("name") or argument.get("valueHint") or "an argument"
        value = argument.get("value", argument.get("default"))
        named = argument.get("type") == "named"
        if value is None and not (named and argument.get("format") == "boolean"):
            if argument.get("isRequired"):
                raise EntryFault(f"The argument {name} has no value: register the entry by hand.")
            if named and not argument.keys() & {"valueHint", "format", "choices", "placeholder"}:
                found.append(name)
            continue
        found += [name] if named else []
        found += [_filled(str(value), argument, name)] if value is not None else []
    return found


def _inputs(inputs: list[dict[str, Any]], prefix: str) -> dict[str, str]:
    """Return variables or headers; those that a person has to give become references."""
    found = {}
    for item in inputs:
        name = item["name"]
        value = item.get("value", item.get("default"))
        if value is not None:
            found[name] = _filled(str(value), item, name, prefix)
        elif item.get("isRequired"):
            found[name] = "${" + _variable(prefix + name) + "}"
    return found


def _filled(text: str, item: dict[str, Any], key: str, prefix: str | None = None) -> str:
    """Fill in the `{blanks}` of a value from its `variables`; what a person must give is asked."""
    variables = item.get("variables") or {}

    def fill(match: re.Match[str]) -> str:
        variable = variables.get(match[1])
        if variable is None:
            return match[0]
        value = variable.get("value", variable.get("default"))
        if value is not None:
            return str(value)
        if prefix is None:
            raise EntryFault(f"`{key}` needs a value for {match[0]}: register the entry by hand.")
        return "${" + _variable(prefix + match[1]) + "}"

    return _BLANK.sub(fill, text)


def _variable(text: str) -> str:
    return re.sub(r"[^A-Z0-9_]+", "_", text.upper()).strip("_")


# Writing.


def write_config(registrations: Iterable[Registration], form: Form) -> dict[str, Any]:
    """Return a configuration file of the entries. Secrets become references to variables.

    Raises:
        BadRequest: the form cannot say it.
    """
    entries = {r.name: _without_secrets(r) for r in registrations if r.entry is not None}
    if form == "vscode":
        return {"servers": {name: _for_vscode(entry) for name, entry in entries.items()}}
    if form == "server.json":
        if len(entries) != 1:
            raise BadRequest("A server.json describes one tool server: choose it with ?name=.")
        return _for_registry(*next(iter(entries.items())))
    return {"mcpServers": entries}


def _without_secrets(registration: Registration) -> Entry:
    def hide(key: str) -> str:
        if key.upper() == "AUTHORIZATION" or key.startswith("URL_"):
            key = f"{registration.name}_{key}"
        return "${" + _variable(key.lstrip("-")) + "}"

    return hidden(registration.entry or {}, hide)


def _for_vscode(entry: Entry) -> Entry:
    def translated(value: Any) -> Any:
        if isinstance(value, str):
            return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(:-[^}]*)?\}", r"${env:\1}", value)
        if isinstance(value, dict):
            return {k: translated(v) for k, v in value.items()}
        return [translated(v) for v in value] if isinstance(value, list) else value

    kept = {k: translated(v) for k, v in entry.items() if k not in ("agentdock", "enabled")}
    kind = "stdio" if "command" in entry else "sse" if entry.get("type") == "sse" else "http"
    return {"type": kind} | {k: v for k, v in kept.items() if k != "type"}


def _for_registry(name: str, entry: Entry) -> dict[str, Any]:
    document: dict[str, Any] = {
        "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
        "name": f"local/{name}",
        "description": f"The tool server {name}.",
        "version": "1.0.0",
    }
    if "url" in entry:
        kind = "sse" if entry.get("type") == "sse" else "streamable-http"
        remote = {"type": kind, "url": entry["url"]}
        headers = [_input(k, v) for k, v in entry.get("headers", {}).items()]
        return document | {"remotes": [remote | ({"headers": headers} if headers else {})]}
    args = list(entry.get("args", []))
    while args and args[0] in ("-y", "--yes"):
        del args[0]
    kinds = {"uvx": ("pypi", "=="), "npx": ("npm", "@")}
    kind, mark = kinds.get(entry["command"], ("", ""))
    if not kind or not args or args[0].startswith("-"):
        raise BadRequest(
            f"A server.json cannot describe {name!r}: only remote ones, and those that `uvx` or "
            "`npx` run without options, can be."
        )
    identifier, found, version = args[0].rpartition(mark)
    package: dict[str, Any] = {
        "registryType": kind,
        "identifier": identifier if found and identifier else args[0],
        "version": version if found and identifier else "latest",
        "transport": {"type": "stdio"},
    }
    if args[1:]:
        package["packageArguments"] = [{"type": "positional", "value": a} for a in args[1:]]
    if entry.get("env"):
        package["environmentVariables"] = [_input(k, v) for k, v in entry["env"].items()]
    return document | {"packages": [package]}


def _input(name: str, value: str) -> dict[str, Any]:
    if "${" in value:
        return {"name": name, "isRequired": True, "isSecret": True}
    return {"name": name, "value": value}
