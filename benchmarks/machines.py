"""How far glyphs of the same seed differ between two machines: this one, and the one that drew the README's pictures.

    glyffuser sample "gold" "a kind of fish" "illness, disease" "bamboo basket" -n 9 --out out
    python benchmarks/machines.py out docs/images

One row for each picture that both folders hold at the same size: the share of pixels that differ, the share that differ
by more than a quarter of the way from ink to paper, and the mean difference in grey, 0 to 255. Any two folders can be
compared.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image


def read(path: Path) -> np.ndarray:
    """A picture in grey (H, W)."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L")).astype(int)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("one", type=Path, help="a folder of pictures")
    parser.add_argument("other", type=Path, help="another one")
    options = parser.parse_args()
    names = sorted(
        {path.name for path in options.one.glob("*.png")} & {path.name for path in options.other.glob("*.png")}
    )
    print(f"{'picture':32s} {'differ %':>9s} {'by > 63 %':>10s} {'mean':>6s}")
    for name in names:
        one, other = read(options.one / name), read(options.other / name)
        if one.shape == other.shape:
            apart = np.abs(one - other)
            print(f"{name:32s} {100 * (apart > 0).mean():9.2f} {100 * (apart > 63).mean():10.2f} {apart.mean():6.2f}")


if __name__ == "__main__":
    main()
