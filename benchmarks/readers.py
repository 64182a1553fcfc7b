"""What can be read from a text about its glyph: the linear prior against towers, which learn from further captions too.

    python benchmarks/readers.py [--data data/glyphs.parquet] [--steps 3000] [--only riddles]

For each way, on texts it was not fitted to: the share of held-out definitions, of the evaluation's prompts and of its
two lists of paraphrases whose likeliest radical is right, and the probability given to the right ones. Towers with
riddles have descriptions of parts too.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from glyffuser.config import DATA
from glyffuser.data.captions import build_captions
from glyffuser.data.components import compositions
from glyffuser.data.dataset import load_dataset
from glyffuser.data.glosses import glosses
from glyffuser.data.riddles import riddles
from glyffuser.judge.prompts import OTHER_PARAPHRASES, PARAPHRASES, PROMPTS
from glyffuser.text.cache import encode_cached
from glyffuser.text.encoder import TextEncoder
from glyffuser.text.prior import train_prior
from glyffuser.text.tower import train_tower

Read = Callable[[Tensor, Tensor], Tensor]  # token states and mask -> probabilities of radicals (B, 214)


def scores(
    read: Read, encoder: TextEncoder, texts: Sequence[str], right: Sequence[Sequence[int]]
) -> tuple[float, float]:
    """Share of texts whose likeliest radical is among the right ones, and the mean probability of those."""
    with torch.no_grad():
        chances = torch.cat([read(*encoder.encode(texts[i : i + 64])) for i in range(0, len(texts), 64)])
    hits = [int(row.argmax()) + 1 in radicals for row, radicals in zip(chances, right, strict=True)]
    mass = [float(row[[r - 1 for r in radicals]].sum()) for row, radicals in zip(chances, right, strict=True)]
    return float(np.mean(hits)), float(np.mean(mass))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="the data set")
    parser.add_argument("--only", default="", help="of the towers, those whose name holds this")
    parser.add_argument("--steps", type=int, default=3000, help="optimiser steps of a tower")
    options = parser.parse_args()
    data, held_out = load_dataset(options.data, "train"), load_dataset(options.data, "test")
    encoder = TextEncoder(words_only=True)  # as the preset `cpu` has it
    sets: dict[str, tuple[list[str], list[tuple[int, ...]]]] = {
        "held-out": (held_out.definitions, [(int(radical),) for radical in held_out.radicals]),
        "prompts": ([p.text for p in PROMPTS], [p.radicals for p in PROMPTS]),
        "paraphrases": ([p.text for p in PARAPHRASES], [p.radicals for p in PARAPHRASES]),
        "by another": ([p.text for p in OTHER_PARAPHRASES], [p.radicals for p in OTHER_PARAPHRASES]),
    }
    print(f"{'right / probability, %':28}" + "".join(f"{name:>16}" for name in sets))

    def row(name: str, read: Read) -> None:
        found = [scores(read, encoder, texts, right) for texts, right in sets.values()]
        print(f"{name:28}" + "".join(f"{100 * hit:9.1f} /{100 * mass:5.1f}" for hit, mass in found), flush=True)

    mark, cache = encoder.fingerprint(), options.data.parent / "text"
    composed, told = [compositions(data.chars, data.senses)], [glosses(data.senses)]
    asked = riddles(data.radicals)
    for name, further, weights in (
        ("definitions", [], (0.35, 0.4, 0.25)),
        ("and descriptions of parts", composed, (0.3, 0.5, 0.2, 0.15)),
        ("and glosses", told, (0.3, 0.5, 0.2, 0.3)),
        ("and both", [*composed, *told], (0.3, 0.5, 0.2, 0.15, 0.3)),
        ("and riddles", [*composed, asked], (0.3, 0.5, 0.2, 0.15, 0.1)),
        ("and more riddles", [*composed, asked], (0.3, 0.5, 0.2, 0.15, 0.3)),
    ):
        if options.only not in name:
            continue
        captions = build_captions(data.definitions, data.senses, further)
        texts = encode_cached(encoder, captions.texts, cache)
        if not further:
            prior = train_prior(captions, texts, data.radicals, mark)
            row("linear prior, definitions", lambda states, mask, prior=prior: prior(states, mask).exp())  # type: ignore[misc]
        tower = train_tower(
            captions, texts, data.chars, data.radicals, data.strokes, 256, mark, weights, steps=options.steps
        )
        row(f"tower, {name}", lambda s, m, tower=tower: tower.read(tower(s, m)).radical.softmax(1))  # type: ignore[misc]


if __name__ == "__main__":
    main()
