"""Readings beside Chinese and Japanese letters: each follows its word, in brackets."""

from __future__ import annotations

from lxml.html import HtmlElement

from mcp_servers.web.reading.dom import drop_tree, visible


def gather(root: HtmlElement) -> None:
    """Write every `ruby` below `root` as its word and its reading, so that the word stays whole."""
    for ruby in list(root.iter("ruby")):
        reading = "".join(visible(part.text_content()) for part in ruby.iter("rt"))
        for part in [*ruby.iter("rt", "rp")]:
            drop_tree(part)
        word = visible(ruby.text_content())
        if reading and word:
            for part in list(ruby):
                if part.find(".//a") is None and part.tag != "a":
                    part.drop_tag()
            if len(ruby):
                ruby[-1].tail = f"{ruby[-1].tail or ''}（{reading}）"
            else:
                ruby.text = f"{word}（{reading}）"
