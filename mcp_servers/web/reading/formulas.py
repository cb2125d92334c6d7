"""Mathematics as TeX: each formula becomes one element `tex`, whatever the page made it from."""

from __future__ import annotations

import re
from collections.abc import Callable

from lxml.html import HtmlElement

from mcp_servers.web.reading.dom import drop_tree, visible

_HOLDERS = (
    "//*[contains(concat(' ', @class, ' '), ' katex-display ')]",
    "//*[contains(concat(' ', @class, ' '), ' katex ')]",
    "//*[contains(concat(' ', @class, ' '), ' mwe-math-element ')]",
    "//mjx-container",
    "//*[@class='MathJax' or @class='MathJax_SVG' or @class='MathJax_CHTML']",
    "//math",
)
_PREVIEWS = "//*[contains(@class, 'MathJax_Preview') or contains(@class, 'MathJax_Display')]"
_SYMBOLS = {
    "∑": r"\sum ", "∏": r"\prod ", "∫": r"\int ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ",
    "≠": r"\ne ", "→": r"\to ", "∈": r"\in ", "×": r"\times ", "⋅": r"\cdot ", "±": r"\pm ",
    "≈": r"\approx ", "∂": r"\partial ", "∇": r"\nabla ", "−": "-", "\u2061": "", "\u2062": "",
    "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "δ": r"\delta ", "ε": r"\epsilon ",
    "θ": r"\theta ", "λ": r"\lambda ", "μ": r"\mu ", "π": r"\pi ", "ρ": r"\rho ", "σ": r"\sigma ",
    "τ": r"\tau ",
    "φ": r"\phi ", "ω": r"\omega ",
    "Δ": r"\Delta ", "Σ": r"\Sigma ", "Ω": r"\Omega ",
}  # fmt: skip


def gather(root: HtmlElement) -> None:
    """Replace every formula below `root` by a `tex` element."""
    for script in root.xpath("//script[starts-with(@type, 'math/tex')]"):
        display = "block" if "display" in script.get("type") else "inline"
        _replace(script, script.text or "", display)
    scripted = root.find(".//tex") is not None
    if scripted:
        for preview in root.xpath(_PREVIEWS):
            drop_tree(preview)
    for path in _HOLDERS:
        for holder in root.xpath(path):
            if holder.getroottree().getroot() is not root:
                continue
            rendered = holder.tag != "math" and "MathJax" in (holder.get("class") or "")
            if scripted and rendered:
                drop_tree(holder)
            elif tex := _source(holder):
                _replace(holder, tex, _display(holder))


def _replace(holder: HtmlElement, tex: str, display: str) -> None:
    element = holder.makeelement("tex", display=display)
    element.text = visible(tex)
    if element.text and holder.getparent() is not None:
        holder.addprevious(element)
        drop_tree(holder)


def _display(holder: HtmlElement) -> str:
    maths = [holder] if holder.tag == "math" else holder.findall(".//math")
    block = (
        "katex-display" in (holder.get("class") or "")
        or holder.get("display") in ("true", "block")
        or any(math.get("display") == "block" for math in maths)
    )
    return "block" if block else "inline"


def _source(holder: HtmlElement) -> str:
    """Return the TeX that the page carries beside what it shows, or else TeX for its MathML."""
    for note in holder.xpath(".//*[local-name()='annotation']"):
        if "tex" in (note.get("encoding") or "").lower() and (note.text or "").strip():
            return _bare(note.text)
    maths = [holder] if holder.tag == "math" else holder.findall(".//math")
    for math in maths:
        if (math.get("alttext") or "").strip():
            return _bare(math.get("alttext"))
    return visible(" ".join(_tex(math) for math in maths))


def _bare(tex: str) -> str:
    """Return TeX without the wrapper of MediaWiki."""
    found = re.fullmatch(r"\s*\{\\(?:displaystyle|textstyle)\s*(.*)\}\s*", tex, re.DOTALL)
    return found[1].strip() if found else tex.strip()


def _tex(element: HtmlElement) -> str:
    """Return TeX for an element of presentation MathML."""
    name = str(element.tag).rpartition(":")[2]
    parts = [_tex(child) for child in element if isinstance(child.tag, str)]
    shape = _SHAPES.get(name)
    if shape is not None and len(parts) >= shape[0]:
        return shape[1](parts)
    if parts:
        return "".join(parts)
    text = visible(element.text or "")
    if name == "mtext":
        return rf"\text{{{text}}}" if text else " "
    if name in ("annotation", "annotation-xml"):
        return ""
    return "".join(_SYMBOLS.get(letter, letter) for letter in text)


def _row(parts: list[str]) -> str:
    return " & ".join(parts)


_SHAPES: dict[str, tuple[int, Callable[[list[str]], str]]] = {
    "msup": (2, lambda p: f"{p[0]}^{{{p[1]}}}"),
    "mover": (2, lambda p: f"{p[0]}^{{{p[1]}}}"),
    "msub": (2, lambda p: f"{p[0]}_{{{p[1]}}}"),
    "munder": (2, lambda p: f"{p[0]}_{{{p[1]}}}"),
    "msubsup": (3, lambda p: f"{p[0]}_{{{p[1]}}}^{{{p[2]}}}"),
    "munderover": (3, lambda p: f"{p[0]}_{{{p[1]}}}^{{{p[2]}}}"),
    "mfrac": (2, lambda p: rf"\frac{{{p[0]}}}{{{p[1]}}}"),
    "msqrt": (1, lambda p: rf"\sqrt{{{''.join(p)}}}"),
    "mroot": (2, lambda p: rf"\sqrt[{p[1]}]{{{p[0]}}}"),
    "mtr": (1, _row),
    "mtable": (1, lambda p: r"\begin{matrix}" + r" \\ ".join(p) + r"\end{matrix}"),
    "mfenced": (1, lambda p: f"({', '.join(p)})"),
}
