"""Styles: the hands in which characters are written, by short names: sans, sans-bold, serif, kai, hand.

A data set of several fonts records the style of each glyph. A user may name the style of a font; otherwise the font's
own name tells it.
"""

import re

from glyffuser.base.errors import UserError

# A pattern in a font's name -> the style; the first match counts.
FAMILIES = (
    (r"kai", "kai"),
    (r"serif|song|sung|ming|mincho|batang|myeongjo", "serif"),
    (r"hand|brush|script|xing|cao|shan ?zheng", "hand"),
)
PLAIN = "sans"
BOLD = r"\b(bold|black|heavy|demibold|semibold)\b"
NAME = r"[a-z0-9]+(-[a-z0-9]+)*"


def style_of(font: str) -> str:
    """The style that a font's name implies: "Noto Serif CJK SC Bold" -> "serif-bold"."""
    lower = font.lower().replace("sans serif", "sans")
    family = next((style for pattern, style in FAMILIES if re.search(pattern, lower)), PLAIN)
    return f"{family}-bold" if re.search(BOLD, lower) else family


def check_style(name: str) -> str:
    """The name of a style, if it can be one; UserError otherwise."""
    if not re.fullmatch(NAME, name):
        raise UserError(f"{name!r} cannot name a style; use small letters, digits and hyphens, for example serif-bold")
    return name
