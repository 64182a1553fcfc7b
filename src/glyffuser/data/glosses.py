"""What the words of a definition mean, in other words: glosses from WordNet.

"A large natural stream of water" is a caption of 河 (river), though no definition says so. A model that has learnt
from such captions reads more prompts than those that name a thing. The table glosses.tsv.xz is derived from WordNet 3.1
(Fellbaum 1998, WordNet: an electronic lexical database) by tools/gloss_table.py, and stays under its licence
(NOTICE.md).
"""

import lzma
import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files

ARTICLE = "(?:(?:an?|the) +)?"


def headword(sense: str) -> str:
    """The word that a sense of a definition is about, as the table has it: "a kind of fish" -> "fish"; verbs keep their
    "to", and anything in brackets is left out.
    """
    word = re.sub(r"\([^)]*\)", "", sense).lower().strip(" .!?")
    return re.sub(rf"^{ARTICLE}(?:(?:kind|type|sort|species|variety) of +)?{ARTICLE}", "", word)


@cache
def table() -> dict[str, list[str]]:
    """Word -> glosses of its commonest meanings, the commonest first."""
    text = lzma.decompress(files("glyffuser.data").joinpath("glosses.tsv.xz").read_bytes()).decode()
    return {word: glosses for word, *glosses in (line.split("\t") for line in text.splitlines())}


def glosses(senses: Iterable[Sequence[str]]) -> list[list[str]]:
    """For the senses of every glyph, the glosses of their words, none twice; an empty list if no word is known."""
    known = table()
    return [list(dict.fromkeys(gloss for sense in of for gloss in known.get(headword(sense), []))) for of in senses]
