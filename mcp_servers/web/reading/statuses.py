"""What a page is when it is not what was asked for: a wall, a missing page, an empty shell."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lxml.html import HtmlElement

from mcp_servers.web.reading.dom import visible

WALL = 2000
"""Characters of visible text beyond which a page is no mere wall, whatever words it holds."""

SHELL = 250
"""Characters of visible text below which a page that runs scripts is an empty shell."""

SMALL = 100_000
"""Characters of HTML beyond which a page is no mere check: those of applications are long."""

_ASKS = (
    "//input[@type='password'][not(ancestor-or-self::*[@hidden or contains(@style, 'display:none')"
    " or contains(@style, 'display: none')])]"
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A status with its sentence; `keeps` tells whether the page's text is still worth reading."""

    status: str
    note: str = ""
    keeps: bool = True


OK = Verdict("ok")

_CHALLENGE = re.compile(
    r"_cf_chl_opt|cdn-cgi/challenge-platform/h/|px-captcha|captcha-delivery\.com"
    r"|_Incapsula_Resource"
    r"|awsWafCookieDomainList|token\.awswaf\.com|/_sec/cp_challenge|geo\.captcha"
    r"|sec-if-cpt-container"
    r"|kpsdk|ddos-guard/js-challenge|anubis_challenge|sgcaptcha|/recaptcha/enterprise/challenge",
)
_WIDGET = re.compile(
    r"g-recaptcha|h-captcha|hcaptcha\.com|recaptcha/api|cf-turnstile|geetest|arkoselabs"
)
_HUMAN = re.compile(
    r"(?:verify|confirm|prove|make sure|checking if|checking (?:that )?)\W*(?:that"
    r" )?(?:you(?:'re|’re| are)|"
    r"the site connection|your (?:browser|connection))\W*(?:are )?(?:not )?(?:a |an )?(?:human"
    r"|robot|bot|secure)?"
    r"|are you a (?:human|robot)|not a robot|unusual (?:traffic|activity) from|security"
    r" (?:check|verification)"
    r"|(?:complete|solve|enter) the (?:captcha|characters|puzzle|security)|^just a moment"
    r"|robot check"
    r"|human verification|press (?:and|&) hold|checking your browser|bot (?:verification"
    r"|detection)"
    r"|enable javascript and cookies to continue|请完成(?:安全)?验证|安全验证|人机验证"
    r"|请输入验证码|ロボットではありません"
    r"|я не робот|bestätigen sie, dass sie (?:ein mensch|kein roboter)|no soy un robot|je ne"
    r" suis pas un robot",
    re.IGNORECASE,
)
_BLOCKED = re.compile(
    r"access (?:to this (?:page|site|resource) )?(?:has been |is |was )?(?:denied|blocked"
    r"|forbidden)"
    r"|you (?:have been|are|were) blocked|request (?:has been |was |is )?(?:blocked|rejected)"
    r"|requested url was rejected|you don.t have permission to access|403 forbidden|^forbidden$"
    r"|not available in your (?:country|region|location)|unavailable (?:due to|for) legal reasons"
    r"|your ip (?:address )?(?:has been|is|was) (?:blocked|banned)|zugriff verweigert|accès"
    r" refusé"
    r"|acceso denegado|访问被(?:拒绝|拦截)|アクセスが拒否",
    re.IGNORECASE,
)
_MISSING_TITLE = re.compile(
    r"(?:http |error |status |code |oops[!.,]* *|sorry[!.,]* *)*(?:404\b(?: error| page)?|410"
    r" gone)?[\s:.,!–—-]*"
    r"(?:(?:this |the |that )?(?:page|file|content|article|document|product|url|resource|item"
    r"|post|video)"
    r"(?: you[\w ’']*)?(?: was| is| could| can|\W*)?(?: ?not|n.t)(?: be)? (?:found|available"
    r"|exist)|not found"
    r"|(?:this |the )?page (?:does ?n.?t|does not|no longer) exists?|nothing found"
    r"|(?:the |this )?page (?:is )?(?:missing|gone|unavailable|no longer available)"
    r"|seite (?:wurde )?nicht gefunden|page (?:introuvable|non trouvée)|p[áa]gina n(?:o|ão)"
    r" encontrada"
    r"|pagina non trovata|страница не найдена|页面(?:不存在|未找到|找不到了?)|找不到(?:页面"
    r"|網頁|該頁)"
    r"|您访问的页面不存在|ページが見つかりません(?:でした)?|페이지를 찾을 수 없습니다)?(?:"
    r" error| page)?[\s.!]*"
    r"(?:\(?(?:error )?404\)?)?",
    re.IGNORECASE,
)
_MISSING = re.compile(
    r"(?:page|url|file|document|article|content|item|product|link) (?:that )?(?:you(?:'re|’re|"
    r" are| were|'ve|’ve|"
    r" have)?[\w ]{0,30}|requested|at this address )?\W*(?:could ?n.t|could not|cannot|can.t"
    r"|can not|was not|"
    r"wasn.t|is not|isn.t|does ?n.?t|does not|may have been|has been|might have been|no"
    r" longer)\W+(?:be )?"
    r"(?:found|exist|removed|moved|deleted|available|located)"
    r"|we (?:can.t|cannot|could ?n.t|could not) (?:seem to )?find (?:the |that |this )?(?:page"
    r"|what)"
    r"|(?:您|你)(?:访问|要查看|查找)的(?:页面|内容)(?:不存在|已删除|已被删除)|お探しのページ",
    re.IGNORECASE,
)
_LOGIN = re.compile(
    r"\b(?:(?:please |you (?:must|need to|have to) )?(?:log|sign)[ -]?in\b(?: to| with| or|"
    r" required|$)?"
    r"|log(?:in|on) (?:required|to)|login$|create (?:an|your) account|members? only"
    r"|join (?:now )?to (?:view|see|continue))|请(?:先)?登录|登录后|ログインしてください"
    r"|로그인이 필요|anmelden|se connecter"
    r"|iniciar sesión|войдите|войти",
    re.IGNORECASE,
)
_LOGIN_PATH = re.compile(
    r"/(?:log-?in|sign-?in|signin|authwall|sso|users/sign_in|accounts/login"
    r"|session/new)(?:[/?.#]|$)",
    re.IGNORECASE,
)
_COOKIES = re.compile(
    r"cookies?\b|consent|your privacy|datenschutz|einwilligung|隐私|クッキー", re.IGNORECASE
)
_SCRIPTED = re.compile(
    r"(?:enable|requires?|needs?|turn on|activate|without|use|with) (?:your )?java ?script"
    r"|javascript"
    r" (?:is|must be|needs? to be|to be|was|has been|seems to be|appears to be)\W*(?:not "
    r"|currently )?(?:required|"
    r"enabled|disabled|turned|needed|available)|启用 ?javascript|javascript ?を有効",
    re.IGNORECASE,
)
_MOUNTS = (
    "root",
    "app",
    "__next",
    "___gatsby",
    "__nuxt",
    "main-app",
    "react-root",
    "app-root",
    "q-app",
    "svelte",
)


