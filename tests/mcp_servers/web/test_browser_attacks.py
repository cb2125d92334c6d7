"""A page tries every way out: nothing behind the guard is ever dialled, by us or by Chromium."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from mcp_servers.fetching.errors import Refused
from tests.mcp_servers.fetching.scripted import (
    ScriptedResolver,
    Served,
    http,
    resolver,
    saying,
    serving,
    watched_dials,
)
from tests.mcp_servers.web.pages import a_browser, a_site, html, need_chromium

pytestmark = pytest.mark.slow

ATTACK = """<title>attack</title><ol id=tried></ol><script>
const T = '127.0.0.1:CANARY', tried = document.getElementById('tried');
const add = (name, parts) =>
  document.body.append(Object.assign(document.createElement(name), parts));
const get = host => fetch('http://' + host + '/', {mode: 'no-cors'});
const ways = {
  fetch: () => get(T),
  post: () => fetch('http://' + T + '/', {mode: 'no-cors', method: 'POST', body: 'x'}),
  tls: () => get(T).then(() => fetch('https://' + T + '/', {mode: 'no-cors'})),
  localhost: () => get('localhost:CANARY'),
  below_localhost: () => get('a.localhost:CANARY'),
  zero: () => get('0.0.0.0:CANARY'),
  short: () => get('127.1:CANARY'),
  decimal: () => get('2130706433:CANARY'),
  octal: () => get('0177.0.0.1:CANARY'),
  v6: () => get('[::1]:CANARY'),
  mapped: () => get('[::ffff:127.0.0.1]:CANARY'),
  named: () => get('inner.test:CANARY'),
  rebound: () => get('rebinding.test:80').catch(() => 0).then(() => get('rebinding.test:80')),
  metadata: () => get('169.254.169.254'),
  metadata_name: () => get('metadata.google.internal'),
  private: () => get('10.0.0.1'),
  moved: () => fetch('/moved', {mode: 'no-cors'}),
  moved_away: () => fetch('/moved'),
  beacon: () => navigator.sendBeacon('http://' + T + '/', 'x'),
  xhr: () => { const x = new XMLHttpRequest();
    x.open('GET', 'http://' + T + '/', false); x.send(); },
  events: () => new EventSource('http://' + T + '/'),
  socket: () => new Promise((ok, no) => {
    const w = new WebSocket('ws://' + T + '/'); w.onopen = ok; w.onerror = no; }),
  secure_socket: () => new WebSocket('wss://' + T + '/'),
  transport: () => new WebTransport('https://' + T + '/').ready,
  worker: () => new Worker(URL.createObjectURL(new Blob(['fetch("http://' + T + '/")']))),
  service: () => navigator.serviceWorker.register('/worker.js'),
  frame: () => add('iframe', {src: 'http://' + T + '/'}),
  file_frame: () => add('iframe', {src: 'file:///etc/passwd'}),
  inner_frame: () => add('iframe', {srcdoc: '<script src="http://' + T + '/"></' + 'script>'}),
  script: () => add('script', {src: 'http://' + T + '/'}),
  image: () => add('img', {src: 'http://' + T + '/'}),
  object: () => add('object', {data: 'http://' + T + '/'}),
  style: () => add('link', {rel: 'stylesheet', href: 'http://' + T + '/'}),
  prefetch: () => add('link', {rel: 'prefetch', href: 'http://' + T + '/'}),
  preconnect: () => add('link', {rel: 'preconnect', href: 'http://' + T + '/'}),
  names: () => add('link', {rel: 'dns-prefetch', href: 'http://' + T + '/'}),
  form: () => { add('iframe', {name: 'f'}); const form = document.createElement('form');
    form.action = 'http://' + T + '/'; form.target = 'f';
    document.body.append(form); form.submit(); },
  window: () => window.open('http://' + T + '/'),
  peer: async () => {
    const peer = new RTCPeerConnection({iceServers: [
      {urls: 'stun:127.0.0.1:UDP'}, {urls: 'stun:' + T},
      {urls: 'turn:127.0.0.1:UDP', username: 'u', credential: 'c'},
      {urls: 'turn:' + T + '?transport=tcp', username: 'u', credential: 'c'}]});
    peer.createDataChannel('x');
    await peer.setLocalDescription(await peer.createOffer());
    await peer.setRemoteDescription({type: 'answer', sdp: peer.localDescription.sdp
      .replace('actpass', 'active').replace(/a=candidate.*\\r\\n/g, '')});
    await peer.addIceCandidate({sdpMid: '0', candidate:
      'candidate:1 1 UDP 2122252543 127.0.0.1 UDP typ host'});
    await peer.addIceCandidate({sdpMid: '0', candidate:
      'candidate:2 1 TCP 2122252542 127.0.0.1 CANARY typ host tcptype passive'});
  },
};
(async () => {
  for (const [name, way] of Object.entries(ways)) {
    try { await Promise.race([way(), new Promise(r => setTimeout(r, 300))]); } catch (e) {}
    tried.append(Object.assign(document.createElement('li'), {textContent: name}));
  }
  tried.append('all done');
})();
</script>"""


@pytest.fixture(autouse=True)
def _chromium() -> None:
    need_chromium()


class Heard(asyncio.DatagramProtocol):
    """Counts datagrams."""

    def __init__(self) -> None:
        self.count = 0

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.count += 1


@dataclass
class Canary:
    """What must never be dialled: a TCP and a UDP port of loopback."""

    tcp: Served
    udp: Heard
    udp_port: int

    @property
    def silent(self) -> bool:
        return self.tcp.connections == 0 and self.udp.count == 0


@asynccontextmanager
async def a_canary() -> AsyncIterator[Canary]:
    loop = asyncio.get_running_loop()
    transport, heard = await loop.create_datagram_endpoint(Heard, local_addr=("127.0.0.1", 0))
    try:
        async with serving(saying(html("secret"))) as served:
            yield Canary(served, heard, transport.get_extra_info("sockname")[1])
    finally:
        transport.close()


def names(canary: Canary) -> ScriptedResolver:
    return ScriptedResolver(
        **{
            "127_0_0_1": [["127.0.0.1"]],
            "inner_test": [["127.0.0.1"]],
            "rebinding_test": [["192.0.2.1"], ["127.0.0.1"]],
        }
    )


async def test_no_way_out_of_a_page_leads_past_the_guard() -> None:
    async with a_canary() as canary:
        moved = http(b"", "302 Found", f"Location: http://127.0.0.1:{canary.tcp.port}/")
        pages: dict[str, Any] = {"/moved": moved}
        async with (
            a_site(pages) as site,
            a_browser(site, names=names(canary)) as rig,
        ):
            text = ATTACK.replace("CANARY", str(canary.tcp.port))
            pages["/"] = html(text.replace("UDP", str(canary.udp_port)))
            with watched_dials() as dials:
                page = await rig.browser.render(f"{site.url}/", 50)
            assert canary.silent
    tried = re.findall(r"<li>(\w+)</li>", page.html)
    assert set(tried) == set(re.findall(r"^  (\w+): ", ATTACK, re.MULTILINE)), page.note
    assert {port for _, port in dials.seen} <= {site.port}
    reached_for = {asked.split("/")[2] for asked in rig.guard.asked}
    inner = {f"127.0.0.1:{canary.tcp.port}", f"localhost:{canary.tcp.port}", "169.254.169.254"}
    assert inner <= reached_for, "the attacks were made, and judged"


async def test_the_canary_hears_what_is_really_sent() -> None:
    """Without this, a deaf canary would prove anything."""
    async with a_canary() as canary:
        _, writer = await asyncio.open_connection("127.0.0.1", canary.tcp.port)
        writer.close()
        loop = asyncio.get_running_loop()
        address = ("127.0.0.1", canary.udp_port)
        transport, _ = await loop.create_datagram_endpoint(Heard, remote_addr=address)
        transport.sendto(b"x")
        async with asyncio.timeout(5):
            while canary.tcp.connections != 1 or canary.udp.count != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        transport.close()


@pytest.mark.parametrize("way", ["redirect", "script", "meta"])
async def test_a_page_that_leads_to_an_inner_address_is_refused(way: str) -> None:
    async with a_canary() as canary:
        inner = f"http://127.0.0.1:{canary.tcp.port}/"
        pages: dict[str, bytes | Any] = {
            "/redirect": http(b"", "302 Found", f"Location: {inner}"),
            "/script": html(f"<script>location = '{inner}'</script>"),
            "/meta": html(f"<meta http-equiv=refresh content='0;url={inner}'>"),
        }
        async with a_site(pages) as site, a_browser(site) as rig:
            with pytest.raises(Refused):
                await rig.browser.render(f"{site.url}/{way}", 25)
        assert canary.silent


PUBLIC_NAMES: dict[str, Sequence[str]] = {
    "public.test": ["93.184.216.34"],
    "127.0.0.1": ["127.0.0.1"],
    "inner.test": ["127.0.0.1"],
}


@asynccontextmanager
async def the_internet(pages: dict[str, bytes]) -> AsyncIterator[Served]:
    """A proxy behind which these public pages are: all that is not inner goes this way."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        path = head.split(" ")[1].partition("?")[0]
        writer.write(pages.get(path, html("nothing here", "404 Not Found")))

    async with serving(answer) as served:
        yield served


