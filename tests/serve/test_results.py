import numpy as np
import pytest

from glyffuser.serve import results
from glyffuser.serve.tray import Item

HOSTILE = "<script>alert(1)</script>${alert(1)}{{value}}`\"'\\"


def test_no_text_becomes_markup_or_template_code(artist):
    (seen,) = artist.read(np.full((1, 128, 128), 255, np.uint8))
    item = Item(HOSTILE, 0, 0, seen.image, "abc")
    pages = [
        results.message(HOSTILE, error=True),
        results.progress(HOSTILE, 1, 2),
        results.summary(HOSTILE, [seen]),
        results.tiles(HOSTILE, [seen], 0, artist.picture),
        results.detail(HOSTILE, seen, artist.picture),
        results.tray([item]),
    ]
    for page in pages:
        assert "alert(1)" in page
        assert not any(bad in page for bad in ("<script", "${", "{{", "`", "\\"))


@pytest.mark.parametrize(("text", "safe"), [("a & b", "a &amp; b"), ("$", "&#36;"), ("{", "&#123;"), (5, "5")])
def test_escaped(text, safe):
    assert results.escaped(text) == safe
