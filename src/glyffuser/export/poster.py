"""The specimen of a font as a picture to hang up."""

import io
import math
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from glyffuser.data.fonts import default_font
from glyffuser.export.specimen import Entry, Specimen

PAPER, INK, MUTED, RULE, SEAL = "#faf7f0", "#1d1a17", "#8a8278", "#e3dccf", "#b8382a"
CELL, MARGIN, HEAD, FOOT = 400, 160, 420, 150  # pixels
GLYPH = 248  # pixels per em
MOST = 200  # glyphs on a poster: more would take gigabytes of memory, and nobody would see them


class Fonts:
    """The font of the specimen and that of its captions, at any size."""

    def __init__(self, data: bytes):
        self.data, self.face = data, default_font()
        self.own, self.text = cache(self._own), cache(self._text)  # once a size: `_own` copies the file

    def _own(self, size: int) -> ImageFont.FreeTypeFont:
        """The invented glyphs."""
        return ImageFont.truetype(io.BytesIO(self.data), size, layout_engine=ImageFont.Layout.BASIC)

    def _text(self, size: int) -> ImageFont.FreeTypeFont:
        """Captions, and real characters."""
        return ImageFont.truetype(str(self.face.path), size, self.face.index, layout_engine=ImageFont.Layout.BASIC)


def poster(specimen: Specimen, font: bytes) -> bytes:
    """The specimen, or the first MOST glyphs of it, as a PNG file. `font`: the file of the font, TrueType or CFF."""
    fonts, entries = Fonts(font), specimen.entries[:MOST]
    columns = min(len(entries), max(4, round(math.sqrt(len(entries) / 1.25))))
    rows = math.ceil(len(entries) / columns)
    width = 2 * MARGIN + max(columns, 4) * CELL
    sheet = Image.new("RGB", (width, HEAD + rows * CELL + FOOT), PAPER)
    draw = ImageDraw.Draw(sheet)
    _head(draw, specimen, fonts, width)
    left = (width - columns * CELL) // 2
    for i, entry in enumerate(entries):
        _cell(draw, entry, fonts, left + i % columns * CELL, HEAD + i // columns * CELL)
    below, at = foot(len(specimen.entries)), (width // 2, sheet.height - FOOT // 2)
    draw.text(at, below, fill=MUTED, font=fonts.text(30), anchor="mm")
    buffer = io.BytesIO()
    sheet.quantize(256, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def foot(count: int) -> str:
    """The line below the glyphs, of a font of `count`."""
    many = f"{count}" if count <= MOST else f"The first {MOST} of {count}"
    return f"{many} characters that glyffuser invented from English meanings. Small: the nearest real ones."


def _head(draw: ImageDraw.ImageDraw, specimen: Specimen, fonts: Fonts, width: int) -> None:
    """The title, and the first glyph as a seal."""
    side, top = 168, 130
    right = width - MARGIN
    draw.rounded_rectangle((right - side, top, right, top + side), 14, fill=SEAL)
    em = 132  # its middle is 0.38 em above the baseline
    at = right - side // 2, top + side // 2 + 0.38 * em
    draw.text(at, specimen.entries[0].char, fill=PAPER, font=fonts.own(em), anchor="ms")
    size = 132
    while size > 40 and fonts.text(size).getlength(specimen.family) > width - 2 * MARGIN - side - 80:
        size -= 4
    draw.text((MARGIN - 8, top + side - 34), specimen.family, fill=INK, font=fonts.text(size), anchor="ls")
    draw.line((MARGIN, HEAD - 50, right, HEAD - 50), fill=INK, width=3)


def _cell(draw: ImageDraw.ImageDraw, entry: Entry, fonts: Fonts, x: int, y: int) -> None:
    """One glyph in a copybook square, with its meaning and, small, its nearest real characters below."""
    left, top = x + (CELL - GLYPH) // 2, y + 20
    right, low, middle = left + GLYPH, top + GLYPH, top + GLYPH // 2
    draw.rectangle((left, top, right, low), outline=RULE, width=2)
    for step in range(0, GLYPH, 16):
        draw.line((left + step, middle, left + step + 7, middle), fill=RULE, width=1)
        draw.line((left + GLYPH // 2, top + step, left + GLYPH // 2, top + step + 7), fill=RULE, width=1)
    draw.text((left, low - GLYPH * 0.12), entry.char, fill=INK, font=fonts.own(GLYPH), anchor="ls")
    size = 32
    while size > 18 and fonts.text(size).getlength(entry.meaning) > CELL - 24:
        size -= 1
    draw.text((x + CELL // 2, low + 42), entry.meaning, fill=INK, font=fonts.text(size), anchor="mm")
    near = "".join(neighbour.char for neighbour in entry.neighbours)
    shown = "".join(char for char in near if ord(char) in fonts.face.covered)
    colour = SEAL if entry.exists else MUTED
    draw.text((x + CELL // 2, low + 84), shown, fill=colour, font=fonts.text(30), anchor="mm")