async def test_a_public_page_reaches_no_allowed_host_whatever_it_tries() -> None:
    """All the ways, at a host that the setting allows: it allows it to callers, not to pages."""
    async with a_canary() as canary:
        inner = f"http://127.0.0.1:{canary.tcp.port}/"
        pages = {"/moved": http(b"", "302 Found", f"Location: {inner}")}
        known = resolver(PUBLIC_NAMES)
        async with (
            the_internet(pages) as internet,
            a_browser(canary.tcp, names=known, upstream=internet.url) as rig,
        ):
            text = ATTACK.replace("CANARY", str(canary.tcp.port))
            pages["/"] = html(text.replace("UDP", str(canary.udp_port)))
            with watched_dials() as dials:
                page = await rig.browser.render("http://public.test/", 50)
            assert canary.silent
    tried = re.findall(r"<li>(\w+)</li>", page.html)
    assert set(tried) == set(re.findall(r"^  (\w+): ", ATTACK, re.MULTILINE)), page.note
    assert {port for _, port in dials.seen} <= {internet.port}
    asked = {url.split("/")[2] for url in rig.guard.asked}
    assert f"127.0.0.1:{canary.tcp.port}" in asked, "the attacks were made, and judged"


@pytest.mark.parametrize("way", ["redirect", "script", "meta"])
async def test_a_public_page_does_not_become_an_allowed_one(way: str) -> None:
    async with a_canary() as canary:
        inner = f"http://127.0.0.1:{canary.tcp.port}/"
        pages = {
            "/redirect": http(b"", "302 Found", f"Location: {inner}"),
            "/script": html(f"<script>location = '{inner}'</script>"),
            "/meta": html(f"<meta http-equiv=refresh content='0;url={inner}'>"),
        }
        async with (
            the_internet(pages) as internet,
            a_browser(canary.tcp, names=resolver(PUBLIC_NAMES), upstream=internet.url) as rig,
        ):
            with pytest.raises(Refused):
                await rig.browser.render(f"http://public.test/{way}", 25)
        assert canary.silent


