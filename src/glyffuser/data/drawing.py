"""Drawing a data set: every character with every font, one row at a time, and counting what comes of it."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from glyffuser.base.errors import UserError
from glyffuser.data.fonts import FontFace, Rasteriser
from glyffuser.data.schema import SPLITS, Row, Split, png


@dataclass
class Tally:
    """Counts what a build writes, and what it leaves out."""

    splits: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(SPLITS, 0)))
    characters: set[int] = field(default_factory=set)
    undefined: set[int] = field(default_factory=set)  # of these
    senses: set[str] = field(default_factory=set)
    skipped: Counter[str] = field(
        default_factory=lambda: Counter(dict.fromkeys(("empty definition", "no radical", "not in font", "blank"), 0))
    )

    def note(self, row: Row) -> Row:
        """Count a row, and return it."""
        self.splits[row["split"]] += 1
        self.characters.add(row["codepoint"])
        if not row["definition"]:
            self.undefined.add(row["codepoint"])
        self.senses.update(row["senses"])
        return row

    def facts(self) -> dict[str, Any]:
        """The counts. UserError if there is no row."""
        if not self.characters:
            raise UserError("no glyph is left to write; choose a font that covers characters that have a definition")
        return {
            "rows": self.splits.total(),
            "characters": len(self.characters),
            "undefined": len(self.undefined),
            "splits": dict(self.splits),
            "senses": len(self.senses),
            "skipped": dict(self.skipped),
        }


@dataclass
class Drawing:
    """What a build draws: every meaning with every font. Pair i is meaning i // F with font i % F, of F fonts."""

    meanings: list[Row]
    fonts: list[FontFace]
    size: int
    tally: Tally
    progress: Callable[[int, int], None]

    def rows(self, pairs: np.ndarray) -> Iterator[Row]:
        """Yield the rows of these pairs, counting them and the pairs that give none."""
        rasterisers = [Rasteriser(face, self.size) for face in self.fonts]
        for done, pair in enumerate(pairs.tolist()):
            if done % 256 == 0:
                self.progress(done, len(pairs))
            meaning, rasteriser = self.meanings[pair // len(rasterisers)], rasterisers[pair % len(rasterisers)]
            if meaning["codepoint"] not in rasteriser.face.covered:
                self.tally.skipped["not in font"] += 1
            elif (picture := rasteriser.render(meaning["char"])).min() == 255:
                self.tally.skipped["blank"] += 1
            else:
                image = {"bytes": png(picture), "path": f"U+{meaning['codepoint']:04X}.png"}
                drawn = {"font": rasteriser.face.name, "style": rasteriser.face.hand, "image": image}
                yield self.tally.note({**meaning, **drawn})
        self.progress(len(pairs), len(pairs))

    def __len__(self) -> int:
        return len(self.meanings) * len(self.fonts)

    def covered(self, split: Split) -> int:
        """How many pairs of a split there are for which the font has a glyph, blank or not."""
        inside = [meaning["codepoint"] for meaning in self.meanings if meaning["split"] == split]
        return sum(codepoint in face.covered for face in self.fonts for codepoint in inside)
