"""Whether the same seed in two styles is the same invention in two hands, and whether each style is what was asked for.

    python benchmarks/hands.py --model runs/styles [--data data/styles.parquet] [--prompts 40] [--picture FILE.png]

Two glyphs per prompt, each from its own noise, are drawn in every style. The likeness of two glyphs is the cosine of
the recogniser's features, less their mean; it learnt characters in ten fonts, so these speak more of structure than of
style. `same` is the mean over pairs of styles of one invention, `other` that over pairs of styles of two inventions for
one prompt; `radical` the share of pairs of one invention in which the recogniser sees the same radical; `style` the
share of glyphs whose style is recognised by a linear reader, first fitted to real glyphs; `flagged` the share of
implausible ones. In the row of real glyphs, held-out characters stand for inventions, and `other` compares those of one
radical. The picture has one row per style and one column per invention.
"""

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from glyffuser.base.pictures import sheet
from glyffuser.data.dataset import GlyphData, load_dataset
from glyffuser.generate.draw import draw
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.request import Request
from glyffuser.judge.judges import Judges, load_judges
from glyffuser.judge.prompts import PROMPTS

EACH = 2  # inventions for a prompt
LEARNT = 2000  # characters that the reader of styles learns from
SHOWN = 8  # prompts in the picture


class Reader:
    """A linear reader of the styles of pictures, on what each of 16 x 16 places shows."""

    def __init__(self, data: GlyphData, styles: list[str]):
        x, y = self.features(data.images), torch.tensor([styles.index(style) for style in data.styles])
        self.mean = x.mean(dim=0)
        with_one = torch.cat([x - self.mean, torch.ones(len(x), 1)], dim=1)
        ridge = 1e-2 * len(x) * torch.eye(with_one.shape[1])
        self.weight = torch.linalg.solve(with_one.T @ with_one + ridge, with_one.T @ F.one_hot(y, len(styles)).float())

    def features(self, images: np.ndarray) -> Tensor:
        """Features of pictures (N, H, H): how dark each place is and how much edge it has across and down, (N, 768)."""
        x = 1 - torch.from_numpy(images).float()[:, None] / 255
        across, down = (F.pad(d.abs(), pad) for d, pad in ((x.diff(dim=3), (0, 1)), (x.diff(dim=2), (0, 0, 0, 1))))
        return F.adaptive_avg_pool2d(torch.cat([x, across, down], dim=1), 16).flatten(1)

    def __call__(self, images: np.ndarray) -> Tensor:
        """The index of each picture's style (N,)."""
        x = self.features(images) - self.mean
        return (torch.cat([x, torch.ones(len(x), 1)], dim=1) @ self.weight).argmax(dim=1)


def row(name: str, glyphs: np.ndarray, others: np.ndarray, judges: Judges, reader: Reader) -> str:
    """A line of the table for glyphs (styles, N, H, H); for each invention, `others` (N,) names another one."""
    styles, count = glyphs.shape[:2]
    judged = judges(glyphs.reshape(-1, *glyphs.shape[2:]))
    features = judged.features.unflatten(0, (styles, count))
    features = F.normalize(features - features.mean(dim=(0, 1)), dim=2)
    radicals = judged.radical.argmax(dim=1).unflatten(0, (styles, count))
    pairs = list(combinations(range(styles), 2))
    same = torch.stack([(features[a] * features[b]).sum(dim=1) for a, b in pairs]).mean()
    other = torch.stack([(features[a] * features[b][others]).sum(dim=1) for a, b in pairs]).mean()
    agree = torch.stack([(radicals[a] == radicals[b]).double() for a, b in pairs]).mean()
    told = reader(glyphs.reshape(-1, *glyphs.shape[2:])) == torch.arange(styles).repeat_interleave(count)
    shares = (agree, told.double().mean(), judged.flagged.double().mean())
    return f"{name:12s} {same:7.3f} {other:7.3f}" + "".join(f" {100 * float(share):10.1f}" for share in shares)


def real(data: GlyphData, styles: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Characters that exist in every style (styles, N, H, H), and for each the index of another of its radical (N,)."""
    at = {(char, style): i for i, (char, style) in enumerate(zip(data.chars, data.styles, strict=True))}
    chars = [char for char in dict.fromkeys(data.chars) if all((char, style) in at for style in styles)]
    radicals = np.array([data.radicals[at[char, styles[0]]] for char in chars])
    several = [i for i in range(len(chars)) if (radicals == radicals[i]).sum() > 1]
    chars, radicals = [chars[i] for i in several], radicals[several]
    others = [next(int(j) for j in np.flatnonzero(radicals == r) if j != i) for i, r in enumerate(radicals)]
    return np.stack([data.images[[at[char, style] for char in chars]] for style in styles]), np.array(others)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="what `train --preset styles` wrote")
    parser.add_argument("--data", type=Path, default=Path("data/styles.parquet"))
    parser.add_argument("--prompts", type=int, default=40, help="of the 80 of the evaluation")
    parser.add_argument("--picture", type=Path, help="where to write a picture")
    options = parser.parse_args()
    pipe, judges = load_pipeline(options.model), load_judges()
    styles = pipe.styles
    if not styles:
        parser.error(f"{options.model} knows no styles")
    training, held_out = load_dataset(options.data, "train"), load_dataset(options.data, "test")
    some = set(np.random.default_rng(0).permutation(sorted(set(training.chars)))[:LEARNT].tolist())
    reader = Reader(training.select(np.flatnonzero([char in some for char in training.chars])), styles)
    texts = [prompt.text for prompt in PROMPTS[: options.prompts] for _ in range(EACH)]
    drawn = np.stack([draw(pipe, texts, Request(style=style)) for style in styles])
    others = np.arange(len(texts)).reshape(-1, EACH)[:, ::-1].reshape(-1)
    print(f"{len(texts)} inventions in {len(styles)} styles: {', '.join(styles)}")
    print(f"{'':12s} {'same':>7s} {'other':>7s} {'radical %':>10s} {'style %':>10s} {'flagged %':>10s}")
    print(row("drawn", drawn, others, judges, reader), flush=True)
    print(row("real", *real(held_out, styles), judges, reader))
    if options.picture:
        shown = drawn[:, : EACH * SHOWN : EACH]
        picture = sheet(shown.reshape(-1, *shown.shape[2:]), shown.shape[1])
        Image.fromarray(picture).save(options.picture)


if __name__ == "__main__":
    main()
