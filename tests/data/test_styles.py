"""Styles: taken from font names or from the user, kept in the data set, and read from older ones too."""

from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest

from glyffuser.base.errors import UserError
from glyffuser.data.captions import build_captions
from glyffuser.data.dataset import build_dataset, load_dataset, read_info
from glyffuser.data.fonts import load_font
from glyffuser.data.styles import style_of


@pytest.mark.parametrize(
    ("font", "style"),
    [
        ("Noto Sans CJK SC Regular", "sans"),
        ("Noto Sans CJK SC Bold", "sans-bold"),
        ("Noto Sans CJK JP Black", "sans-bold"),
        ("Noto Serif CJK SC Regular", "serif"),
        ("Noto Serif CJK TC Bold", "serif-bold"),
        ("HanaMinA Regular", "sans"),  # the name says nothing; --font serif=FILE does
        ("Hanazono Mincho A", "serif"),
        ("LXGW WenKai Regular", "kai"),
        ("TW-Kai Regular", "kai"),
        ("Ma Shan Zheng Regular", "hand"),
        ("WenQuanYi Zen Hei Regular", "sans"),
    ],
)
def test_the_name_of_a_font_tells_its_style(font, style):
    assert style_of(font) == style


@pytest.fixture
def two(noto, unihan, tmp_path):
    """Twenty characters in two faces, the second in a style named by the user."""
    path = tmp_path / "two.parquet"
    faces = [load_font(f"{noto.path}:0"), load_font(f"my-hand={noto.path}:2")]
    build_dataset(faces, unihan, path, size=32, codepoints=range(0x6C34, 0x6C34 + 20))
    return path


def test_a_user_names_the_style_of_a_font(two, noto):
    data = load_dataset(two)
    assert set(zip(data.fonts, data.styles, strict=True)) == {
        ("Noto Sans CJK JP Regular", "sans"),
        (noto.name, "my-hand"),
    }
    assert read_info(two)["styles"] == ["my-hand", "sans"]
    assert data.select(np.array([1])).styles == [data.styles[1]]


@pytest.mark.parametrize("name", ["My Hand", "-a", "a--b", ""])
def test_what_cannot_be_typed_as_a_style_is_refused(noto, name):
    with pytest.raises(UserError, match=r"cannot name a style|does not exist"):
        load_font(f"{name}={noto.path}:2")


def test_in_a_data_set_of_an_earlier_version_fonts_tell_the_styles(two):
    table = pq.read_table(two)
    pq.write_table(table.drop_columns(["style"]), two)
    assert set(load_dataset(two).styles) == {"sans"}


def test_definitions_and_senses_are_the_same_captions_in_every_style(two):
    data = load_dataset(two)
    captions = build_captions(data.definitions, data.senses)
    for choices, starts in zip(captions.choices[:2], captions.starts[:2], strict=True):
        numbers = [choices[first:last].tolist() for first, last in pairwise(starts)]
        assert numbers[::2] == numbers[1::2]
    assert data.styles[:2] == ["sans", "my-hand"]
