"""How reliably `judge/novelty.py` tells what exists: real characters, redrawn, among all ideographs.

    python benchmarks/novelty.py [--count 400] [--seed 0]

One table. Redrawn: every place is moved by a smooth random displacement, at most 2 pixels in each direction, or with a
standard deviation of 2 pixels. For both: the share whose own picture is among the first 1, 2, 4 ... candidates, and the
share within 3, 3.5, 4 and 5 pixels of itself. Then the share of real characters that lie as close to another one.
"""

import argparse

import numpy as np
from PIL import Image

from glyffuser.judge.flaws import sampled
from glyffuser.judge.novelty import ALL, CANDIDATES, SIZE, Shape, distances, load_ideographs

LIMITS = (3.0, 3.5, 4.0, 5.0)
FIRST = (1, 2, 4, 8, 16, CANDIDATES)


def redrawn(ink: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Ink, bool (SIZE, SIZE), with every place moved by a coarse field of displacements (2, n, n), pixels."""
    dy, dx = (np.asarray(Image.fromarray(part).resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for part in field)
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    return sampled(ink.astype(np.float32), rows + dy, columns + dx) > 0.5


def row(name: str, shares: dict[str, float]) -> None:
    """Print one line of percentages."""
    print(f"{name:44s}" + "  ".join(f"{label} {100 * share:5.1f} %" for label, share in shares.items()), flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    table, rng = load_ideographs(), np.random.default_rng(options.seed)
    rows = rng.choice(len(table), options.count, replace=False)
    real = table.ink(rows)
    fields = {
        "redrawn, at most 2 pixels": lambda n: rng.uniform(-2, 2, (2, n, n)),
        "redrawn, 2 pixels of deviation": lambda n: rng.normal(0, 2, (2, n, n)),
    }
    for name, field in fields.items():
        drawn = np.stack([redrawn(ink, field(int(rng.integers(4, 9))).astype(np.float32)) for ink in real])
        found = table.candidates(drawn)
        alike = np.stack([(table.packed[found[i]] == table.packed[k]).all(axis=(1, 2)) for i, k in enumerate(rows)])
        row(name + ": candidates", {f"first {n}": float(alike[:, :n].any(axis=1).mean()) for n in FIRST})
        far = np.array([distances(Shape(a), Shape(b), ALL).min() for a, b in zip(drawn, real, strict=True)])
        row(name + ": itself", {f"within {limit:g}": float((far <= limit).mean()) for limit in LIMITS})
    images = np.where(real, 0, 255).astype(np.uint8)
    others = np.array([match.distance for match in table.nearest(images, skip=table.codepoints[rows].tolist())])
    row("real: another character", {f"within {limit:g}": float((others <= limit).mean()) for limit in LIMITS})


if __name__ == "__main__":
    main()
