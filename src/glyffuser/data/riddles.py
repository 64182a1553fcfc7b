"""What things of one radical are like, without their names: "it conducts electricity" is a caption of 金 (metal).

Definitions name things; a prompt may not. The lines of riddles.tsv, "radical <tab> riddle", were written for the
purpose; each riddle of a radical is a caption of any of its characters. None shares half or more of its words with a
prompt or a paraphrase of the evaluation, small words aside: `tests/data/test_riddles.py` checks this.
"""

from collections.abc import Iterable
from functools import cache
from importlib.resources import files


@cache
def table() -> dict[int, list[str]]:
    """Number of a radical -> riddles of it."""
    found: dict[int, list[str]] = {}
    for line in files("glyffuser.data").joinpath("riddles.tsv").read_text(encoding="utf-8").splitlines():
        radical, riddle = line.split("\t")
        found.setdefault(int(radical), []).append(riddle)
    return found


def riddles(radicals: Iterable[int]) -> list[list[str]]:
    """The riddles of each glyph, by its radical; an empty list where there are none."""
    known = table()
    return [known.get(int(radical), []) for radical in radicals]
