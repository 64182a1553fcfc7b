"""What a model misses of characters it never saw, by noise level: with their definitions, and with no text.

    python benchmarks/unseen.py MODEL [MODEL ...] [--glyphs 300] [--levels 0.2 0.5 1 2 5 20]
                                [--seen] [--style STYLE] [--data data/glyphs.parquet]

The characters of the test split are noised, with the same noise for every model, and each model's guess of the clean
glyph is compared with it: the mean squared error, in thousandths of the difference between paper and ink, squared,
with its standard error over characters. No sampler, guidance or judge has a part in it, and since all models see the
same noised glyphs, far smaller differences show than among drawn ones. For every model after the first, `change` is
how much less (-) or more (+) it misses than the first, in per cent, with its standard error. `--seen` compares guesses
at characters of the training split instead: what those miss less is all that more such pictures could still bring.
"""

import argparse
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


def missed(pipe: GlyffuserPipeline, data: GlyphData, levels: list[float], style: str | None) -> Tensor:
    """Squared errors (2, levels, N) of the guesses at N glyphs: first with their definitions, then with no text."""
    D, found = pipe.unguided(), torch.empty(2, len(levels), len(data))
    for first in range(0, len(data), BATCH):
        rows = slice(first, min(first + BATCH, len(data)))
        x0 = from_grey(data.images[rows])
        conds = [pipe.condition(texts, style=style) for texts in (data.definitions[rows], [""] * len(x0))]
        for k, level in enumerate(levels):
            own = [seeded(round(1000 * level), first + i) for i in range(len(x0))]  # for each glyph, whatever the batch
            eps = torch.stack([torch.randn(x0.shape[1:], generator=generator) for generator in own])
            for j, cond in enumerate(conds):
                guess = D(x0 + level * eps, torch.tensor(level), cond)
                found[j, k, rows] = ((guess - x0) / 2).square().flatten(1).mean(dim=1)
    return found


def mean(values: Tensor, sign: str = "") -> str:
    """The mean of values (N,), with its standard error."""
    return f"{float(values.mean()):{sign}.2f} ± {float(values.std()) / len(values) ** 0.5:.2f}"


def change(one: Tensor, other: Tensor) -> str:
    """By how many per cent the mean of `other` (N,) differs from that of `one` (N,), which it is paired with."""
    return mean(100 * (other - one) / one.mean(), "+")


def main() -> None:
    """Print one table, a pair of rows for each model and noise level."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="model or run folders, or 'bundled'")
    parser.add_argument("--glyphs", type=int, default=300)
    parser.add_argument("--levels", type=float, nargs="+", default=[0.2, 0.5, 1.0, 2.0, 5.0, 20.0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seen", action="store_true", help="characters of the training split")
    parser.add_argument("--style", help="told to models that know styles")
    options = parser.parse_args()
    data = load_dataset(options.data, "train" if options.seen else "test")
    spread = np.linspace(0, len(data) - 1, min(options.glyphs, len(data))).astype(int)  # over all code points
    data = data.select(spread)
    columns = ("model", "noise", "text", "change", "none", "change")
    kind = "seen" if options.seen else "unseen"
    table = Table(f"Squared error, thousandths, of {len(data)} {kind} glyphs", columns)
    first: Tensor | None = None
    for name in options.models:
        pipe = load_pipeline(named_model(name))
        found = missed(pipe, data, options.levels, options.style if pipe.styles else None)
        first = found if first is None else first
        for k, level in enumerate(options.levels):
            pair = [(mean(1000 * found[j, k]), change(first[j, k], found[j, k])) for j in (0, 1)]
            table.add(name, level, *pair[0], *pair[1])
    print("\n".join(table.lines()))


if __name__ == "__main__":
    main()
