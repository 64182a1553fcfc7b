"""The table of radicals, against other sources."""

import unicodedata

import pytest

from glyffuser.data.radicals import RADICALS
from glyffuser.data.unihan import read_unihan


def test_there_are_214_in_their_order():
    assert [r.number for r in RADICALS] == list(range(1, 215))
    assert RADICALS[0].sign == "\N{KANGXI RADICAL ONE}"
    assert RADICALS[-1].sign == "\N{KANGXI RADICAL FLUTE}"
    assert len({r.form for r in RADICALS}) == len({r.name for r in RADICALS}) == 214


@pytest.mark.parametrize(
    ("number", "form", "name"),
    [
        (1, "一", "one"),
        (75, "木", "tree"),
        (85, "水", "water"),
        (167, "金", "gold"),
        (195, "魚", "fish"),
        (214, "龠", "flute"),
    ],
)
def test_numbers_forms_and_names(number, form, name):
    found = RADICALS[number - 1]
    assert (found.number, found.form, found.name) == (number, form, name)
    assert unicodedata.name(found.form).startswith("CJK UNIFIED IDEOGRAPH")


def test_unihan_gives_every_form_its_own_number():
    """kRSUnicode counts the strokes besides the radical; the form itself has none."""
    entries = read_unihan().entries
    numbers = {r.number: entries[ord(r.form)].radical for r in RADICALS if ord(r.form) in entries}
    assert len(numbers) > 200
    assert all(number == given for number, given in numbers.items())
