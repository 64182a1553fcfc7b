"""What characters are made of."""

import pytest

from glyffuser.base.errors import UserError
from glyffuser.data.components import (
    Part,
    common,
    components,
    compositions,
    named,
    numbered,
    operator,
    parts,
    places,
    standing,
    table,
)
from glyffuser.data.unihan import clean_definition, split_senses


@pytest.mark.parametrize(
    ("char", "expected"),
    [
        ("海", (Part("氵", "at the left"), Part("每", "at the right"))),
        ("想", (Part("相", "above"), Part("心", "below"))),
        ("国", (Part("囗", "around"), Part("玉", "inside"))),
        ("辦", (Part("辛", "at the left"), Part("力", "in the middle"), Part("辛", "at the right"))),
        ("慶", (Part("", "above"), Part("", "below"))),  # neither has a code point of its own
        ("一", ()),
        ("a", ()),
    ],
)
def test_direct_parts(char, expected):
    assert parts(char) == expected


def test_components_are_those_at_any_depth():
    assert {"相", "木", "目", "心"} < components("想")
    assert "想" not in components("想")
    assert components("a") == frozenset()


def test_every_sequence_of_the_table_can_be_read():
    for char in table():
        assert all(len(part.char) <= 1 and part.char != char for part in parts(char)), char
        assert not components(char) & set("{}0123456789〾⿰⿱"), char


def test_compositions_name_the_parts_that_have_names():
    chars = ["氵", "每", "海", "亻", "㦂"]
    senses = [["water"], ["every"], ["sea", "ocean"], ["radical number 9"], []]
    assert compositions(chars, senses) == [
        [],
        [],
        ["water at the left, every at the right", "water at the left, every at the right: sea"],
        [],
        [],
    ]
    (person,) = compositions(["亻", "木", "休"], [["radical number 9"], ["tree"], ["rest"]])[2:]
    assert person[0] == "man at the left, tree at the right"  # Unicode's name for radical 9


def test_parts_are_named_with_or_without_their_place():
    assert named("氵") == Part("氵", "at the left")
    assert named("馬") == Part("馬", "at the left")
    assert named("馬:right") == Part("馬", "at the right")
    assert named("囗").place == "around"
    assert [part.side for part in places("木")][:2] == ["left", "bottom"]


@pytest.mark.parametrize(
    ("text", "words"),
    [("Q", "not a part"), ("", "not a part"), ("氵馬", "not a part"), ("氵:up", "unknown place 'up'"),
     ("氵:right", r"never at the right; it stands at the left \(left\) in 1031 characters")],
)  # fmt: skip
def test_what_is_no_part_is_refused(text, words):
    with pytest.raises(UserError, match=words):
        named(text)


def test_the_commonest_parts_of_some_characters():
    assert common("海湖想打扌", 1) == "氵"
    assert set(common("海湖想打", 9)) == set("氵每胡相心扌丁")
    assert common("海湖", 0) == ""


def test_numbers_of_parts_count_from_one():
    assert numbered([Part("馬", "at the right"), Part("氵", "across")], "氵馬").tolist() == [[2, 2], [1, 0], [0, 0]]
    with pytest.raises(UserError, match="at most 3 parts"):
        numbered([Part("氵", "at the left")] * 4, "氵")
    with pytest.raises(UserError, match="does not know the part 木"):
        numbered([Part("木", "above")], "氵馬")


def test_those_that_share_a_part_have_it_in_one_operator():
    assert all(operator(char) == "⿸" for char in standing()[Part("疒", "above")])
    assert "海" in standing()[Part("氵", "at the left")]


def test_two_thirds_of_the_characters_that_nobody_defines_can_be_described(unihan, noto):
    """`dataset build --undefined` draws them."""
    entries = unihan.entries | unihan.undefined
    drawn = sorted(code for code in entries.keys() & noto.covered if entries[code].radical)
    senses = [split_senses(clean_definition(entries[code].definition_raw)) for code in drawn]
    described = compositions([chr(code) for code in drawn], senses)
    told = [bool(texts) for texts, own in zip(described, senses, strict=True) if not own]
    assert 9_000 < len(told) < 10_000
    assert 0.64 < sum(told) / len(told) < 0.74
