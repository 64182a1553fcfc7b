"""A font of invented glyphs: outlines in, a checked TrueType or OpenType font out.

Each glyph has a code point in the private-use area and a name that can be typed: a ligature turns ":gold:" into the
glyph. Metrics are those of a CJK font: every glyph fills one em, in horizontal and in vertical lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fontTools.agl import UV2AGL
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.t2CharStringPen import T2CharStringPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont, newTable
from fontTools.ttLib.tables.O_S_2f_2 import Panose

from glyffuser.base.errors import UserError
from glyffuser.data.fonts import EM_SCALE
from glyffuser.export.latin import Letter
from glyffuser.export.outline import Outline

EM = 1000  # units
PRIVATE = range(0xE000, 0xF900)  # the private-use area of the basic plane, which every program knows
BOTTOM, TOP = -120, 880  # of the em box of an ideograph, above the baseline: what CJK fonts share
ASCENT, DESCENT = 1160, -288  # of a line, with room for Latin letters too: those of Noto Sans CJK
X_HEIGHT, CAP_HEIGHT = 543, 733
ERROR = 1.0  # units by which a quadratic curve of TrueType may lie off the cubic it stands for
TYPED = ":-0123456789abcdefghijklmnopqrstuvwxyz"  # characters that the name of a glyph is typed with
CHUNK = 400  # ligatures in one lookup: an OpenType table reaches 64 KiB
CREATED = 3849984000  # seconds since 1904: 1 January 2026, in every font, so that the same glyphs give the same bytes
SMOOTH = 0x000A  # of gasp: grey, without hints, at all sizes


@dataclass(frozen=True)
class FontGlyph:
    """One glyph of a font: what it means, what is typed between colons, its code point, its outline in pixels."""

    prompt: str
    slug: str
    codepoint: int
    outline: Outline

    @property
    def name(self) -> str:
        """Its name in the font; the part before the dot tells programs its code point (Adobe Glyph List)."""
        return f"uni{self.codepoint:04X}.{self.slug.replace('-', '_')}"


@dataclass(frozen=True)
class Naming:
    """The texts of a font's name table."""

    family: str
    copyright: str
    licence: str
    licence_url: str
    version: str

    @property
    def plain(self) -> str:
        """The family's name in ASCII letters and digits."""
        return "".join(char for char in self.family if char.isascii() and char.isalnum())[:50] or "Glyphs"

    @property
    def postscript(self) -> str:
        """The family's name for PostScript, with the style."""
        return f"{self.plain}-Regular"


