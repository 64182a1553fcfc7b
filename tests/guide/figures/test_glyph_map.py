"""What is packed into the map's page can be unpacked again."""

import base64
import io
import json

import numpy as np
from PIL import Image

from glyffuser.guide.drawn import Page
from glyffuser.guide.figures.data.glyph_map import COLUMNS, SIDE, atlas_map, pack, radical_name, sheets, stand_alone
from glyffuser.guide.inputs import Inputs


def unpack(address: str) -> np.ndarray:
    data = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def test_sheets_hold_every_glyph_at_its_place():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 2, (COLUMNS**2 + 3, 8, 8), dtype=np.uint8) * 255
    first, second = map(unpack, sheets(images))
    assert first.shape == (COLUMNS * SIDE, COLUMNS * SIDE, 4)
    assert second.shape == (SIDE, COLUMNS * SIDE, 4)
    alpha = second[:, 2 * SIDE : 3 * SIDE, 3] / 255  # the third glyph of the second sheet
    ink = 1 - np.asarray(Image.fromarray(images[-1]).resize((SIDE, SIDE), Image.Resampling.LANCZOS)) / 255
    assert np.abs(alpha - ink).max() <= 1 / 6 + 0.01  # four levels
    assert not second[:, 3 * SIDE :, 3].any()


def test_radicals_have_unicode_s_names():
    assert radical_name(167) == "金 gold"
    assert radical_name(1).endswith("one")
    assert radical_name(214).endswith("flute")


def test_facts_of_every_glyph_are_in_the_page(inputs: Inputs):
    n = len(inputs.data)
    facts = json.loads(pack(inputs, inputs.atlas.points, inputs.data.images[:0], []))
    assert facts["count"] == n
    assert facts["chars"] == "".join(inputs.data.chars)
    assert facts["definitions"] == inputs.data.definitions
    assert list(base64.b64decode(facts["strokes"])) == inputs.data.strokes.tolist()
    places = np.frombuffer(base64.b64decode(facts["places"]), "<u2").reshape(n, 2) / 65535
    spread = inputs.atlas.points - inputs.atlas.points.mean(axis=0)
    shown = places - places.mean(axis=0)
    scale = np.abs(shown).max() / np.abs(spread).max()
    np.testing.assert_allclose(shown, spread * scale, atol=1e-3)


def test_no_definition_can_end_the_script(inputs: Inputs):
    packed = pack(inputs, inputs.atlas.points, inputs.data.images[:0], [])
    assert "<" not in packed


def test_page_stands_alone(inputs: Inputs):
    page = atlas_map(inputs)
    assert isinstance(page, Page)
    whole = stand_alone(page.html, page.caption)
    assert whole.startswith("<!doctype html>")
    assert "http" not in whole.replace("http-equiv", "")
    assert 'src="' not in whole.split("<script type")[0]
