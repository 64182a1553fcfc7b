"""How grey becomes paper and ink: contrast against levels, on one glyph for each prompt of the evaluation.

    python benchmarks/levels.py [--model FOLDER] [--data data/glyphs.parquet]

One table: grey pixels per pixel of ink, and shares of glyphs with dirt at the border and with specks on the paper
(`crispness` in evaluate/paper.py), for the same glyphs done each way, and for the real ones of the test split.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from glyffuser.base.noise import seeded
from glyffuser.base.pictures import levelled
from glyffuser.config import BUNDLED, DATA
from glyffuser.data.dataset import load_dataset
from glyffuser.evaluate.paper import crispness
from glyffuser.generate.draw import BATCH
from glyffuser.generate.load import load_pipeline
from glyffuser.judge.prompts import PROMPTS


def row(name: str, images: np.ndarray) -> None:
    """Measure glyphs and print a row."""
    found = crispness(images)
    print(f"{name:16s} {found['grey']:6.3f} {100 * found['dirty']:7.1f} {100 * found['specks']:8.1f}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUNDLED)
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    pipe, texts = load_pipeline(options.model), [prompt.text for prompt in PROMPTS]
    parts = []
    for first in range(0, len(texts), BATCH):
        part = texts[first : first + BATCH]
        noise = [seeded(0, first + k) for k in range(len(part))]
        *_, last = pipe.stream(part, generator=noise)
        parts.append(last.x.float())
    images = torch.cat(parts)[:, 0]  # (80, H, W) in [-1, 1], as the network leaves them

    def bytes_of(grey: torch.Tensor) -> np.ndarray:
        return (grey * 255).round().byte().numpy()

    print(f"{'way':16s} {'grey':>6s} {'dirty %':>7s} {'specks %':>8s}")
    row("real", load_dataset(options.data, "test").images)
    for contrast in (1.0, 1.1, 1.2, 1.3):
        row(f"contrast {contrast:g}", bytes_of((contrast * images / 2 + 0.5).clamp(0, 1)))
    for margin in (0.06, 0.08, 0.1, 0.12):
        row(f"levels {margin:g}", bytes_of(levelled(images, margin)))


if __name__ == "__main__":
    main()
