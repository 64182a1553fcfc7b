"""The 214 radicals of the Kangxi dictionary (1716), by which characters are ordered and, here, meanings told apart.

Numbers count from 1; where a number may be missing, 0 stands for none. Unicode has a block of signs for them, which
look like the characters that they come from but are distinct: each one's compatibility decomposition is its character.
"""

import unicodedata
from dataclasses import dataclass

BLOCK = range(0x2F00, 0x2FD6)  # Unicode's Kangxi Radicals, in the order of the dictionary
PREFIX = "KANGXI RADICAL "


@dataclass(frozen=True)
class Radical:
    """One radical: its number, 1 ... 214, its own code point, the character of its form, and its English name."""

    number: int
    codepoint: int
    form: str
    name: str

    @property
    def sign(self) -> str:
        """The radical as Unicode's sign for it, which is not a character: fonts may draw it differently."""
        return chr(self.codepoint)


RADICALS = tuple(  # number n is RADICALS[n - 1]
    Radical(
        number,
        codepoint,
        unicodedata.normalize("NFKC", chr(codepoint)),
        unicodedata.name(chr(codepoint)).removeprefix(PREFIX).lower(),
    )
    for number, codepoint in enumerate(BLOCK, start=1)
)
