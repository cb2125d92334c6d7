"""Heads of HTTP messages, as a proxy has to read and to rewrite them. Pure."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from mcp_servers.fetching.guard import DEFAULT_PORTS

HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "trailer"),
        *("upgrade", "proxy-authenticate"),
    }
)


class BadMessage(Exception):
    """A head that is none, or holds what this proxy does not pass on."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request or an answer: its first line, and its headers as they came."""

    first: str
    headers: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str | None:
        """Return the value of the first header of that name, in lower case."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def forwarded(self, first: str | None = None) -> bytes:
        """Return the head for the next hop, which shall not keep the connection."""
        dropped = HOP_BY_HOP | {
            name.strip().lower() for name in (self.get("connection") or "").split(",")
        }
        lines = [f"{key}: {value}" for key, value in self.headers if key.lower() not in dropped]
        text = "\r\n".join([first or self.first, *lines, "Connection: close", "", ""])
        return text.encode("latin-1")

    @property
    def length(self) -> int:
        """Bytes of a request's body.

        Raises:
            BadMessage: it does not say it in advance, or not clearly.
        """
        lengths = {value for key, value in self.headers if key.lower() == "content-length"}
        if self.get("transfer-encoding") is not None or len(lengths) > 1:
            raise BadMessage("unclear length")
        length = lengths.pop() if lengths else "0"
        if not (length.isascii() and length.isdecimal()):
            raise BadMessage("bad length")
        return int(length)

    @property
    def credentials(self) -> tuple[str, str]:
        """Name and password for the proxy; empty if there are none."""
        scheme, _, value = (self.get("proxy-authorization") or "").partition(" ")
        if scheme.lower() != "basic":
            return "", ""
        try:
            pair = base64.b64decode(value, validate=True).decode("ascii")
        except ValueError:
            return "", ""
        name, _, password = pair.partition(":")
        return name, password


def parse(data: bytes) -> Head:
    """Return a head.

    Raises:
        BadMessage: it is none.
    """
    first, *lines = data.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip() or "\n" in line or "\0" in line:
            raise BadMessage("bad header")
        headers.append((name, value.strip()))
    return Head(first, tuple(headers))


def wanted(head: Head) -> tuple[str, str]:
    """Return method and URL of a request to a proxy; what CONNECT names as https.

    Raises:
        BadMessage: it is no request to a proxy.
    """
    match head.first.split(" "):
        case ["CONNECT", place, version] if version.startswith("HTTP/1."):
            return "CONNECT", f"https://{place}/"
        case [method, url, version] if version.startswith("HTTP/1.") and method.isalpha():
            if url.startswith("http://"):
                return method, url
    raise BadMessage("no request to a proxy")


def place(url: str) -> tuple[str, int] | None:
    """Return host and port of a URL, None if it names none."""
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname and port else None


def origin_form(method: str, url: httpx.URL) -> str:
    """Return the first line of a request as the server itself gets it."""
    return f"{method} {url.raw_path.decode('ascii')} HTTP/1.1"


def refusal(status: str, *headers: str) -> bytes:
    """Return an answer without a body: a page shall not learn why from here."""
    return "\r\n".join(
        [f"HTTP/1.1 {status}", *headers, "Content-Length: 0", "Connection: close", "", ""]
    ).encode()
