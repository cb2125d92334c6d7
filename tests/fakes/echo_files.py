"""A scripted tool server that serves files: it says what it was asked, or dies, or hangs.

`python echo_files.py [--no-files] [--option...]`, with the options of `scripted_server.py`. On the
socket, a path that ends with `die` ends the process, one with `hang` is answered when stdin ends.
"""

from __future__ import annotations

import http.server
import json
import os
import socketserver
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import scripted_server  # type: ignore[import-not-found]  # beside us; started without our packages

GONE = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    """Echoes requests."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Say what was asked."""
        said = {"method": self.command, "path": self.path, "pid": os.getpid()}
        said["headers"] = {name.lower(): value for name, value in self.headers.items()}
        said["size"] = len(self.rfile.read(int(self.headers.get("content-length", 0))))
        if self.path.endswith("die"):
            os._exit(3)
        if self.path.endswith("hang"):
            GONE.wait()
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        """Say the same."""
        self.do_GET()

    def do_DELETE(self) -> None:
        """Say the same."""
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def address_string(self) -> str:
        """Return a name: a unix socket's peer has no address."""
        return "node"


class Server(socketserver.ThreadingUnixStreamServer):
    """Serves each connection in a thread that ends with the process."""

    daemon_threads = True


if __name__ == "__main__":
    if "--no-files" in sys.argv:
        sys.argv.remove("--no-files")
    else:
        server = Server(os.environ["AGENTDOCK_FILES_SOCKET"], Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.exit(scripted_server.main())
