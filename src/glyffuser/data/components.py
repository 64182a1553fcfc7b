"""What characters are made of, from ideographic description sequences (IDS).

An IDS writes a character as an operator and its parts: U+6D77 (sea) is ⿰氵每, "water at the left, every at the right".
The table ids.tsv.xz is BabelStone's, which is not copyrighted; tools/ids_table.py derived it (NOTICE.md).
"""

import lzma
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from glyffuser.base.errors import UserError
from glyffuser.data.radicals import RADICALS

# Operator -> where its operands stand (The Unicode Standard 17, section 18.2).
PLACES: dict[str, tuple[str, ...]] = {
    "⿰": ("at the left", "at the right"),
    "⿱": ("above", "below"),
    "⿲": ("at the left", "in the middle", "at the right"),
    "⿳": ("above", "in the middle", "below"),
    "⿴": ("around", "inside"),
    "⿵": ("around", "inside"),
    "⿶": ("around", "inside"),
    "⿷": ("around", "inside"),
    "⿼": ("around", "inside"),
    "⿸": ("above", "below"),
    "⿹": ("above", "below"),
    "⿺": ("below", "above"),
    "⿽": ("below", "above"),
    "⿻": ("across", "across"),
    "⿾": ("mirrored",),
    "⿿": ("turned",),
    "㇯": ("whole", "taken away"),
}
# The places with a one-word name, which the command line takes.
SIDES = {
    "left": "at the left",
    "right": "at the right",
    "top": "above",
    "bottom": "below",
    "around": "around",
    "inside": "inside",
    "middle": "in the middle",
}
MOST_PARTS = 3  # direct parts of a character
BASIC = range(0x4E00, 0xA000)  # the block of characters in use, which fonts cover
VARIATION = "〾"  # precedes a part that is only similar


class Part(NamedTuple):
    """A direct part of a character: a character itself, or "" where it has no code point; and where it stands."""

    char: str
    place: str

    @property
    def side(self) -> str:
        """The place in one word, one of SIDES, or "" if it has no such name."""
        return next((side for side, place in SIDES.items() if place == self.place), "")


@cache
def table() -> dict[str, str]:
    """Character -> its IDS; characters that do not decompose stand for themselves."""
    text = lzma.decompress(files("glyffuser.data").joinpath("ids.tsv.xz").read_bytes()).decode()
    return dict(line.split("\t") for line in text.splitlines())


def operator(char: str) -> str:
    """The sign that says how the direct parts of a character are put together; the character itself if it has none."""
    return table().get(char, char).replace(VARIATION, "")[0]


def parts(char: str) -> tuple[Part, ...]:
    """The direct parts of a character; none where it does not decompose, or is unknown."""
    sequence = table().get(char, char).replace(VARIATION, "")
    if sequence[0] not in PLACES:
        return ()
    found, rest = [], sequence[1:]
    for place in PLACES[sequence[0]]:
        length = _operand(rest)
        found.append(Part(rest[0] if length == 1 else "", place))
        rest = rest[length:]
    return tuple(found)


@cache
def standing() -> dict[Part, list[str]]:
    """Each part in its place -> the characters of the basic block that have it there, by code point.

    Where several operators share a place ("above" in ⿱ and in ⿸), only the characters of the commonest count: the
    others are drawn differently.
    """
    found: dict[Part, dict[str, list[str]]] = {}
    for char in map(chr, BASIC):
        for part in set(parts(char)):
            if part.char:
                found.setdefault(part, {}).setdefault(operator(char), []).append(char)
    return {part: max(by_operator.values(), key=len) for part, by_operator in found.items()}


@cache
def places(char: str) -> tuple[Part, ...]:
    """The places with a one-word name in which a character is a part of others, the commonest first."""
    found = [Part(char, place) for place in SIDES.values() if Part(char, place) in standing()]
    return tuple(sorted(found, key=lambda part: -len(standing()[part])))


