"""Walls, missing pages and empty shells are told from content, and content from them."""

from __future__ import annotations

import json

import pytest

from mcp_servers.web.page import Page
from mcp_servers.web.reading.documents import Job, read
from tests.mcp_servers.web.reading.paper import PROSE, page, paragraphs

LONG = paragraphs(*(f"{PROSE} It is day {day} of the year." for day in range(12)))


def reading(html: str, *, http_status: int = 200, url: str = "https://press.example/x") -> Page:
    return read(Job(html.encode(), "text/html", url, http_status))


WALLS = {
    "captcha": [
        "<html><head><title>Just a"
        " moment...</title><script>window._cf_chl_opt={cvId:'3'}</script></head>"
        "<body><h2>Checking if the site connection is secure</h2><noscript>Enable JavaScript"
        " and cookies to"
        " continue</noscript></body></html>",
        "<html><head><title>Robot Check</title></head><body><h4>Enter the characters you see"
        " below</h4><p>Sorry, we"
        " just need to make sure you're not a robot.</p><form><input"
        " name=q></form></body></html>",
        '<html><head><title>press.example</title></head><body><div class="g-recaptcha" data-sitekey="k"></div>'
        "<p>Our systems have detected unusual traffic from your computer"
        " network.</p></body></html>",
        "<html><head><title>安全验证</title></head><body><p>请完成安全验证</p></body></html>",
    ],
    "blocked": [
        "<html><head><title>Access Denied</title></head><body><h1>Access Denied</h1><p>You"
        " don't have permission to"
        " access this page on this server.</p><p>Reference #18.2d351ab8</p></body></html>",
        "<html><head><title>Attention Required!</title></head><body><h1>Sorry, you have been"
        " blocked</h1>"
        "<p>You are unable to access press.example</p></body></html>",
        "<html><head><title>Before you continue</title></head><body><div><h1>We value your"
        " privacy</h1><p>We use"
        " cookies. With your consent we and our partners use cookies to store"
        " data.</p><p>Cookies help us.</p>"
        "<button>Accept all cookies</button></div></body></html>",
    ],
    "not_found": [
        page("<h1>Page not found</h1><p>Sorry, the page you are looking for does not exist.</p>", title="404"),
        page("<h1>Oops!</h1><p>We can't find the page that you asked for.</p>", title="Page Not Found | Press"),
        page("<h1>页面不存在</h1><p>您访问的页面不存在或已被删除。</p>", title="页面不存在"),
    ],
    "login_wall": [
        page('<h1>Sign in</h1><form><input name="u"><input type="password"></form><p>Sign in to continue.</p>',
             title="Sign in - Press"),
        page("<h1>Log in to see this</h1><p>You must log in to view this topic.</p>", title="Log in"),
    ],
    "needs_browser": [
        '<html><head><title>App</title></head><body><div id="root"></div><script src="/main.js"></script></body></html>',
        "<html><head><title>App</title></head><body><noscript>You need to enable JavaScript"
        " to run this app."
        '</noscript><div id="app"></div><script src="/a.js"></script></body></html>',
    ],
    "empty": ["<html><head><title>Nothing</title></head><body></body></html>"],
}  # fmt: skip


@pytest.mark.parametrize(("status", "html"), [(s, h) for s, hs in WALLS.items() for h in hs])
def test_a_wall_is_called_what_it_is(status: str, html: str) -> None:
    found = reading(html)
    assert found.status == status
    assert found.note
    if status != "login_wall":
        assert found.markdown == ""


ARTICLES = [
    page(f"<h1>How to mend a 404 page not found error</h1>{LONG}", title="404: page not found, and what to do"),
    page(f"<h1>Why sites ask: are you a robot?</h1><p>A CAPTCHA asks to verify you are human.</p>{LONG}"),
    page(f"<h1>Access denied: the archive closes</h1>{LONG}", title="Access denied: the archive closes"),
    page(f"<h1>Cookies and consent</h1><p>Cookies, cookies, consent, your privacy.</p>{LONG}"),
    page(f'<h1>The harbour</h1>{LONG}', extra='<form>Sign in <input type="password"></form>'),
    page(f"<h1>The harbour</h1>{LONG}", extra='<noscript>Please enable JavaScript</noscript><script src="a.js"></script>'),
    page(f"<h1>A short note</h1><p>{PROSE}</p>", extra='<div class="g-recaptcha"></div><script src="a.js"></script>'),
    page(f"<h1>Lost and found</h1><p>{PROSE} The keys were not found.</p>", title="Lost and found"),
]  # fmt: skip


@pytest.mark.parametrize("html", ARTICLES)
def test_an_article_that_speaks_of_walls_is_none(html: str) -> None:
    found = reading(html)
    assert found.status == "ok"
    assert PROSE in found.markdown


@pytest.mark.parametrize(
    ("http_status", "status"),
    [(404, "not_found"), (410, "not_found"), (401, "login_wall"), (403, "blocked"), (429, "blocked"),
     (451, "blocked"), (500, "http_error"), (400, "http_error")],
)  # fmt: skip
def test_the_http_status_is_told(http_status: int, status: str) -> None:
    found = reading(page(f"<h1>Sorry</h1>{LONG}"), http_status=http_status)
    assert found.status == status
    assert str(http_status) in found.note


def test_an_empty_shell_that_declares_its_text_is_read() -> None:
    text = json.dumps({"@graph": [{"@type": "Article", "articleBody": f"{PROSE}\n{PROSE[::-1]}"}]})
    found = reading(
        f'<html><head><script type="application/ld+json">{text}</script></head>'
        '<body><div id="root"></div><script src="/main.js"></script></body></html>'
    )
    assert (found.status, found.markdown) == ("ok", f"{PROSE}\n\n{PROSE[::-1]}")


def test_a_login_form_that_is_hidden_asks_for_nothing() -> None:
    found = reading('<body><form style="display:none"><input type="password"></form><p></p></body>')
    assert found.status == "empty"


def test_a_captcha_behind_a_403_is_called_a_captcha() -> None:
    assert reading(WALLS["captcha"][0], http_status=403).status == "captcha"


def test_the_text_of_an_error_that_explains_itself_is_kept() -> None:
    body = b'{"error": "The parameter q is missing."}'
    found = read(Job(body, "application/json", "https://api.example/v1", 400))
    assert found.status == "http_error"
    assert "The parameter q is missing." in found.markdown


def test_the_beginning_of_a_page_for_subscribers_is_kept_and_called_so() -> None:
    head = '<script type="application/ld+json">{"@type": "NewsArticle", "isAccessibleForFree": false}</script>'
    found = reading(page(f"<h1>The harbour</h1><p>{PROSE}</p>", head=head))
    assert found.status == "login_wall"
    assert PROSE in found.markdown
