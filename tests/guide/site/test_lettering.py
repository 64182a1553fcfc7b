"""The font of the pages holds what they show."""

import base64
import io
import re

from fontTools.ttLib import TTFont

from glyffuser.data.radicals import RADICALS
from glyffuser.guide.site.lettering import font_css


def letters(css: str) -> set[str]:
    found = re.search(r"base64,([^\"]+)", css)
    assert found is not None
    return {chr(code) for code in TTFont(io.BytesIO(base64.b64decode(found[1]))).getBestCmap()}


def test_the_font_has_the_letters_of_a_page_but_not_those_of_its_scripts():
    held = letters(font_css("<p>鯨 whale</p><script>const x = '鱷';</script>"))
    assert {"鯨", "w", "7"} <= held
    assert "鱷" not in held


def test_the_font_has_the_radicals_that_maps_name_by_script():
    assert {radical.form for radical in RADICALS} <= letters(font_css(""))


def test_the_font_is_the_same_whenever_it_is_made(monkeypatch):
    made = []
    for now in (1, 1_000_000_000):
        monkeypatch.setattr("fontTools.ttLib.tables._h_e_a_d.timestampNow", lambda now=now: now)
        made.append(font_css("<p>whale</p>"))
    assert made[0] == made[1]