def named(text: str) -> Part:
    """The part that a user names as "馬:right"; without a place, as in "氵", it stands where it does most often.

    UserError for what is not a part of any character, or never in that place.
    """
    char, colon, side = text.partition(":")
    if colon and side not in SIDES:
        raise UserError(f"unknown place {side!r} of {char}; choose one of {', '.join(SIDES)}")
    known = places(char) if len(char) == 1 else ()
    if not known:
        raise UserError(f"{text!r} is not a part of any character; give one that is, such as 氵, 馬 or 艹")
    found = [part for part in known if side in ("", part.side)]
    if not found:
        raise UserError(f"{char} is never {SIDES[side]}; it stands {listed(known)}")
    return found[0]


def listed(parts: Sequence[Part]) -> str:
    """The places of parts, and in how many characters each has that place, for a message."""
    return ", ".join(f"{part.place} ({part.side}) in {len(standing()[part])} characters" for part in parts)


def common(chars: Sequence[str], n: int) -> str:
    """The n commonest direct parts of some characters, in the order of their code points."""
    counts = Counter(part.char for char in chars for part in parts(char) if part.char)
    return "".join(sorted(char for char, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:n]))


def numbered(found: Sequence[Part], known: str) -> np.ndarray:
    """Parts as a network takes them, int64 (MOST_PARTS, 2): the number of each among the known ones, and of its place.

    Numbers count from 1; 0 is none, or a place without a one-word name. UserError for an unknown part, or too many.
    """
    if len(found) > MOST_PARTS:
        raise UserError(f"a character has at most {MOST_PARTS} parts, not {len(found)}; leave some out")
    missing = [part.char for part in found if part.char not in known]
    if missing:
        raise UserError(f"this model does not know the part {missing[0]}; it knows {known}")
    numbers = np.zeros((MOST_PARTS, 2), dtype=np.int64)
    for row, part in enumerate(found):
        numbers[row] = known.index(part.char) + 1, [*SIDES].index(part.side) + 1 if part.side else 0
    return numbers


@cache
def components(char: str) -> frozenset[str]:
    """All characters that a character is made of, at any depth, without itself."""
    found: set[str] = set()
    stack = list(_characters(table().get(char, "")))
    while stack:
        part = stack.pop()
        if part not in found and part != char:
            found.add(part)
            stack += _characters(table().get(part, ""))
    return frozenset(found)


def _characters(sequence: str) -> list[str]:
    """The characters in an IDS; numbers in braces stand for shapes without a code point."""
    plain, nameless = [], False
    for sign in sequence:
        nameless = (nameless or sign == "{") and sign != "}"
        if not nameless and sign not in PLACES and sign not in (VARIATION, "}"):
            plain.append(sign)
    return plain


def _operand(sequence: str) -> int:
    """How many signs the first operand of a sequence takes up."""
    if sequence.startswith("{"):
        return sequence.index("}") + 1
    length = 1
    for _ in PLACES.get(sequence[0], ()):
        length += _operand(sequence[length:])
    return length


def compositions(chars: Sequence[str], senses: Sequence[Sequence[str]]) -> list[list[str]]:
    """For each character, descriptions of its direct parts: "water at the left, every at the right", and the same
    with the character's first sense at the end. None where a part has no English name.

    A part is named by its own first sense, or as the Kangxi radical that it is a form of.
    """
    names = {char: _name(own[0]) for char, own in zip(chars, senses, strict=True) if own}
    names |= {radical.form: radical.name for radical in RADICALS}
    texts: list[list[str]] = []
    for char, own in zip(chars, senses, strict=True):
        direct = parts(char)
        if not direct or not all(part.char in names for part in direct):
            texts.append([])
            continue
        made_of = ", ".join(f"{names[part.char]} {part.place}" for part in direct)
        texts.append([made_of, *(f"{made_of}: {sense}" for sense in own[:1])])
    return texts


def _name(sense: str) -> str:
    """A sense as a name; "radical number 9" becomes that radical's name."""
    number = re.search(r"radical (?:number )?(\d+)", sense, re.IGNORECASE)
    return RADICALS[int(number[1]) - 1].name if number else sense
