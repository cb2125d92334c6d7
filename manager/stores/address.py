"""What a MongoDB URL says: where the database is, its name, and what may be shown of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

SCHEMES = ("mongodb://", "mongodb+srv://")
DATABASE = "agentdock"
FORM = re.compile(
    r"(?P<scheme>mongodb(?:\+srv)?://)(?:[^/?#@\s]*@)?(?P<hosts>[^/?#@\s]+)"
    r'(?:/(?P<database>[^/?#@\s."$*<>:|\\]{0,63}))?(?:\?[^#@\s]*)?'
)


@dataclass(frozen=True, slots=True)
class MongoAddress:
    """A database of a MongoDB deployment.

    `name` is fit for eyes and logs: it has neither credentials nor options, which may hold some.
    """

    url: str = field(repr=False)
    name: str
    database: str
    options: frozenset[str]


def parse(url: str) -> MongoAddress:
    """Read `mongodb://[user:password@]host[:port][,...][/database][?options]`.

    Raises:
        ValueError: it is not of that form; the text shows nothing of it.
    """
    found = FORM.fullmatch(url)
    if found is None:
        raise ValueError(
            "not of the form mongodb://[user:password@]host[:port][,...][/database][?options]; "
            "other than letters and digits in user and password are written as %XX"
        )
    database = unquote(found["database"] or "") or DATABASE
    options = url.partition("?")[2].split("&")
    return MongoAddress(
        url=url,
        name=f"{found['scheme']}{found['hosts']}/{database}",
        database=database,
        options=frozenset(option.partition("=")[0].lower() for option in options),
    )
