"""Listeners on the host that nobody in a sandbox may reach. Each notes what arrives."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

Note = Callable[[str], None]


class _V6(socketserver.TCPServer):
    """Listens on every address of the machine, of both versions of IP."""

    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class _Tcp(socketserver.ThreadingMixIn, _V6):
    daemon_threads = True
    block_on_close = False


class _Udp(socketserver.UDPServer):
    address_family = socket.AF_INET6


class _Unix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False


class _Http(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    block_on_close = False


def stream_handler(note: Note, greeting: str) -> type[socketserver.BaseRequestHandler]:
    """Return a handler of connections that greets, and notes what it is told."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(2)
            try:
                self.request.sendall(greeting.encode() + b"\n")
                note(self.request.recv(4096).decode(errors="replace"))
            except OSError:
                note("a connection that broke")

    return Handler


def datagram_handler(note: Note) -> type[socketserver.BaseRequestHandler]:
    """Return a handler of datagrams that notes them."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            note(self.request[0].decode(errors="replace"))

    return Handler


def http_handler(note: Note, content: str) -> type[BaseHTTPRequestHandler]:
    """Return a handler of requests: `/to/URL` redirects there, all else answers `content`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            note(f"{self.path} {self.headers}")
            _, _, target = self.path.partition("/to/")
            self.send_response(302 if target else 200)
            if target:
                self.send_header("Location", unquote(target))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, *_: object) -> None:
            return

    return Handler


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    """Serve in a thread until the end."""
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def tcp(note: Note, greeting: str) -> socketserver.TCPServer:
    """Return a listener on a free TCP port of every address."""
    return _Tcp(("::", 0), stream_handler(note, greeting))


def udp(note: Note) -> socketserver.TCPServer:
    """Return a listener on a free UDP port of every address."""
    return _Udp(("::", 0), datagram_handler(note))


def unix(address: str, note: Note, greeting: str) -> socketserver.TCPServer:
    """Return a listener on a unix socket; an address that begins with a zero byte is abstract."""
    return _Unix(address, stream_handler(note, greeting))


def http(note: Note, content: str) -> socketserver.TCPServer:
    """Return a web server on a free port of every address."""
    return _Http(("::", 0), http_handler(note, content))
