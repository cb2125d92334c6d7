"""Decides where a fetch may go: takes a URL apart, looks its host up once, judges every address.

What it returns holds the addresses to dial. Nobody looks the name up again, so an answer that
changes meanwhile changes nothing.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass, replace

import httpx

from mcp_servers.fetching.addresses import forbidden
from mcp_servers.fetching.errors import BadUrl, Refused, UnknownHost
from mcp_servers.fetching.resolving import Resolver

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_URL = 8192
MAX_ADDRESSES = 8

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")
_INNER_ENDINGS = ("localhost", "local", "internal", "intranet", "lan", "home.arpa", "onion")
"""Names under these mean something only inside a network (RFC 6761, RFC 6762, RFC 8375)."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a fetch may go.

    Args:
        url: The URL without its fragment.
        host: Its host in ASCII, an IPv6 address without brackets.
        port: Its port.
        addresses: What to dial, the first first; none if only a proxy can look the host up.
        inner: Whether a setting allows this host, whatever its addresses.
    """

    url: httpx.URL
    host: str
    port: int
    addresses: tuple[str, ...]
    inner: bool

    @property
    def site(self) -> str:
        """Host and port: who is asked, and is not to be asked too much."""
        return f"{self.host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: who gets what is meant for this URL alone."""
        return self.url.scheme, self.host, self.port


class Guard:
    """Admits URLs of the public Internet, and to who names them, of the hosts of a setting.

    Args:
        resolver: Looks names up.
        ports: Which ports may be dialled.
        inner_hosts: Hosts and ports that may be dialled whatever their address is; None as port
            means any.
        proxied: Whether a proxy can look up what is unknown here.
    """

    def __init__(
        self,
        resolver: Resolver,
        ports: Collection[int],
        inner_hosts: Collection[tuple[str, int | None]] = (),
        *,
        proxied: bool = False,
    ) -> None:
        self._resolver = resolver
        self._ports = frozenset(ports)
        self._inner_hosts = frozenset(inner_hosts)
        self._proxied = proxied

    async def admit(self, url: str, *, named: bool = True) -> Target:
        """Return where to go for a URL.

        Args:
            url: A stranger's text; it may be anything.
            named: Whether the caller or a setting named it, or a page of an inner host led there.
                Where a public page leads, an inner host is as forbidden as any other.

        Raises:
            BadUrl: it is malformed.
            Refused: it may not be fetched.
            UnknownHost: its host has no address.
        """
        asked = self.check(url, named=named)
        host, port, inner = asked.host, asked.port, asked.inner
        addresses = tuple(await self._resolver.addresses(host, port))[:MAX_ADDRESSES]
        if not addresses and (inner or not self._proxied):
            raise UnknownHost(f"The host {host!r} is not known. Check the address for mistakes.")
        for what in filter(None, map(forbidden, addresses)):
            if not inner:
                raise Refused(f"{host!r} leads to {what}; only public addresses may be fetched.")
        return replace(asked, addresses=addresses)

    def check(self, url: str, *, named: bool = True) -> Target:
        """Return where a URL wants to go, without addresses: no name is looked up; see `admit`.

        Raises:
            BadUrl: it is malformed.
            Refused: it may not be fetched, whatever its host's addresses are.
        """
        parsed = parse(url)
        host, port = parsed.raw_host.decode("ascii"), parsed.port or DEFAULT_PORTS[parsed.scheme]
        inner = named and bool(self._inner_hosts & {(host, port), (host, None)})
        if not inner:
            self._check(host, port)
        return Target(parsed, host, port, (), inner)

    def _check(self, host: str, port: int) -> None:
        """Refuse what can be told without a look-up."""
        if port not in self._ports:
            allowed = ", ".join(map(str, sorted(self._ports)))
            raise Refused(f"Port {port} may not be fetched from, only {allowed}.")
        if _is_address(host):
            if what := forbidden(host):
                raise Refused(f"{host!r} is {what}; only public addresses may be fetched.")
            return
        plain = host.removesuffix(".")
        if _NUMBER.fullmatch(plain.rpartition(".")[2]):
            raise Refused(f"{host!r} is an unusual way to write an IP address: use four decimals.")
        if not _NAME.fullmatch(plain):
            raise BadUrl(f"{host!r} is not the name of a host.")
        if _is_inner_name(plain):
            raise Refused(f"{host!r} is a name of an inner network; only public hosts are fetched.")


def parse(url: str) -> httpx.URL:
    """Return a URL of http or https, without fragment.

    Raises:
        BadUrl: it is malformed.
        Refused: it has another scheme, or holds a user's name.
    """
    if len(url) > MAX_URL:
        raise BadUrl(f"The address is longer than {MAX_URL} characters.")
    # Programs disagree on these: what one takes for a path, another takes for a host.
    if "\\" in url:
        raise BadUrl("The address holds a backslash; write / or %5C.")
    try:
        parsed = httpx.URL(url.strip())
        parsed.raw_host.decode("ascii")
    except (httpx.InvalidURL, UnicodeError, ValueError) as error:
        raise BadUrl(f"The address is malformed: {error}") from None
    if parsed.scheme not in DEFAULT_PORTS:
        raise Refused("Only addresses that begin with http:// or https:// can be fetched.")
    # Not `host`: that is decoded for people, which fails for what only looks like an IDN.
    if not parsed.raw_host:
        raise BadUrl("The address names no host: write https://host/path.")
    if parsed.userinfo:
        raise Refused("Addresses with a user name or password before the host are not fetched.")
    if parsed.port is not None and not 0 < parsed.port < 65536:
        raise BadUrl(f"{parsed.port} is no port.")
    return parsed.copy_with(fragment=None)


def looks_inner(host: str) -> bool:
    """Whether a host means something only inside a network, as far as that shows in it."""
    if _is_address(host):
        return forbidden(host) is not None
    return _is_inner_name(host.lower().removesuffix("."))


def _is_inner_name(plain: str) -> bool:
    return "." not in plain or plain.endswith(tuple(f".{end}" for end in _INNER_ENDINGS))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