def build_font(glyphs: Sequence[FontGlyph], letters: Sequence[Letter], naming: Naming, cubic: bool = False) -> TTFont:
    """The font, with quadratic curves (TrueType), or with cubic ones (CFF).

    UserError for no glyphs, for more than the private-use area holds, and for two with the same name.
    """
    check(glyphs)
    builder = FontBuilder(EM, isTTF=not cubic)
    widths: dict[str, int] = {".notdef": EM} | {letter.name: round(letter.width) for letter in letters}
    widths |= {glyph.name: EM for glyph in glyphs}
    builder.setupGlyphOrder(list(widths))
    names = {letter.codepoint: letter.name for letter in letters}
    builder.setupCharacterMap(names | {glyph.codepoint: glyph.name for glyph in glyphs})
    drawings: dict[str, Any] = {".notdef": box()} | {letter.name: letter.drawing.replay for letter in letters}
    drawings |= {glyph.name: in_em(glyph.outline).draw for glyph in glyphs}
    boxes = _cubic(builder, drawings, widths, naming) if cubic else _quadratic(builder, drawings)
    builder.setupHorizontalMetrics({name: (widths[name], x) for name, (x, _) in boxes.items()})
    builder.setupHorizontalHeader(ascent=ASCENT, descent=DESCENT, lineGap=0)
    builder.setupVerticalMetrics({name: (EM, TOP - y) for name, (_, y) in boxes.items()})
    builder.setupVerticalHeader(ascent=EM // 2, descent=-EM // 2, lineGap=0, caretSlopeRise=0, caretSlopeRun=1)
    if cubic:
        builder.setupVerticalOrigins({}, TOP)
    _describe(builder, glyphs, naming, cubic)
    builder.addOpenTypeFeatures(features(glyphs))
    return builder.font


def check(glyphs: Sequence[FontGlyph]) -> None:
    """UserError unless there are glyphs, and each can have a name and a code point of its own."""
    if not glyphs:
        raise UserError('a font needs at least one glyph; name a meaning, for example: glyffuser font "gold"')
    if len(glyphs) > len(PRIVATE):
        raise UserError(
            f"{len(glyphs)} glyphs are more than the {len(PRIVATE)} that the private-use area holds; make several fonts"
        )
    first: dict[str, FontGlyph] = {}
    for glyph in glyphs:
        other = first.setdefault(glyph.slug, glyph)
        if other is not glyph:
            raise UserError(f"{other.prompt!r} and {glyph.prompt!r} would both be typed :{glyph.slug}:; reword one")


def in_em(outline: Outline) -> Outline:
    """An outline in pixels converted to units of the em: the reverse of data/fonts.py, which draws a character with its
    em box centred in the picture.
    """
    unit = EM / (EM_SCALE * outline.side)
    margin = (outline.side * unit - EM) / 2
    return outline.mapped(unit, -margin, TOP + margin)


def box() -> Any:
    """The drawing that stands for a missing glyph: a frame as tall as an ideograph."""

    def draw(pen: Any) -> None:
        for inset, backwards in ((100, False), (150, True)):
            left, right, low, high = inset, EM - inset, BOTTOM + inset, TOP - inset
            corners = [(left, low), (right, low), (right, high), (left, high)]  # counter-clockwise
            first, *others = corners[::-1] if backwards else corners
            pen.moveTo(first)
            for corner in others:
                pen.lineTo(corner)
            pen.closePath()

    return draw


def features(glyphs: Sequence[FontGlyph]) -> str:
    """The font's features: ligatures of the typed names, and the baselines of Latin letters and of ideographs."""
    lines = [
        "languagesystem DFLT dflt;",
        "languagesystem hani dflt;",
        "languagesystem latn dflt;",
        "table BASE {",
        "HorizAxis.BaseTagList ideo romn;",
        f"HorizAxis.BaseScriptList DFLT romn {BOTTOM} 0, hani ideo {BOTTOM} 0, latn romn {BOTTOM} 0;",
        "} BASE;",
        f"@typed = [{' '.join(UV2AGL[ord(char)] for char in TYPED)}];",
        "feature liga {",
        # Substitutes nothing, but makes one word of what would be letters: a browser that reshapes only the word being
        # typed would otherwise not look back at the letters before the last.
        "lookup words { ignore sub @typed' @typed; } words;",
    ]
    for start in range(0, len(glyphs), CHUNK):
        lines.append(f"lookup typed{start} {{")
        for glyph in glyphs[start : start + CHUNK]:
            typed = " ".join(UV2AGL[ord(char)] for char in f":{glyph.slug}:")
            lines.append(f"sub {typed} by {glyph.name};")
        lines.append(f"}} typed{start};")
    return "\n".join([*lines, "} liga;"])


def _quadratic(builder: FontBuilder, drawings: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Fill the TrueType tables; return the left and upper edge of each glyph."""
    shapes = {}
    for name, draw in drawings.items():
        pen = TTGlyphPen(None)
        draw(Cu2QuPen(pen, ERROR, reverse_direction=True))  # TrueType's contours run the other way round
        shapes[name] = pen.glyph()
    builder.setupGlyf(shapes)
    table = builder.font["glyf"]
    for shape in shapes.values():
        shape.recalcBounds(table)
    builder.setupMaxp()
    gasp = builder.font["gasp"] = newTable("gasp")
    gasp.version, gasp.gaspRange = 1, {0xFFFF: SMOOTH}
    return {name: (getattr(shape, "xMin", 0), getattr(shape, "yMax", 0)) for name, shape in shapes.items()}


def _cubic(
    builder: FontBuilder, drawings: dict[str, Any], widths: dict[str, int], naming: Naming
) -> dict[str, tuple[int, int]]:
    """Fill the CFF table; return the left and upper edge of each glyph."""
    shapes = {}
    for name, draw in drawings.items():
        pen = T2CharStringPen(widths[name], None)
        draw(pen)
        shapes[name] = pen.getCharString()
    # CFF knows Latin letters alone; programs show the family's name from the name table.
    info = {"FullName": naming.plain, "FamilyName": naming.plain, "Notice": naming.copyright, "Weight": "Regular"}
    builder.setupCFF(naming.postscript, info, shapes, {})
    bounds = {name: shape.calcBounds(None) or (0, 0, 0, 0) for name, shape in shapes.items()}
    return {name: (round(left), round(high)) for name, (left, _, _, high) in bounds.items()}


def _describe(builder: FontBuilder, glyphs: Sequence[FontGlyph], naming: Naming, cubic: bool) -> None:
    """Fill the tables that say what font this is."""
    builder.updateHead(created=CREATED, modified=CREATED, fontRevision=float(naming.version), lowestRecPPEM=12)
    builder.font.recalcTimestamp = False
    meanings = ", ".join(glyph.prompt for glyph in glyphs[:12]) + (" and others" if len(glyphs) > 12 else "")
    builder.setupNameTable(
        {
            "copyright": naming.copyright,
            "familyName": naming.family,
            "styleName": "Regular",
            "uniqueFontIdentifier": f"{naming.version};{naming.postscript}",
            "fullName": naming.family,
            "version": f"Version {float(naming.version):.3f}",
            "psName": naming.postscript,
            "description": f"Characters invented from English meanings with glyffuser: {meanings}.",
            "licenseDescription": naming.licence,
            "licenseInfoURL": naming.licence_url,
            "sampleText": " ".join(f":{glyph.slug}:" for glyph in glyphs[:6]),
        },
        mac=False,
    )
    builder.setupOS2(
        version=4,
        sTypoAscender=TOP,
        sTypoDescender=BOTTOM,
        sTypoLineGap=0,
        usWinAscent=ASCENT,
        usWinDescent=-DESCENT,
        sxHeight=X_HEIGHT,
        sCapHeight=CAP_HEIGHT,
        usWeightClass=400,
        fsSelection=0x40,  # regular; the line's height is the hhea table's, as in other CJK fonts
        ulUnicodeRange1=1,  # Basic Latin
        ulUnicodeRange2=1 << (60 - 32),  # the private-use area
        ulCodePageRange1=1,  # Latin 1
        usFirstCharIndex=0x20,
        usLastCharIndex=glyphs[-1].codepoint,
        achVendID="NONE",
        panose=Panose(bFamilyType=2, bSerifStyle=11, bWeight=5),  # text, a sans serif of book weight
    )
    builder.setupPost(underlinePosition=-125, underlineThickness=50, keepGlyphNames=not cubic)
