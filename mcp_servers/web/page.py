"""What reading a document gives."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

LONGEST_LINE = 1000
"""Characters of a title, an author or a date."""

_UNSEEN = re.compile(
    "(\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f"
    "|[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff][\U000e0100-\U000e01ef])"
    "|[\U000e0000-\U000e007f\U000e0100-\U000e01ef]+|[\ufe00-\ufe0f]{2,}"
)
"""Letters without a shape; a flag is made of some, and one may follow an ideograph."""


@dataclass(frozen=True, slots=True)
class Page:
    """One document as a model reads it.

    Args:
        url: Where it came from.
        title: What it calls itself; may be empty.
        markdown: Its main content; may be empty. The same bytes always give the same text.
        kind: What it is: html, pdf, docx, xlsx, pptx, text, json, csv, xml, feed, or unknown.
        status: ok; or why the Markdown is not what was asked for: empty, blocked, captcha,
            login_wall, not_found, needs_browser, http_error, timeout, refused_by_policy,
            unsupported_type.
        note: A sentence for the model; empty if there is nothing to say.
        author: Who wrote it, if it says so.
        date: When it was published (YYYY-MM-DD), if it says so.
    """

    url: str
    title: str
    markdown: str
    kind: str
    status: str = "ok"
    note: str = ""
    author: str | None = None
    date: str | None = None

    def tidy(self) -> Page:
        """Return the page without half characters, and with one line where one is expected.

        A document chooses its title: with several lines it could forge what is said around it.
        """
        return replace(
            self,
            title=one_line(self.title),
            markdown=whole(self.markdown),
            author=self.author and one_line(self.author),
            date=self.date and one_line(self.date),
        )


def whole(text: str) -> str:
    """Return a text that any JSON writer takes, without letters that nobody sees.

    Half characters are replaced. Unicode's tags and selectors of variants, in rows that no script
    uses, would speak to a model alone.
    """
    return _UNSEEN.sub(r"\1", text.encode("utf-8", "replace").decode())


def one_line(text: str) -> str:
    """Return a text as one line that is not overlong."""
    return " ".join(whole(text).split())[:LONGEST_LINE]
