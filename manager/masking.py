"""Hides the secrets that an entry holds from those who only look at it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from wire.entry import KEY_NAME, REFERENCE

MASK = "***"
_HEADER_OPTIONS = ("-H", "--header", "--headers")
_USER = re.compile(r"(?<=://)([^/?#\s\"']*)@")
_QUERY = re.compile(r"([?&][^=&#]*=)([^&#]*)")
_KEY = rf"[\w-]{{0,64}}?(?:{KEY_NAME.pattern})[\w-]{{0,64}}"
_NAMED = re.compile(
    rf"(?<![\w-])(?P<head>(?P<name>-{_KEY}(?=[=\s])|{_KEY}(?=[=]|:\s))[=:]?\s*"
    r"(?:(?:bearer|basic|token)\s+)?)(?P<value>(?!=)(?:\"[^\"]*\"|'[^']*'|[^\s&;\"']+))",
    re.IGNORECASE,
)
"""`NAME=value`, `Name: Bearer value` or `--name value`, where the name sounds like a key."""

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

    That is, values of `env`, `headers` and options in `args` whose names sound like keys, what a
    `url` has beside host and path, and keys and URLs' passwords within any of these texts; unless
    they are references, which say nothing. (What a reference falls back on does.)
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
    if not KEY_NAME.search(key):
        return _within(value, hide)
    if _says_nothing(value):
        return value
    scheme, space, secret = value.partition(" ")
    if scheme.lower() in ("bearer", "basic", "token") and space:
        return value if _says_nothing(secret) else f"{scheme} {hide(key)}"
    return hide(key)


def _args(args: list[str], hide: Hide) -> list[str]:
    shown: list[str] = []
    before = ""
    for arg in args:
        name, colon, value = arg.partition(":")
        option, before = before, arg
        if option in _HEADER_OPTIONS and colon:
            space = " " * (len(value) - len(value.lstrip()))
            shown.append(f"{name}:{space}{_value(name, value.lstrip(), hide)}")
        elif option.startswith("-") and KEY_NAME.search(option) and "=" not in option:
            shown.append(_value(option, arg, hide))
            before = ""
        else:
            shown.append(_within(arg, hide))
    return shown


def _within(text: str, hide: Hide) -> str:
    """Replace what is a secret by the looks of the text around it."""

    def named(match: re.Match[str]) -> str:
        nothing = _says_nothing(match["value"])
        return match[0] if nothing else match["head"] + hide(match["name"])

    return _NAMED.sub(named, _without_user(text, hide))


def _without_user(text: str, hide: Hide) -> str:
    def user(match: re.Match[str]) -> str:
        return match[0] if _says_nothing(match[1]) else hide("URL_USER") + "@"

    return _USER.sub(user, text)


def _url(url: str, hide: Hide) -> str:
    def query(match: re.Match[str]) -> str:
        return match[0] if _says_nothing(match[2]) else match[1] + hide("URL_KEY")

    try:
        urlsplit(url)
    except ValueError:
        return hide("URL")  # no node can use it; nobody can say what in it is secret
    return _QUERY.sub(query, _without_user(url, hide))


def _says_nothing(text: str) -> bool:
    """Whether a text is empty, or made of references alone."""
    return not REFERENCE.sub(lambda match: match[3] or "", text).strip(" :")


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return []
