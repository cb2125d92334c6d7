"""The host's name stays what TLS and proxies see, although an address is dialled."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mcp_servers.fetching.errors import Refused, Unreachable
from mcp_servers.fetching.fetcher import Request
from tests.mcp_servers.fetching.scripted import fetcher, http, resolver, saying, serving


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate with its key, for `right.test` alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "right.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("right.test")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


async def test_tls_asks_for_the_name_and_checks_it(certificate: Path) -> None:
    asked: list[str | None] = []
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(certificate)
    theirs.sni_callback = lambda _, name, __: asked.append(name)
    ours = ssl.create_default_context(cafile=str(certificate))
    names = resolver({"right.test": ["127.0.0.1"], "wrong.test": ["127.0.0.1"]})
    async with (
        serving(saying(http(b"secure")), ssl=theirs) as server,
        fetcher("right.test", "wrong.test", names=names, tls=ours) as guarded,
    ):
        answer = await guarded.fetch(Request(f"https://right.test:{server.port}/"))
        with pytest.raises(Unreachable, match="no valid certificate"):
            await guarded.fetch(Request(f"https://wrong.test:{server.port}/"))
    assert answer.body == b"secure"
    assert asked[:2] == ["right.test", "wrong.test"]
    assert f"Host: right.test:{server.port}" in server.heads[0]


async def test_a_proxy_gets_public_hosts_and_never_inner_ones() -> None:
    names = resolver({"public.test": ["93.184.216.34"], "inner.test": ["127.0.0.1"]})
    names.names["bad.test"] = [["10.0.0.1"]]
    async with (
        serving(saying(http(b"through the proxy"))) as proxy,
        serving(saying(http(b"direct"))) as inner,
        fetcher("inner.test", names=names, proxy=proxy.url) as guarded,
    ):
        for host, port, body in (
            ("public.test", 80, b"through the proxy"),
            ("unknown.here.test", 80, b"through the proxy"),
            ("inner.test", inner.port, b"direct"),
        ):
            assert (await guarded.fetch(Request(f"http://{host}:{port}/"))).body == body
        for url in ("http://bad.test/", "http://169.254.169.254/", "http://metadata.internal/"):
            with pytest.raises(Refused):
                await guarded.fetch(Request(url))
    assert [head.split()[1] for head in proxy.heads] == [
        "http://public.test/",
        "http://unknown.here.test/",
    ]


async def test_a_proxy_that_refuses_a_tunnel_is_said_to() -> None:
    names = resolver({"public.test": ["93.184.216.34"]})
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    async with (
        serving(saying(refusal)) as proxy,
        fetcher(names=names, proxy=proxy.url) as guarded,
    ):
        with pytest.raises(Unreachable, match="proxy"):
            await guarded.fetch(Request("https://public.test/"))
    assert proxy.heads[0].startswith("CONNECT public.test:443 ")
