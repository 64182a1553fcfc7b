from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from glyffuser.base.errors import UserError
from glyffuser.data import fonts as module
from glyffuser.data.fonts import EM_SCALE, FontFace, Rasteriser, default_font, load_font, render

SAMPLE = "一丨丶乙十口日田永国國東龍鬱龘上下小心火水山川人入八門鳥魚馬風飛黽齊㐀鿋𠀋"


def ink_box(picture: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the ink, in pixels; right and bottom exclusive."""
    rows, columns = np.nonzero(picture.min(1) < 128)[0], np.nonzero(picture.min(0) < 128)[0]
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def white_border(picture: np.ndarray) -> bool:
    return min(picture[0].min(), picture[-1].min(), picture[:, 0].min(), picture[:, -1].min()) == 255


def test_default_font_is_the_simplified_chinese_face(noto: FontFace) -> None:
    assert noto.name == "Noto Sans CJK SC Regular"
    assert noto.em_bottom == -0.12
    assert set(map(ord, SAMPLE)) <= noto.covered
    assert len(noto.covered) > 40_000


def test_default_font_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    monkeypatch.setattr(module, "DEBIAN_NOTO", tmp_path / "none.ttc")
    with pytest.raises(UserError, match=r"no font Noto Sans CJK SC found; pip install 'glyffuser\[data\]'"):
        default_font.__wrapped__()  # not what was found before


@pytest.mark.parametrize("size", [32, 128])
def test_glyphs_stand_where_the_outlines_say(noto: FontFace, size: int) -> None:
    """Oracle: the bounds of fontTools' outlines, in an em box of EM_SCALE in the centre of the picture."""
    from fontTools.pens.boundsPen import BoundsPen
    from fontTools.ttLib import TTFont

    font = TTFont(noto.path, fontNumber=noto.index, lazy=True)
    glyphs, names = font.getGlyphSet(), font.getBestCmap()
    rasteriser, em = Rasteriser(noto, size), EM_SCALE * size
    for char in SAMPLE:
        pen = BoundsPen(glyphs)
        glyphs[names[ord(char)]].draw(pen)
        left, bottom, right, top = (value / 1000 for value in pen.bounds)
        paper = (size - em) / 2
        expected = (paper + left * em, paper + (0.88 - top) * em, paper + right * em, paper + (0.88 - bottom) * em)
        picture = rasteriser.render(char)
        assert np.abs(np.subtract(ink_box(picture), expected)).max() <= 1.6, char  # hinting moves edges by up to 1 px
        assert white_border(picture)


def test_picture_is_grey_ink_on_white_paper(noto: FontFace) -> None:
    picture = render(noto, "永")
    assert picture.shape == (128, 128)
    assert picture.dtype == np.uint8
    assert picture.min() == 0
    assert picture.max() == 255
    assert len(np.unique(picture)) > 20  # antialiased
    assert 0.05 < (picture < 128).mean() < 0.5
    assert np.array_equal(picture, render(noto, "永"))


def test_em_box_not_ink_box_is_centred(noto: FontFace) -> None:
    _, top, _, bottom = ink_box(render(noto, "一"))
    assert 54 < top < bottom < 74  # a thin stroke in the middle
    upper, lower = ink_box(render(noto, "丶")), ink_box(render(noto, "灬"))
    assert (lower[1] + lower[3]) / 2 > 70  # four dots low in the em box, which centring the ink box would hide
    assert upper != lower


def test_ink_too_large_or_too_far_off_is_kept_on_the_picture(toy_font: Callable[..., Path]) -> None:
    boxes = {
        "一": (100, 330, 900, 430),  # well inside
        "二": (-900, -1200, 1900, 2000),  # much too large
        "三": (-300, 900, 300, 1300),  # outside at the upper left
        "四": (-70, -190, 1070, 950),  # just over the border
        "五": None,
        "六": (40, 0, 60, 2600),  # thin and too tall
        "七": (700, 0, 1300, 100),  # outside at the right
    }
    face = load_font(toy_font(boxes))
    rasteriser = Rasteriser(face, 128)
    for char, box in boxes.items():
        picture = rasteriser.render(char)
        assert white_border(picture), char
        assert (picture.min() < 255) == bool(box), char
    assert ink_box(rasteriser.render("一"))[::2] == (19, 109)  # 8 + 112 * (0.1, 0.9)
    left, top, right, bottom = ink_box(rasteriser.render("三"))
    assert (left, top) == (1, 1)  # shifted just enough
    assert right - left == pytest.approx(0.6 * 112, abs=1)  # and not shrunk
    assert bottom - top == pytest.approx(0.4 * 112, abs=1)
    left, top, right, bottom = ink_box(rasteriser.render("二"))
    assert bottom - top > 115  # shrunk no more than needed
    assert (right - left) / (bottom - top) == pytest.approx(2800 / 3200, abs=0.03)


def test_em_box_from_typographic_metrics_else_the_usual(toy_font: Callable[..., Path]) -> None:
    box = {"一": (100, 300, 900, 400)}
    assert load_font(toy_font(box, typo=(800, -200))).em_bottom == -0.2
    assert load_font(toy_font(box, typo=(1160, -288))).em_bottom == -0.12


BASE = """table BASE {{
    HorizAxis.BaseTagList {tags};
    HorizAxis.BaseScriptList hani {first} {values}, latn {first} 0 500 -300;
}} BASE;"""


def test_em_box_from_the_base_table(toy_font: Callable[..., Path]) -> None:
    box = {"一": (100, 300, 900, 400)}
    ideographic = BASE.format(tags="icfb icft ideo", first="ideo", values="-90 750 -170")
    assert load_font(toy_font(box, features=ideographic)).em_bottom == -0.17
    faces_only = BASE.format(tags="icfb icft romn", first="icfb", values="-90 750 0")
    assert load_font(toy_font(box, features=faces_only)).em_bottom == pytest.approx(0.33 - 0.5)


def test_index_chooses_a_face(noto: FontFace) -> None:
    face = load_font(f"{noto.path}:0")
    assert (face.index, face.family, face.style) == (0, "Noto Sans CJK JP", "Regular")
    assert not np.array_equal(render(face, "骨"), render(noto, "骨"))  # the two countries' forms differ


def test_collection_needs_an_index_that_exists(noto: FontFace) -> None:
    with pytest.raises(
        UserError, match=r"holds 10 faces; choose one, as --font .*\.ttc:9 \(0 = Noto.* 2 = Noto Sans CJK SC R"
    ):
        load_font(noto.path)
    with pytest.raises(UserError, match=r"has no face 10; choose one of 0 = Noto Sans CJK JP Regular, 1 = "):
        load_font(f"{noto.path}:10")


def test_only_a_trailing_number_is_an_index(toy_font: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = toy_font({"一": (100, 300, 900, 400)})
    assert load_font(f"{path}:0") == load_font(path)
    odd = path.rename(path.with_name("a:3"))
    assert load_font(odd).path == odd
    for spec, shown in (("C:\\fonts\\a.ttc", "C:\\fonts\\a.ttc"), ("C:\\fonts\\a.ttc:2", "C:\\fonts\\a.ttc")):
        with pytest.raises(UserError) as error:
            load_font(spec)
        assert str(error.value).startswith(f"font file {shown} does not exist; give --font")


def test_files_that_are_no_font(tmp_path: Path, toy_font: Callable[..., Path]) -> None:
    text = tmp_path / "text.ttf"
    text.write_text("not a font")
    (tmp_path / "empty.ttf").touch()
    (tmp_path / "cut.ttc").write_bytes(b"ttcf\x00\x02")
    for name in ("text.ttf", "empty.ttf", "cut.ttc"):
        with pytest.raises(UserError, match=rf"{name} is not a TrueType or OpenType font .* choose another --font"):
            load_font(tmp_path / name)
    whole = toy_font({"一": (100, 300, 900, 400)})
    whole.write_bytes(whole.read_bytes()[:300])
    with pytest.raises(UserError, match=r"toy.ttf is damaged .* fetch it again"):
        load_font(whole)


def test_font_without_chinese(toy_font: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match=r"covers no Chinese character; choose a CJK font with --font"):
        load_font(toy_font({"A": (100, 0, 600, 700)}))


def test_font_that_vanished(toy_font: Callable[..., Path]) -> None:
    face = load_font(toy_font({"一": (100, 300, 900, 400)}))
    face.path.unlink()
    with pytest.raises(UserError, match=r"cannot draw with .*toy.ttf"):
        Rasteriser(face)


def test_fonttools_missing(noto: FontFace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fontTools.ttLib", None)
    with pytest.raises(UserError, match=r"fontTools is missing; pip install 'glyffuser\[data\]'"):
        load_font(noto.path)
