"""A page tries every way out: nothing behind the guard is ever dialled, by us or by Chromium."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from mcp_servers.fetching.errors import Refused
from tests.mcp_servers.fetching.scripted import (
    ScriptedResolver,
    Served,
    http,
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
