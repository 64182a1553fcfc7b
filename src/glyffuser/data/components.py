"""What characters are made of, from ideographic description sequences (IDS).

An IDS writes a character as an operator and its parts: U+6D77 (sea) is ⿰氵每, "water at the left, every at the right".
The table ids.tsv.xz is BabelStone's, which is not copyrighted; tools/ids_table.py derived it (NOTICE.md).
"""

import lzma
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

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
VARIATION = "〾"  # stands before what is only similar


class Part(NamedTuple):
    """A direct part of a character: a character itself, or "" where it has no code point; and where it stands."""

    char: str
    place: str


@cache
def table() -> dict[str, str]:
    """Character -> its IDS; characters that do not decompose stand for themselves."""
    text = lzma.decompress(files("glyffuser.data").joinpath("ids.tsv.xz").read_bytes()).decode()
    return dict(line.split("\t") for line in text.splitlines())


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
    """For each character, descriptions of its direct parts: "water at the left, every at the right", and the same with
    a sense of the character at its end. None where a part has no English name.

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
    """A sense as a name; "radical number 9" is that radical's."""
    number = re.search(r"radical (?:number )?(\d+)", sense, re.IGNORECASE)
    return RADICALS[int(number[1]) - 1].name if number else sense
