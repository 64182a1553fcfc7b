"""Captions: a glyph is paired with its whole definition, with single senses of it, and with mixtures of senses.

With whole definitions alone, one-word prompts would be unknown: "gold" is never a whole definition. All captions of all
glyphs are listed once, so that each is encoded once; a training step then only draws caption numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

MIXTURES = 2  # shuffled or thinned versions of a definition, for each glyph with at least two senses


@dataclass(frozen=True)
class Captions:
    """All captions of a data set. `texts[0]` is the empty caption.

    `choices[kind]` holds caption numbers, glyph after glyph; those of glyph i are
    choices[kind][starts[kind][i] : starts[kind][i + 1]]. Kinds: 0 whole definition, 1 single sense, 2 mixture, and
    then those that `build_captions` was given. `owners`: whose captions each glyph has (N,), where that is not its
    own number, since several fonts draw one character.
    """

    texts: list[str]
    choices: list[np.ndarray]
    starts: list[np.ndarray]
    owners: np.ndarray | None = None

    def shared(self, owners: np.ndarray) -> "Captions":
        """The same captions for N glyphs, several of one meaning: `owners` says whose captions each has (N,)."""
        return replace(self, owners=owners)

    def draw(self, glyphs: np.ndarray, weights: Sequence[float], drop: float, rng: np.random.Generator) -> np.ndarray:
        """A caption number for each glyph number (n,) -> (n,), by the rules of `pick`."""
        return self.pick(glyphs, weights, drop, rng.random((3, len(glyphs))))

    def pick(self, glyphs: np.ndarray, weights: Sequence[float], drop: float, chances: np.ndarray) -> np.ndarray:
        """A caption number for each glyph number (n,) -> (n,); kinds by `weights`, 0 (empty) with chance `drop`.

        Three numbers in [0, 1) decide for each, `chances` (3, n). Kinds beyond the weights given are not drawn.
        """
        kind_chance, position, drop_chance = chances
        if self.owners is not None:
            glyphs = self.owners[glyphs]
        edges = np.cumsum(weights) / np.sum(weights)
        kinds = np.searchsorted(edges, kind_chance, side="right").clip(max=len(edges) - 1)
        drawn = np.zeros(len(glyphs), dtype=np.int64)
        for kind, (choices, starts) in enumerate(zip(self.choices, self.starts, strict=True)):
            here = kinds == kind
            first, last = starts[glyphs[here]], starts[glyphs[here] + 1]
            drawn[here] = choices[(first + position[here] * (last - first)).astype(np.int64)]
        return np.where(drop_chance < drop, 0, drawn)


def build_captions(
    definitions: Sequence[str],
    senses: Sequence[Sequence[str]],
    further: Sequence[Sequence[Sequence[str]]] = (),
    seed: int = 0,
) -> Captions:
    """List every caption of every glyph. A glyph with a single sense has its definition as its only mixture.

    `further`: further kinds, each with a list of texts for every glyph; a glyph without any keeps its definition. Their
    texts are numbered after all others, kind after kind, so that a further kind leaves the numbers before it alone.
    A glyph without a definition has the texts of the first further kind in its place, or the empty caption.
    """
    rng = np.random.default_rng(seed)
    number: dict[str, int] = {"": 0}

    def note(text: str) -> int:
        return number.setdefault(text, len(number))

    kinds: list[list[list[int]]] = [[] for _ in range(3 + len(further))]
    for definition, parts in zip(definitions, senses, strict=True):
        whole = note(definition)
        kinds[0].append([whole])
        kinds[1].append([note(sense) for sense in parts] or [whole])
        mixtures = [note(mixture(parts, rng)) for _ in range(MIXTURES)] if len(parts) > 1 else [whole]
        kinds[2].append(mixtures)
    for kind, told in enumerate(further, start=3):
        for texts, (whole,) in zip(told, kinds[0], strict=True):
            kinds[kind].append([note(text) for text in texts] or [whole])
    for glyph in (i for i, definition in enumerate(definitions) if further and not definition):
        for listed in kinds:
            listed[glyph] = kinds[3][glyph] if listed[glyph] == [0] else listed[glyph]
    choices = [np.array([c for glyph in kind for c in glyph], dtype=np.int64) for kind in kinds]
    starts = [np.cumsum([0] + [len(glyph) for glyph in kind]) for kind in kinds]
    return Captions(list(number), choices, starts)


def mixture(senses: Sequence[str], rng: np.random.Generator) -> str:
    """Between one and all of the senses, in a random order."""
    kept = rng.permutation(len(senses))[: rng.integers(1, len(senses) + 1)]
    return ", ".join(senses[i] for i in kept)