def of_http(http_status: int) -> Verdict:
    """Return what the HTTP status alone says."""
    if http_status in (404, 410):
        return Verdict("not_found", f"There is no such page (HTTP {http_status}).", keeps=False)
    if http_status in (401, 407):
        return Verdict("login_wall", f"The server asks for a login (HTTP {http_status}).")
    if http_status in (403, 429, 451):
        why = {403: "refuses access", 429: "says too many requests", 451: "withholds it by law"}
        return Verdict(
            "blocked", f"The server {why[http_status]} (HTTP {http_status}).", keeps=False
        )
    if http_status >= 400 or http_status < 200:
        return Verdict("http_error", f"The server answered with HTTP status {http_status}.")
    return OK


def of_page(
    root: HtmlElement, title: str, shown: str, markdown: str, source: str, url: str
) -> Verdict:
    """Judge an HTML page.

    Args:
        root: Its tree as it came, scripts and forms included.
        title: What it calls itself.
        shown: All visible text.
        markdown: Its main content.
        source: The text of the HTML.
        url: Where it came from in the end.
    """
    if len(shown) < WALL:
        headings = [title, *(visible(h.text_content()) for h in root.iter("h1", "h2"))][:6]
        for judge in (_challenge, _refusal, _missing):
            if (verdict := judge(headings, shown, source)) is not None:
                return verdict
        if verdict := _login(root, headings, shown, markdown, url):
            return verdict
        if len(markdown) < 2 * SHELL and (verdict := _shell(root, shown, source)):
            return verdict
        if verdict := _cookie_wall(shown, markdown):
            return verdict
    if not markdown.strip():
        return Verdict("empty", "The page holds no text that can be read.", keeps=False)
    if _paid(source) and len(markdown) < WALL:
        return Verdict("login_wall", "Only the beginning is shown: the rest is for subscribers.")
    return OK


