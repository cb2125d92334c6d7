"""Which IP addresses are on the public Internet. Pure: no name is looked up here.

The registries behind the table: IANA's special-purpose address registries for IPv4 and IPv6.
Python's `is_global` alone will not do: it says yes to what only wraps another address.
"""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

PUBLIC_V6 = IPv6Network("2000::/3")
"""All that is handed out of IPv6 (RFC 4291); everything else is special."""

NAT64 = IPv6Network("64:ff9b::/96")
"""An IPv4 address in the last four bytes (RFC 6052): networks without IPv4 reach it so."""

_SPECIAL: dict[str, tuple[str, ...]] = {
    "this machine": ("0.0.0.0/8", "127.0.0.0/8", "::/128", "::1/128"),
    "a private network": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
    "the local link, where cloud metadata is served": ("169.254.0.0/16", "fe80::/10"),
    "a carrier's inner network": ("100.64.0.0/10",),
    "a cloud's inner service": ("168.63.129.16/32",),  # of Azure, though it looks public
    "a group of machines": ("224.0.0.0/4", "ff00::/8", "255.255.255.255/32"),
    "a tunnel to another address": (
        "192.88.99.0/24",  # 6to4 relays
        "2002::/16",  # 6to4
        "2001::/32",  # Teredo
        "64:ff9b:1::/48",  # NAT64 with a prefix of one's own
    ),
    "a reserved range": (
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2620:4f:8000::/48",
        "3fff::/20",
        "5f00::/16",
    ),
}
_TABLE: tuple[tuple[IPv4Network | IPv6Network, str], ...] = tuple(
    (ipaddress.ip_network(network), what)
    for what, networks in _SPECIAL.items()
    for network in networks
)


def forbidden(address: str) -> str | None:
    """Say what an address is if it is not a public one: `a private network`; else None.

    Args:
        address: In the notation of `ipaddress`; one that wraps an IPv4 address is judged by that.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "no address"
    if isinstance(parsed, IPv6Address):
        if parsed.scope_id is not None:
            return "the local link"
        inner = _inside(parsed)
        if inner is not None:
            return forbidden(str(inner))
    for network, what in _TABLE:
        if parsed.version == network.version and parsed in network:
            return what
    if isinstance(parsed, IPv6Address) and parsed not in PUBLIC_V6:
        return "a reserved range"
    return None if parsed.is_global and not parsed.is_multicast else "a reserved range"


def _inside(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that the last four bytes of mapped and NAT64 addresses are."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None
