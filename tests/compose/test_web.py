"""Web pages that were read stay known when nodes start again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.compose.deployment import EXPLORE, FULL, Deployment, eventually

PAGE = b"<html><title>Tides</title><body><p>" + b"The tide comes in twice a day. " * 40


class Site(ThreadingHTTPServer):
    """A web site that counts how often it was asked."""

    asked = 0


class Answer(BaseHTTPRequestHandler):
    """Answers every request with the same page."""

    server: Site

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[Site]:
    with Site(("0.0.0.0", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_page_that_was_read_is_known_to_nodes_made_anew(
    deployment: Deployment, site: Site
) -> None:
    host = f"{deployment.gateway(f'{deployment.project}_internet')}:{site.server_port}"
    with deployment.having(f"FETCH_ALLOWED_HOSTS={host}", file=".env.nodes"):
        deployment.up()
        read(deployment, f"http://{host}/tides")
        assert site.asked == 1
        deployment.up("--force-recreate", "--no-deps", EXPLORE, FULL)
        read(deployment, f"http://{host}/tides")
        assert site.asked == 1
        read(deployment, f"http://{host}/other")
        assert site.asked == 2
    deployment.up()


def read(deployment: Deployment, url: str) -> None:
    def has_it() -> bool:
        answer = deployment.call("scrape_website", url=url)
        return answer.status_code == 200 and "twice a day" in answer.text

    eventually(has_it, 30)
