"""The pure parts of the fetcher: addresses, waits, settings, turns."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import ValidationError

from mcp_servers.fetching.addresses import forbidden
from mcp_servers.fetching.courtesy import Courtesy
from mcp_servers.fetching.errors import FetchError
from mcp_servers.fetching.guard import parse
from mcp_servers.fetching.retries import RetryPolicy, retry_after_s
from mcp_servers.fetching.settings import FetchSettings
from tests.guards.source import ROOT

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_a_public_address_is_public(address: str) -> None:
    assert forbidden(address) is None


@given(some.ip_addresses(v=4))
def test_what_python_calls_special_is_forbidden(address: ipaddress.IPv4Address) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert forbidden(str(address))


@given(some.ip_addresses(v=4))
def test_an_address_that_wraps_another_is_no_better_than_it(address: ipaddress.IPv4Address) -> None:
    for start in ("::ffff:0:0", "64:ff9b::"):
        wrapped = ipaddress.IPv6Address(int(ipaddress.IPv6Address(start)) + int(address))
        assert forbidden(str(wrapped)) == forbidden(str(address))
    assert forbidden(str(ipaddress.IPv6Address((0x2002 << 112) + (int(address) << 80))))


@given(some.ip_addresses(v=6))
def test_only_handed_out_addresses_of_ipv6_are_public(address: ipaddress.IPv6Address) -> None:
    if forbidden(str(address)) is None:
        wraps = address.ipv4_mapped or address.packed[:4] == b"\0d\xff\x9b"
        assert wraps or address in ipaddress.ip_network("2000::/3")


@given(some.text(max_size=60))
def test_any_text_is_parsed_or_refused_in_words(text: str) -> None:
    for url in (text, f"http://{text}", f"http://host.test{text}"):
        try:
            assert parse(url).scheme in ("http", "https")
        except FetchError:
            continue


@pytest.mark.parametrize(
    "host", ["xn--i-7iq.ws", "xn--a.test", "xn--.test", "xn--80ak6aa92ehttp.test"]
)
def test_a_host_that_cannot_be_shown_in_its_own_letters_is_a_host_all_the_same(host: str) -> None:
    """Emoji in names are forbidden, and registered; whether it leads anywhere, a look-up says."""
    assert parse(f"https://{host}/").raw_host.decode() == host


def test_waits_double_to_the_longest_and_draw_lots() -> None:
    policy = RetryPolicy(attempts=5, base_s=1, longest_s=3)
    assert [policy.wait_s(n, None, 1.0) for n in range(1, 6)] == [1, 2, 3, 3, None]
    assert policy.wait_s(1, None, 0.0) == 0.5
    assert policy.wait_s(1, 2.0, 1.0) == 3.0
    assert policy.wait_s(1, 3.5, 1.0) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("Tue, 24 Nov 2026 12:00:30 GMT", 30.0),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, NOON) == seconds


async def test_turns_at_a_host_begin_at_its_rate_and_others_do_not_wait() -> None:
    """Nothing is timed: the clock is read within the turns, which begin no sooner than told."""
    courtesy = Courtesy(at_a_time=10, rate=50)
    begun = []
    asked = anyio.current_time()
    for host in ("slow.test", "slow.test", "slow.test", "other.test"):
        async with courtesy.turn(host):
            begun.append(anyio.current_time())
    assert begun[1] - asked >= 0.02 - 1e-3
    assert begun[2] - asked >= 0.04 - 1e-3


def test_inner_hosts_are_read_with_and_without_port() -> None:
    settings = FetchSettings(allowed_hosts=" 127.0.0.1:8888, SearX ,[::1]:80,")
    assert settings.inner_hosts == {("127.0.0.1", 8888), ("searx", None), ("::1", 80)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FETCH_ALLOWED_HOSTS", "http://inner/"),
        ("FETCH_ALLOWED_PORTS", "http"),
        ("FETCH_PROXY", "socks5://secret@here"),
        ("FETCH_DEADLINE_S", "0"),
        ("FETCH_USER_AGENT", "a\nHost: b"),
    ],
)
def test_a_bad_setting_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        FetchSettings()


def test_the_example_of_settings_lists_the_fetchers_with_their_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = (ROOT / ".env.example").read_text()
    found = dict(
        line.removeprefix("# ").split("=", 1)
        for line in text.splitlines()
        if line.startswith("# FETCH_")
    )
    assert set(found) == {f"FETCH_{name.upper()}" for name in FetchSettings.model_fields}
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    shown = FetchSettings()
    for name in found:
        monkeypatch.delenv(name)
    assert shown == FetchSettings()
