"""JSON as people write it into configuration files: with comments, commas too many, a BOM."""

from __future__ import annotations

import re

import orjson

from wire.errors import BadRequest

_STRING = r'"(?:[^"\\]|\\.)*+"'
_COMMENT = re.compile(rf"({_STRING})|//[^\n]*|/\*.*?\*/", re.DOTALL)
_COMMA = re.compile(rf"({_STRING})|,(?=\s*[}}\]])", re.DOTALL)


def read_jsonc(body: bytes) -> object:
    """Return what a JSON document says; comments and a comma before a closing bracket are allowed.

    Raises:
        BadRequest: it is not even that; the text says where, and quotes nothing.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        text = body.decode("utf-8-sig")
        plain = _COMMENT.sub(lambda match: match[1] or " ", text)
        return orjson.loads(_COMMA.sub(lambda match: match[1] or "", plain))
    except orjson.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        why = error.msg.partition(":")[0]
        raise BadRequest(f"The configuration is no JSON: {why}, {where}.") from None
    except UnicodeDecodeError:
        raise BadRequest("The configuration is no JSON: it is not in UTF-8.") from None
