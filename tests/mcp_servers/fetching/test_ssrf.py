"""Nothing that is not public is ever dialled, however it is written and whoever leads there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from mcp_servers.fetching.app import create_fetcher
from mcp_servers.fetching.errors import BadUrl, FetchError, Refused, UnknownHost
from mcp_servers.fetching.fetcher import Request
from mcp_servers.fetching.settings import FetchSettings
from tests.mcp_servers.fetching.scripted import (
    Dials,
    ScriptedResolver,
    Served,
    fetcher,
    http,
    resolver,
    saying,
    serving,
    watched_dials,
)

PUBLIC = "93.184.216.34"
P = "{port}"
"""Stands for the canary's port, which is among the allowed ones: no port rule may save us."""

FORBIDDEN = f"""
http://127.0.0.1:{P}/
http://127.0.0.2:{P}/
http://127.255.255.254:{P}/
http://localhost:{P}/
http://LOCALHOST:{P}/
http://localhost.:{P}/
http://a.localhost:{P}/
http://127.1:{P}/
http://127.0.1:{P}/
http://127.0.0.1.:{P}/
http://2130706433:{P}/
http://2130706433.:{P}/
http://0x7f000001:{P}/
http://0X7F000001:{P}/
http://0x7f.0.0.1:{P}/
http://0x7f.1:{P}/
http://017700000001:{P}/
http://0177.0.0.1:{P}/
http://0177.0.0.01:{P}/
http://00000177.0.0.1:{P}/
http://127.0.0.0x1:{P}/
http://0:{P}/
http://0.0.0.0:{P}/
http://4294967295:{P}/
http://127.0.0.1.nip.test:{P}/
http://rebound.test:{P}/
http://mixed.test:{P}/
http://v6.test:{P}/
http://mapped.test:{P}/
http://canary:{P}/
http://[::1]:{P}/
http://[0:0:0:0:0:0:0:1]:{P}/
http://[::]:{P}/
http://[::ffff:127.0.0.1]:{P}/
http://[::ffff:7f00:1]:{P}/
http://[0:0:0:0:0:ffff:7f00:0001]:{P}/
http://[::127.0.0.1]:{P}/
http://[64:ff9b::127.0.0.1]:{P}/
http://[64:ff9b::7f00:1]:{P}/
http://[64:ff9b::a9fe:a9fe]:{P}/
http://[64:ff9b:1::7f00:1]:{P}/
http://[2002:7f00:1::]:{P}/
http://[2002:a9fe:a9fe::1]:{P}/
http://[2001:0:7f00:1::]:{P}/
http://[fe80::1]:{P}/
http://[fe80::1%25lo]:{P}/
http://[fe80::1%lo]:{P}/
http://[fec0::1]:{P}/
http://[fc00::1]:{P}/
http://[fd00:ec2::254]:{P}/
http://[fd20:ce::254]:{P}/
http://[ff02::1]:{P}/
http://[100::1]:{P}/
http://[2001:db8::1]:{P}/
http://[3fff::1]:{P}/
http://[::ffff:0:127.0.0.1]:{P}/
http://10.0.0.1:{P}/
http://10.255.255.255:{P}/
http://172.16.0.1:{P}/
http://172.31.255.255:{P}/
http://192.168.0.1:{P}/
http://100.64.0.1:{P}/
http://100.100.100.200:{P}/
http://169.254.169.254/latest/meta-data/
http://169.254.170.2:{P}/v2/credentials
http://2852039166/latest/meta-data/
http://0xa9fea9fe/latest/meta-data/
http://0251.0376.0251.0376/latest/meta-data/
http://metadata.google.internal/computeMetadata/v1/
http://metadata/
http://instance-data.ec2.internal/
http://168.63.129.16/machine
http://192.0.0.192/opc/v2/
http://192.0.2.1:{P}/
http://192.88.99.1:{P}/
http://198.18.0.1:{P}/
http://198.51.100.1:{P}/
http://203.0.113.1:{P}/
http://224.0.0.1:{P}/
http://240.0.0.1:{P}/
http://255.255.255.255:{P}/
http://user@127.0.0.1:{P}/
http://{PUBLIC}@127.0.0.1:{P}/
http://{PUBLIC}:80@127.0.0.1:{P}/
http://127.0.0.1:{P}@{PUBLIC}/
http://user:secret@{PUBLIC}:{P}/
http://{PUBLIC}\\@127.0.0.1:{P}/
http://127.0.0.1:{P}\\@{PUBLIC}/
http:\\\\127.0.0.1:{P}/
http://127.0.0.%31:{P}/
http://%31%32%37.0.0.1:{P}/
http://127。0。0。1:{P}/
http://①②⑦.⓪.⓪.①:{P}/
http://１２７.０.０.１:{P}/
http://ⓛocalhost:{P}/
http://127.0.0.1%00.{PUBLIC}:{P}/
http://127.0.0.1%09:{P}/
http://127.0.0.1 :{P}/
http:///127.0.0.1:{P}/
http:127.0.0.1:{P}/
//127.0.0.1:{P}/
127.0.0.1:{P}
http://:{P}/
http://[127.0.0.1]:{P}/
http://[::1:{P}/
http://{PUBLIC}:22/
http://{PUBLIC}:25/
http://{PUBLIC}:6379/
http://{PUBLIC}:27017/
http://{PUBLIC}:0/
http://{PUBLIC}:65536/
http://{PUBLIC}:99999999999/
http://{PUBLIC}:-1/
https://127.0.0.1:{P}/
ftp://127.0.0.1:{P}/
file:///etc/passwd
gopher://127.0.0.1:{P}/_GET%20/
dict://127.0.0.1:{P}/info
ldap://127.0.0.1:{P}/
tftp://127.0.0.1:{P}/x
unix:///var/run/docker.sock
http+unix://%2Fvar%2Frun%2Fdocker.sock/info
jar:http://127.0.0.1:{P}!/
data:text/html,hello
javascript:alert(1)
ws://127.0.0.1:{P}/
""".strip().splitlines()

