"""Hides the secrets that an entry holds from those who only look at it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from wire.entry import KEY_NAME, REFERENCE

MASK = "***"
Hide = Callable[[str], str]
"""Returns what stands in place of the secret value of a key."""


def masked(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry as people may see it: `***` for every value that may be a secret."""
    return hidden(entry, lambda key: MASK)


def is_masked(entry: dict[str, Any]) -> bool:
    """Whether an entry holds what only `masked` makes."""
    return any(MASK in text for text in _texts(entry))


def hidden(entry: dict[str, Any], hide: Hide) -> dict[str, Any]:
    """Return an entry with everything that may be a secret replaced.

    That is, values of `env`, `headers` and options in `args` whose names sound like keys, and what
    a `url` has beside host and path; unless they are references, which say nothing.
    """
    shown = dict(entry)
    for table in ("env", "headers"):
        if isinstance(entry.get(table), dict):
            shown[table] = {k: _value(k, v, hide) for k, v in entry[table].items()}
    if isinstance(entry.get("args"), list):
        shown["args"] = _args(entry["args"], hide)
    if isinstance(entry.get("url"), str):
        shown["url"] = _url(entry["url"], hide)
    return shown


def _value(key: str, value: str, hide: Hide) -> str:
    if not KEY_NAME.search(key) or not value or not REFERENCE.sub("", value).strip(" :"):
        return value
    scheme, space, secret = value.partition(" ")
    if scheme.lower() in ("bearer", "basic", "token") and space:
        return value if REFERENCE.fullmatch(secret) else f"{scheme} {hide(key)}"
    return hide(key)


def _args(args: list[str], hide: Hide) -> list[str]:
    shown: list[str] = []
    option = ""
    for arg in args:
        name, equals, value = arg.partition("=")
        if option:
            shown.append(_value(option, arg, hide))
            option = ""
        elif equals and KEY_NAME.search(name):
            shown.append(f"{name}={_value(name, value, hide)}")
        else:
            shown.append(arg)
            option = arg if arg.startswith("-") and KEY_NAME.search(arg) else ""
    return shown


def _url(url: str, hide: Hide) -> str:
    if REFERENCE.search(url):
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return hide("URL")  # no node can use it; nobody can say what in it is secret
    if parts.username or parts.password:
        host = parts.netloc.rpartition("@")[2]
        parts = parts._replace(netloc=f"{hide('URL_USER')}@{host}")
    if parts.query:
        query = re.sub(r"=[^&]*", lambda match: f"={hide('URL_KEY')}", parts.query)
        parts = parts._replace(query=query)
    return parts.geturl()


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return []