async def test_a_page_of_an_allowed_host_reaches_that_host_and_no_other_allowed_one() -> None:
    own = http(b'{"who": "its own"}', "200 OK", "Content-Type: application/json")
    async with a_canary() as canary:
        text = f"""<p id=a></p><script>
          fetch('http://127.0.0.1:{canary.tcp.port}/', {{mode: 'no-cors'}}).catch(() => 0)
            .then(() => fetch('/data')).then(r => r.json())
            .then(d => {{ document.getElementById('a').textContent = 'made by ' + d.who; }});
        </script>"""
        async with (
            a_site({"/": html(text), "/data": own}) as site,
            a_browser(site, canary.tcp) as rig,
        ):
            page = await rig.browser.render(f"{site.url}/", 25)
        assert canary.silent
    assert "made by its own" in page.html


@pytest.mark.parametrize("way", ["leave", "redirect", "frame", "moved_frame"])
async def test_an_allowed_page_takes_no_public_one_inside(way: str) -> None:
    """What was led out, or framed, is public: it does not get the rights of where it came from."""
    inner_pages: dict[str, Any] = {"/delete": html("deleted")}
    outer_pages: dict[str, bytes] = {}
    async with (
        a_site(inner_pages) as site,
        the_internet(outer_pages) as internet,
        a_browser(site, names=resolver(PUBLIC_NAMES), upstream=internet.url) as rig,
    ):
        out = "http://public.test/evil"
        moved = http(b"", "302 Found", f"Location: {out}")
        inner_pages["/out"] = moved
        inner_pages["/redirect"] = moved
        inner_pages["/leave"] = html(f"<script>location = '{out}'</script>")
        inner_pages["/frame"] = html(f"<iframe src='{out}'></iframe>")
        inner_pages["/moved_frame"] = html("<iframe src='/out'></iframe>")
        attempt = f"fetch('{site.url}/delete', {{mode: 'no-cors', method: 'POST'}})"
        outer_pages["/evil"] = html(f"<script>{attempt}</script><img src='{site.url}/delete'>")
        try:
            await rig.browser.render(f"{site.url}/{way}", 20)
        except Refused:
            pass
        reached = internet.connections
    assert [head for head in site.heads if "/delete" in head.split(" ")[1]] == []
    assert reached or way == "frame"