NAMES: dict[str, list[str]] = {
    "127.0.0.1.nip.test": ["127.0.0.1"],
    "rebound.test": ["127.0.0.1"],
    "mixed.test": [PUBLIC, "127.0.0.1"],
    "v6.test": ["::1"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "canary": ["127.0.0.1"],
    "localhost": ["127.0.0.1"],
    "a.localhost": ["127.0.0.1"],
    PUBLIC: [PUBLIC],
}
"""Where names lead; one that is written in numbers leads where the machine's own look-up says."""

REFUSALS = (Refused, BadUrl, UnknownHost)


@pytest.fixture
async def canary() -> AsyncIterator[Served]:
    """What must not be reached: listens on every address of this machine."""
    async with serving(saying(http(b"the canary sings")), host="0.0.0.0") as served:
        yield served


@pytest.fixture
def dials() -> Iterator[Dials]:
    """Every dial of this process."""
    with watched_dials() as watched:
        yield watched


def test_the_suite_holds_enough_distinct_addresses() -> None:
    assert len(set(FORBIDDEN)) == len(FORBIDDEN) >= 60


@pytest.mark.parametrize("own_lookup", [False, True], ids=["scripted", "system"])
async def test_nothing_forbidden_is_dialled(canary: Served, dials: Dials, own_lookup: bool) -> None:
    """All at once, with scripted names and with the machine's own look-up of odd notations."""
    settings = FetchSettings(allowed_ports=f"80,443,{canary.port}", attempts=1)
    names = None if own_lookup else resolver({**NAMES, **_as_glibc_reads()})
    reached = []
    async with create_fetcher(settings, resolver=names) as guarded:
        for pattern in FORBIDDEN:
            if own_lookup and ".test" in pattern:
                continue  # tests ask no name server
            url = pattern.replace(P, str(canary.port))
            try:
                await guarded.fetch(Request(url, deadline_s=5))
            except REFUSALS:
                continue
            except FetchError as error:
                reached.append((url, repr(error)))
            else:
                reached.append((url, "fetched"))
    assert reached == []
    assert dials.seen == []
    assert canary.connections == 0


def _as_glibc_reads() -> dict[str, list[str]]:
    """Return a look-up that is as generous with numbers as the most generous one."""
    loopback = ("2130706433", "0x7f000001", "127.1", "127.0.1", "017700000001", "0177.0.0.1")
    return {host: ["127.0.0.1"] for host in loopback}


async def test_the_watch_sees_what_is_dialled(canary: Served, dials: Dials) -> None:
    """The suite above can fail: what a setting allows shows up in canary and watch."""
    async with fetcher(canary) as guarded:
        answer = await guarded.fetch(Request(canary.url))
    assert answer.body == b"the canary sings"
    assert dials.seen == [("127.0.0.1", canary.port)]
    assert canary.connections == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_leads_to_nothing_forbidden(
    canary: Served, dials: Dials, status: int
) -> None:
    places = [pattern.replace(P, str(canary.port)) for pattern in FORBIDDEN]

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = front.heads[-1].split()[1].strip("/")
        place = places[int(path)].encode() if path.isdecimal() else b"/gone-astray"
        writer.write(
            b"HTTP/1.1 %d S\r\nContent-Length: 0\r\nLocation: %s\r\n\r\n" % (status, place)
        )

    names = resolver({**NAMES, **_as_glibc_reads(), "127.0.0.1": ["127.0.0.1"]})
    async with serving(redirect) as front, fetcher(front, names=names) as guarded:
        for number in range(len(places)):
            with pytest.raises(FetchError):
                await guarded.fetch(Request(f"{front.url}/{number}"))
    assert {port for _, port in dials.seen} == {front.port}
    assert canary.connections == 0


async def test_a_later_hop_is_judged_like_the_first(canary: Served, dials: Dials) -> None:
    target = f"http://127.0.0.1:{canary.port}/"
    async with serving(saying(http(b"", "302 Found", f"Location: {target}"))) as second:
        hop = f"Location: http://127.0.0.1:{second.port}/"
        async with (
            serving(saying(http(b"", "302 Found", hop))) as first,
            fetcher(first, second) as guarded,
        ):
            with pytest.raises(Refused, match="redirected"):
                await guarded.fetch(Request(first.url))
    assert second.connections == 1
    assert canary.connections == 0


async def test_a_name_that_changes_its_mind_is_dialled_where_it_was_judged(
    canary: Served, dials: Dials
) -> None:
    """The first answer is public, every later one is the canary."""
    names = ScriptedResolver(rebind_test=[[PUBLIC], ["127.0.0.1"]])
    settings = FetchSettings(allowed_ports=str(canary.port), attempts=3)
    async with create_fetcher(settings, resolver=names) as guarded:
        with pytest.raises(FetchError):
            await guarded.fetch(Request(f"http://rebind.test:{canary.port}/", deadline_s=5))
    assert names.asked == ["rebind.test"]
    assert set(dials.seen) == {(PUBLIC, canary.port)}
    assert canary.connections == 0


async def test_each_of_several_addresses_is_judged(dials: Dials) -> None:
    names = ScriptedResolver(mixed_test=[[PUBLIC, "2606:2800:220:1::1", "10.0.0.1"]])
    async with create_fetcher(FetchSettings(), resolver=names) as guarded:
        with pytest.raises(Refused, match="a private network"):
            await guarded.fetch(Request("http://mixed.test/"))
    assert dials.seen == []


async def test_a_refusal_does_not_tell_what_an_inner_name_leads_to() -> None:
    names = resolver({"db.example.test": ["10.1.2.3"]})
    async with create_fetcher(FetchSettings(), resolver=names) as guarded:
        with pytest.raises(Refused) as refused:
            await guarded.fetch(Request("http://db.example.test/"))
    assert "10.1.2.3" not in str(refused.value)


async def test_an_allowed_host_is_allowed_on_its_port_and_by_its_name_only(canary: Served) -> None:
    names = resolver({"search.test": ["127.0.0.1"], "127.0.0.1": ["127.0.0.1"]})
    async with fetcher(f"search.test:{canary.port}", names=names) as guarded:
        assert (await guarded.fetch(Request(f"http://SEARCH.test:{canary.port}/"))).status == 200
        for url in (f"http://search.test:{canary.port + 1}/", canary.url):
            with pytest.raises(Refused):
                await guarded.fetch(Request(url))
    assert canary.connections == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_public_page_does_not_lead_to_an_allowed_host(
    canary: Served, dials: Dials, status: int
) -> None:
    """The allowance is for who names the address; the proxy stands for the public Internet."""
    away = http(b"", f"{status} Moved", f"Location: http://search.test:{canary.port}/delete")
    names = resolver({"public.test": [PUBLIC], "search.test": ["127.0.0.1"]})
    async with (
        serving(saying(away)) as internet,
        fetcher(f"search.test:{canary.port}", names=names, proxy=internet.url) as guarded,
    ):
        with pytest.raises(Refused, match="redirected"):
            await guarded.fetch(Request("http://public.test/"))
    assert {port for _, port in dials.seen} == {internet.port}
    assert canary.connections == 0


async def test_an_allowed_host_that_leads_outside_and_back_is_left_outside(canary: Served) -> None:
    back = http(b"", "302 Found", f"Location: http://127.0.0.1:{canary.port}/delete")
    names = resolver({"public.test": [PUBLIC], "127.0.0.1": ["127.0.0.1"]})
    out = http(b"", "302 Found", "Location: http://public.test/")
    async with (
        serving(saying(back)) as internet,
        serving(saying(out)) as inner,
        fetcher(canary, inner, names=names, proxy=internet.url) as guarded,
    ):
        with pytest.raises(Refused, match="redirected"):
            await guarded.fetch(Request(inner.url))
    assert (inner.connections, internet.connections, canary.connections) == (1, 1, 0)
