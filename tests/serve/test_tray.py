import io
import os
import time
import zipfile

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from PIL import Image

from glyffuser.base.errors import UserError
from glyffuser.serve.tray import KEPT, MOST, Item, added, fresh_folder, pack_font, pack_pngs, pack_svgs


def item(prompt: str = "gold", number: int = 0, size: int = 128) -> Item:
    image = np.full((size, size), 255, np.uint8)
    image[size // 4 : size // 2, size // 4 : size // 2 + number * 4] = 0
    image[size // 4 : size // 2, : size // 4] = 0
    return Item(prompt, 5, number, image, "abc")


def test_a_glyph_is_in_the_tray_once_and_a_tray_has_an_end():
    tray = added([item()], [item(), item(number=1)])
    assert [one.number for one in tray] == [0, 1]
    with pytest.raises(UserError, match=f"at most {MOST}"):
        added([], [item(f"gold {i}") for i in range(MOST + 1)])


def test_pngs_are_the_glyphs_and_names_never_leave_the_archive(tmp_path):
    tray = [item(), item("../../etc/passwd", 1), Item("gold", 5, 0, item(number=3).image, "abc")]
    (path,) = pack_pngs(tray, tmp_path)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["gold-5-0.png", "etc-passwd-5-1.png", "gold-5-0-2.png"]
        for name, one in zip(archive.namelist(), tray, strict=True):
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(archive.read(name)))), one.image)


def test_svgs_are_outlines(tmp_path):
    (path,) = pack_svgs([item()], tmp_path)
    with zipfile.ZipFile(path) as archive:
        assert archive.read("gold-5-0.svg").startswith(b"<svg")


def test_a_font_has_the_glyphs_under_what_is_typed(tmp_path):
    files = pack_font([item(), item(number=2), item("fire", 1, size=32)], tmp_path, "My Glyphs")
    assert [file.name for file in files] == [
        *("MyGlyphs.ttf", "MyGlyphs-specimen.html", "MyGlyphs-specimen.png", "MyGlyphs.zip")
    ]
    with zipfile.ZipFile(files[-1]) as archive:
        assert {"MyGlyphs.ttf", "MyGlyphs-OFL.txt", "MyGlyphs-prompts.json"} <= set(archive.namelist())
    font = TTFont(files[0])
    assert font["name"].getDebugName(1) == "My Glyphs"
    assert [font.getBestCmap()[0xE000 + i] for i in range(3)] == ["uniE000.gold", "uniE001.gold_2", "uniE002.fire"]


@pytest.mark.parametrize("family", ["", "../evil", "a/b", "<b>", "x" * 41, "字", None, 3, "a\nb"])
def test_names_that_are_paths_or_no_names_are_refused(tmp_path, family):
    with pytest.raises(UserError, match="name the font"):
        pack_font([item()], tmp_path, family)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_tray_and_a_blank_glyph_are_refused(tmp_path):
    with pytest.raises(UserError, match="empty"):
        pack_pngs([], tmp_path)
    with pytest.raises(UserError, match="'gold', glyph 3"):
        pack_svgs([Item("gold", 0, 3, np.full((128, 128), 255, np.uint8), "abc")], tmp_path)


def test_files_lie_ready_for_an_hour(tmp_path):
    old, young = fresh_folder(tmp_path), fresh_folder(tmp_path)
    os.utime(old, (0, time.time() - KEPT - 1))
    new = fresh_folder(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([young, new])
