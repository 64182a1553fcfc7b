"""The poster of a font: how many glyphs it shows, and what it says below them."""

import io

from PIL import Image, ImageFont

from glyffuser.data.fonts import default_font
from glyffuser.export import poster
from glyffuser.export.specimen import Entry, Specimen


def test_a_large_font_is_shown_in_part_and_loaded_once_a_size(monkeypatch):
    monkeypatch.setattr(poster, "MOST", 4)
    entries = tuple(Entry("gold", ":gold:", char, 0.5, ()) for char in "金木水火土")
    font, load, loaded = default_font().path.read_bytes(), ImageFont.truetype, []

    def counted(source, size, *more, **named):
        loaded.append((type(source), size))
        return load(source, size, *more, **named)

    monkeypatch.setattr(ImageFont, "truetype", counted)
    sizes = [Image.open(io.BytesIO(poster.poster(Specimen("Mine", entries[:n]), font))).size for n in (4, 5)]
    assert sizes[0] == sizes[1] == (1920, poster.HEAD + poster.CELL + poster.FOOT)
    assert len(loaded) == 2 * len(set(loaded))
    assert poster.foot(4).startswith("4 characters")
    assert poster.foot(5).startswith("The first 4 of 5 characters")
