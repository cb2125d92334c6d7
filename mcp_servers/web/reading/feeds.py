"""RSS and Atom: the entries of a feed."""

from __future__ import annotations

from lxml import etree, html

from mcp_servers.web.reading.dom import visible
from mcp_servers.web.reading.inline import Inline

MOST_ENTRIES = 500
_ENTRY = ("item", "entry")
_DATE = ("pubDate", "published", "updated", "date")
_AUTHOR = ("author", "creator")
_BODY = ("encoded", "content", "description", "summary")


def xml_root(body: bytes) -> etree._Element | None:
    """Return the root of an XML document; entities are not expanded, nothing is fetched."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, recover=True, remove_comments=True
    )
    try:
        return etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        return None


def feed(root: etree._Element, url: str) -> tuple[str, str]:
    """Return the title and the Markdown of a feed: a heading for each entry."""
    inline = Inline(url)
    entries = [element for element in root.iter(etree.Element) if _name(element) in _ENTRY]
    holder = next((e for e in root.iter(etree.Element) if _name(e) == "channel"), root)
    title = _first(holder, ("title",))
    parts = [_plain(_first(holder, ("description", "subtitle")))]
    parts.extend(_entry(entry, inline) for entry in entries[:MOST_ENTRIES])
    if len(entries) > MOST_ENTRIES:
        parts.append(f"(Only the first {MOST_ENTRIES} of {len(entries)} entries are shown.)")
    return title, "\n\n".join(part for part in parts if part)


def _entry(entry: etree._Element, inline: Inline) -> str:
    title = _plain(_first(entry, ("title",))) or "(no title)"
    target = inline.resolve(_link(entry))
    parts = [f"## [{title}]({target})" if target else f"## {title}"]
    facts = [_first(entry, _DATE), _plain(_first(entry, _AUTHOR))]
    if said := ", ".join(fact for fact in facts if fact):
        parts.append(said)
    parts.append(_plain(_first(entry, _BODY)))
    return "\n\n".join(part for part in parts if part)


def _link(entry: etree._Element) -> str:
    for child in entry:
        if _name(child) == "link":
            if child.get("href") and child.get("rel", "alternate") == "alternate":
                return str(child.get("href"))
            if visible(child.text or ""):
                return visible(child.text or "")
    return ""


def _first(element: etree._Element, names: tuple[str, ...]) -> str:
    for name in names:
        for child in element:
            if _name(child) == name and (text := visible(" ".join(child.itertext()))):
                return text
    return ""


def _name(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2] if isinstance(element.tag, str) else ""


def _plain(text: str) -> str:
    """Return text that may hold HTML as plain text."""
    if "<" not in text and "&" not in text:
        return text
    try:
        return visible(" ".join(html.fragment_fromstring(text, "div").itertext()))
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return text
