"""The font of the pages: the few hundred characters they use, cut from a CJK font and embedded in the style sheet."""

import base64
import io
import re
import string
import unicodedata

from glyffuser.base.errors import UserError
from glyffuser.data.fonts import default_font
from glyffuser.data.radicals import RADICALS

# The radicals in the legends of maps are written by script, so they do not appear in the HTML.
ALWAYS = string.printable.strip() + " −" + "".join(radical.form for radical in RADICALS)


def font_css(html: str) -> str:
    """An @font-face rule with the characters of a page, about 50 kB; empty without a font (system fonts then serve)."""
    try:
        from fontTools import subset
        from fontTools.ttLib import TTFont

        face = default_font()
    except (ImportError, UserError):
        return ""
    font = TTFont(face.path, fontNumber=face.index, lazy=True, recalcTimestamp=False)
    options = subset.Options(flavor="woff", layout_features=["kern", "liga"], notdef_outline=True, hinting=False)
    options.drop_tables += ["vhea", "vmtx", "VORG", "BASE", "GPOS"] if "GPOS" not in font else ["vhea", "vmtx", "VORG"]
    cutter = subset.Subsetter(options)
    seen = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    # A Chinese font's quotation marks, dots and root signs are as wide as its characters: leave them to system fonts.
    letters = {char for char in seen if unicodedata.category(char).startswith("L")}
    cutter.populate(text="".join(sorted({*letters, *ALWAYS})))
    cutter.subset(font)
    font.flavor = "woff"
    buffer = io.BytesIO()
    font.save(buffer)
    packed = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        '@font-face { font-family: "Guide Sans"; font-display: swap; '
        f'src: url("data:font/woff;base64,{packed}") format("woff"); }}\n'
    )
