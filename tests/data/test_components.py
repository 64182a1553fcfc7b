"""What characters are made of."""

import pytest

from glyffuser.data.components import Part, components, compositions, parts, table


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
    assert person[0] == "man at the left, tree at the right"  # Unicode calls radical 9 so