def _challenge(headings: list[str], shown: str, source: str) -> Verdict | None:
    asked = any(_HUMAN.search(text) for text in (*headings, shown))
    if asked and (_CHALLENGE.search(source) or _WIDGET.search(source) or len(shown) < 500):
        return Verdict("captcha", "The site asks to prove that a human is reading.", keeps=False)
    if _CHALLENGE.search(source) and len(shown) < 300 and len(source) < SMALL:
        return Verdict(
            "captcha", "The site checks the browser before it shows the page.", keeps=False
        )
    return None


def _refusal(headings: list[str], shown: str, source: str) -> Verdict | None:
    if len(shown) < 1200 and any(_BLOCKED.search(heading) for heading in headings):
        return Verdict("blocked", "The site refuses access to this page.", keeps=False)
    if len(shown) < 400 and _BLOCKED.search(shown):
        return Verdict("blocked", "The site refuses access to this page.", keeps=False)
    return None


def _missing(headings: list[str], shown: str, source: str) -> Verdict | None:
    parts = [
        p
        for heading in headings
        for p in re.split(r"\s[|–—·»:-]\s|\s*[|»·]\s*", heading)
        if p.strip()
    ]
    named = any(_MISSING_TITLE.fullmatch(part.strip()) for part in parts)
    said = _MISSING.search(shown) is not None
    if (named and (said or len(shown) < 600)) or (said and len(shown) < 400):
        return Verdict("not_found", "The site says that there is no such page.", keeps=False)
    return None


def _login(
    root: HtmlElement, headings: list[str], shown: str, markdown: str, url: str
) -> Verdict | None:
    asks = bool(root.xpath(_ASKS))
    named = any(_LOGIN.search(heading) for heading in headings)
    if len(markdown) < 800 and (
        (asks and (named or len(shown) < 400)) or (_LOGIN_PATH.search(url) and (asks or named))
    ):
        return Verdict("login_wall", "The site shows this page to those who log in.")
    if named and len(shown) < 400 and _LOGIN.search(shown):
        return Verdict("login_wall", "The site shows this page to those who log in.")
    return None


def _shell(root: HtmlElement, shown: str, source: str) -> Verdict | None:
    scripts = root.findall(".//script")
    if not scripts or len(shown) >= 2 * SHELL:
        return None
    mounts = [e for e in root.iter("div", "main", "app-root") if (e.get("id") or e.tag) in _MOUNTS]
    bare = any(len(visible(e.text_content())) < 40 and e.find(".//p") is None for e in mounts)
    asked = any(_SCRIPTED.search(n.text_content()) for n in root.iter("noscript"))
    if (len(shown) < SHELL and (bare or asked or len(shown) < 80)) or _SCRIPTED.search(shown):
        return Verdict(
            "needs_browser", "The page is empty until a browser runs its scripts.", keeps=False
        )
    return None


def _cookie_wall(shown: str, markdown: str) -> Verdict | None:
    count = len(_COOKIES.findall(shown))
    if count >= 3 and len(shown) < 1200 and count * 120 > len(shown):
        return Verdict(
            "blocked", "The site shows only its request for consent to cookies.", keeps=False
        )
    return None


def _paid(source: str) -> bool:
    return re.search(r'"isAccessibleForFree"\s*:\s*"?false', source, re.IGNORECASE) is not None
