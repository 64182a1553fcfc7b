"""What a model misses of characters it never saw, by noise level: with their definitions, and with no text.

    python benchmarks/unseen.py MODEL [MODEL ...] [--glyphs 300] [--levels 0.2 0.5 1 2 5 20]
                                [--seen] [--flawed] [--style STYLE] [--data data/glyphs.parquet]

The characters of the test split are noised, with the same noise for every model, and each model's guess of the clean
glyph is compared with it: the mean squared error, in thousandths of the difference between paper and ink, squared,
with its standard error over characters. No sampler, guidance or judge has a part in it, and since all models see the
same noised glyphs, far smaller differences show than among drawn ones. For every model after the first, `change` is
how much less (-) or more (+) it misses than the first, in per cent, with its standard error. `--seen` compares guesses
at characters of the training split instead: what those miss less is all that more such pictures could still bring.

`--flawed` asks what guesses mend, as a sampler needs them to: each character is given a flaw (judge/flaws.py, the kinds
in turn) before it is noised, and the table shows how much of it the guess keeps, in per cent: 100 = all, 0 = it is as
if the flaw had never been; `change` is then a difference of two such numbers, in points.
"""

import argparse
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from glyffuser.base.noise import seeded
from glyffuser.base.pictures import from_grey
from glyffuser.bench.table import Table
from glyffuser.config import DATA, named_model
from glyffuser.data.dataset import GlyphData, load_dataset
from glyffuser.generate.draw import BATCH
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.judge.flaws import FLAWS, flawed

Score = Callable[[Tensor, Tensor, Tensor], Tensor]
SEED = 0


def guessed(
    pipe: GlyffuserPipeline, shown: np.ndarray, data: GlyphData, levels: list[float], style: str | None, score: Score
) -> Tensor:
    """Scores (2, levels, N) of the guesses at pictures (N, H, W): with the definitions of `data`, then with no text."""
    D, found = pipe.unguided(), torch.empty(2, len(levels), len(data))
    for first in range(0, len(data), BATCH):
        rows = slice(first, min(first + BATCH, len(data)))
        x0, seen = from_grey(data.images[rows]), from_grey(shown[rows])
        conds = [pipe.condition(texts, style=style) for texts in (data.definitions[rows], [""] * len(x0))]
        for k, level in enumerate(levels):
            own = [seeded(round(1000 * level), first + i) for i in range(len(x0))]  # for each glyph, whatever the batch
            eps = torch.stack([torch.randn(x0.shape[1:], generator=generator) for generator in own])
            for j, cond in enumerate(conds):
                guess = D(seen + level * eps, torch.tensor(level), cond)
                found[j, k, rows] = score(guess.flatten(1), x0.flatten(1), seen.flatten(1))
    return found


def missed(guess: Tensor, x0: Tensor, seen: Tensor) -> Tensor:
    """Squared error of guesses (B, D), in thousandths of the difference between paper and ink, squared: (B,)."""
    return 1000 * ((guess - x0) / 2).square().mean(dim=1)


def kept(guess: Tensor, x0: Tensor, seen: Tensor) -> Tensor:
    """How much of the flaws that tell `seen` from x0 (B, D) the guesses still have, in per cent: (B,)."""
    flaw = seen - x0
    return 100 * ((guess - x0) * flaw).sum(dim=1) / flaw.square().sum(dim=1)


def with_flaws(images: np.ndarray) -> np.ndarray:
    """Grey pictures (N, H, W) with a flaw each, of all kinds in turn; where one takes another glyph, it is the next."""
    ink = 1 - images.astype(np.float32) / 255
    pictures = []
    for i, kind in zip(range(len(ink)), cycle(FLAWS)):
        pictures.append(flawed(kind, ink[i], ink[(i + 1) % len(ink)], np.random.default_rng((SEED, i)))[0])
    return (255 * (1 - np.stack(pictures))).round().astype(np.uint8)


def mean(values: Tensor, sign: str = "") -> str:
    """The mean of values (N,), with its standard error."""
    return f"{float(values.mean()):{sign}.2f} ± {float(values.std()) / len(values) ** 0.5:.2f}"


def change(one: Tensor, other: Tensor, relative: bool) -> str:
    """By how much the mean of `other` (N,) differs from that of `one` (N,), which it is paired with; in per cent of it
    if `relative`.
    """
    return mean((other - one) / (one.mean() / 100 if relative else 1), "+")


def main() -> None:
    """Print one table, a pair of rows for each model and noise level."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="model or run folders, or 'bundled'")
    parser.add_argument("--glyphs", type=int, default=300)
    parser.add_argument("--levels", type=float, nargs="+", default=[0.2, 0.5, 1.0, 2.0, 5.0, 20.0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seen", action="store_true", help="characters of the training split")
    parser.add_argument("--flawed", action="store_true", help="characters with a flaw: what the guesses keep of it")
    parser.add_argument("--style", help="told to models that know styles")
    options = parser.parse_args()
    data = load_dataset(options.data, "train" if options.seen else "test")
    spread = np.linspace(0, len(data) - 1, min(options.glyphs, len(data))).astype(int)  # over all code points
    data = data.select(spread)
    shown, score = (with_flaws(data.images), kept) if options.flawed else (data.images, missed)
    columns = ("model", "noise", "text", "change", "none", "change")
    what = "Share of a flaw that is kept, %," if options.flawed else "Squared error, thousandths,"
    table = Table(f"{what} of {len(data)} {'seen' if options.seen else 'unseen'} glyphs", columns)
    first: Tensor | None = None
    for name in options.models:
        pipe = load_pipeline(named_model(name))
        found = guessed(pipe, shown, data, options.levels, options.style if pipe.styles else None, score)
        first = found if first is None else first
        for k, level in enumerate(options.levels):
            pair = [(mean(found[j, k]), change(first[j, k], found[j, k], not options.flawed)) for j in (0, 1)]
            table.add(name, level, *pair[0], *pair[1])
    print("\n".join(table.lines()))


if __name__ == "__main__":
    main()
