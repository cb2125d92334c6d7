"""Which values of style properties leave nothing to see of an element."""

from __future__ import annotations

import re

from tinycss2 import color3

LOOKED_AT = frozenset(
    (
        *("display", "visibility", "opacity", "font-size", "text-indent", "color"),
        *("background", "background-color", "background-image", "background-clip"),
        *("-webkit-background-clip", "-webkit-text-fill-color", "margin-left", "margin-top"),
        *("left", "right", "top", "bottom", "clip", "clip-path", "transform"),
        *("overflow", "overflow-x", "overflow-y", "height", "max-height", "width", "max-width"),
    )
)
"""The properties that are looked at."""

_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([a-z%]*)$")
_FAR = -1000
"""A place to the left of, or above, everything that is seen."""

_NEAR = 0.06
"""How little two colours may differ, of 1, for one not to be seen on the other."""

Values = dict[str, str]
Colour = tuple[float, float, float]
WHITE: Colour = (1.0, 1.0, 1.0)


def vanishes(values: Values) -> bool:
    """Tell whether the values, on their own, may hide an element or its text."""
    return (
        is_gone(values)
        or is_clear(values)
        or is_folded(values)
        or is_away(values)
        or values.get("visibility") in ("hidden", "collapse")
        or tiny(values.get("font-size", "")) is True
        or values.get("color") == "transparent"
        or unseen(values)
    )


def is_gone(values: Values) -> bool:
    """Tell whether the element is not there at all."""
    return values.get("display") == "none"


def is_clear(values: Values) -> bool:
    """Tell whether one looks through the element."""
    number = _number(values.get("opacity"))
    return number is not None and number[0] < 0.05


def is_folded(values: Values) -> bool:
    """Tell whether the element is a box without height or width, out of which nothing shows."""
    if not is_clear(values) and not any(
        "hidden" in values.get(o, "") or "clip" in values.get(o, "") for o in _OVERFLOWS
    ):
        return False
    flat = any(_at_most(values.get(name), 0) for name in _SIZES)
    point = _at_most(values.get("height"), 1) and _at_most(values.get("width"), 1)
    return flat or point


_OVERFLOWS = ("overflow", "overflow-x", "overflow-y")
_SIZES = ("height", "max-height", "width", "max-width")


def is_away(values: Values) -> bool:
    """Tell whether the element, or its text, is moved or cut away from what is seen."""
    places = ("left", "right", "top", "bottom", "margin-left", "margin-top")
    return (
        any(_at_most(values.get(name), _FAR) for name in places)
        or _at_most(values.get("text-indent"), -100)
        or re.match(r"rect\(\s*[01](?:px)?[\s,]", values.get("clip", "")) is not None
        or re.match(_CUT, values.get("clip-path", "")) is not None
        or re.search(r"-\d{4,}|scale[xy]?\(\s*0\s*[,)]", values.get("transform", "")) is not None
    )


_CUT = r"inset\(\s*(?:50|[6-9]\d|100)%|circle\(\s*0|polygon\(\s*0(?:px)?\s+0(?:px)?\s*\)"


def tiny(size: str) -> bool | None:
    """Tell whether letters of this size are too small to be seen; None as small as those around."""
    number = _number(size)
    if number is None:
        return False if size and size not in ("inherit", "larger", "smaller") else None
    if number[1] in ("em", "%"):
        return True if number[0] < (0.1 if number[1] == "em" else 10) else None
    return number[0] < (0.1 if number[1] in ("rem", "vw", "vh") else 2)


def unseen(values: Values) -> bool:
    """Tell whether the text has the colour of the ground that the same rule gives it."""
    text, ground = text_colour(values), ground_colour(values)
    return isinstance(text, tuple) and isinstance(ground, tuple) and alike(text, ground)


def text_colour(values: Values) -> Colour | str | None:
    """Return the colour of the text; "clear" if it has none, None if nothing is said of it."""
    if "text" in values.get("background-clip", values.get("-webkit-background-clip", "")):
        return "painted"
    said = values.get("-webkit-text-fill-color") or values.get("color")
    return _colour(said) if said else None


def ground_colour(values: Values) -> Colour | str | None:
    """Return the colour behind the text; "painted" for a picture, None if nothing is said of it."""
    if values.get("background-image", "none") not in ("none", "initial", ""):
        return "painted"
    for name in ("background-color", "background"):
        if said := values.get(name):
            found = _colour(said)
            if found == "clear":
                continue
            return found or "painted"
    return None


def alike(one: Colour, other: Colour) -> bool:
    """Tell whether two colours can hardly be told apart."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) < _NEAR


def _colour(said: str) -> Colour | str | None:
    found = color3.parse_color(said)
    if found is None or found == "currentColor":
        return None
    if found.alpha < 0.05:
        return "clear"
    return (found.red, found.green, found.blue)


def _number(value: str | None) -> tuple[float, str] | None:
    found = _NUMBER.match(value or "")
    return (float(found[1]), found[2]) if found else None


def _at_most(value: str | None, bound: float) -> bool:
    number = _number(value)
    return number is not None and number[0] <= bound
