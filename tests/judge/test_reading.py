"""Reading files: real glyphs are read correctly, flaws are marked, and what is not a glyph is refused."""

import shutil

import numpy as np
import pytest
from PIL import Image

from glyffuser.base.errors import UserError
from glyffuser.data.fonts import Rasteriser, default_font
from glyffuser.judge.judges import load_judges
from glyffuser.judge.reading import inspect_files, read_picture


@pytest.fixture(scope="module")
def bundled():
    return load_judges()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three characters as pictures: metal, fish and tree radicals."""
    place = tmp_path_factory.mktemp("pictures")
    draw = Rasteriser(default_font(), 128)
    for char in "銀鯉松":
        Image.fromarray(draw.render(char)).save(place / f"{char}.png")
    return place


def test_real_characters_are_read_rightly(bundled, folder):
    verdicts = {verdict.file[-5]: verdict for verdict in inspect_files(bundled, [folder])}
    assert {char: verdict.radical for char, verdict in verdicts.items()} == {"銀": 167, "鯉": 195, "松": 75}
    assert verdicts["銀"].radical_char == "\N{KANGXI RADICAL GOLD}"
    assert all(verdict.chance > 0.8 for verdict in verdicts.values())
    assert abs(verdicts["銀"].strokes - 14) < 1
    assert not any(verdict.flagged for verdict in verdicts.values())


def test_two_characters_on_top_of_each_other_are_flagged_and_stained(bundled, folder, tmp_path):
    both = np.minimum(*(np.asarray(Image.open(folder / f"{char}.png")) for char in "銀鯉"))
    Image.fromarray(both).save(tmp_path / "both.png")
    (verdict,) = inspect_files(bundled, [tmp_path / "both.png"], tmp_path / "maps")
    assert verdict.flagged
    stained = np.asarray(Image.open(tmp_path / "maps" / "both-flaws.png")).astype(int)
    assert stained.shape == (128, 128, 3)
    assert (stained[..., 0] - stained[..., 2]).max() > 60  # orange somewhere


def test_larger_pictures_are_judged_alike(bundled, folder, tmp_path):
    Image.open(folder / "銀.png").convert("RGB").resize((512, 512)).save(tmp_path / "large.png")
    (verdict,) = inspect_files(bundled, [tmp_path / "large.png"])
    assert (verdict.radical, verdict.flagged) == (167, False)


def test_heat_maps_replace_neither_each_other_nor_the_glyphs(shared_judges, folder, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        shutil.copy(folder / "銀.png", tmp_path / name / "silver.png")
    with pytest.raises(UserError, match=r"two pictures would become .*silver-flaws.png"):
        inspect_files(shared_judges, [tmp_path / "one", tmp_path / "two"], tmp_path / "maps")
    assert not (tmp_path / "maps").exists()
    for _ in range(2):  # the second time, a heat map lies among the glyphs
        (verdict,) = inspect_files(shared_judges, [tmp_path / "one"], tmp_path / "one")
        assert verdict.file == str(tmp_path / "one" / "silver.png")
    assert len(inspect_files(shared_judges, [tmp_path / "one", tmp_path / "two"])) == 2


def test_grids_of_sample_are_no_glyphs(bundled, folder, tmp_path):
    Image.open(folder / "銀.png").save(tmp_path / "gold-0-0.png")
    Image.new("L", (256, 256), 255).save(tmp_path / "gold-0.png")
    (tmp_path / "gold-0.json").write_text("{}")
    assert [verdict.file for verdict in inspect_files(bundled, [tmp_path])] == [str(tmp_path / "gold-0-0.png")]


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (Image.new("L", (128, 64), 255), "square"),
        (Image.new("L", (16, 16), 255), "16 pixels wide"),
        (Image.new("RGB", (64, 64), (255, 0, 0)), "colours"),
    ],
)
def test_pictures_of_another_kind_are_refused(picture, words, tmp_path):
    picture.save(tmp_path / "a.png")
    with pytest.raises(UserError, match=words):
        read_picture(tmp_path / "a.png")


def test_what_is_no_picture_is_refused(bundled, tmp_path):
    with pytest.raises(UserError, match="no file"):
        read_picture(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UserError, match="no picture"):
        read_picture(tmp_path / "text.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no PNG"):
        inspect_files(bundled, [tmp_path / "empty"])
