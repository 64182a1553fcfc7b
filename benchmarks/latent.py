"""What an autoencoder loses: held-out glyphs, and the same glyphs through its latents.

    python benchmarks/latent.py --autoencoder runs/autoencoder [--data data/glyphs.parquet] [--picture FILE.png]

`error` is the mean difference in grey, 0 to 1; `IoU` that of the ink, threshold one half; `flagged` the share that the
judges find implausible; `right` the share whose radical they read right; `grey` the share of pixels that are neither
ink nor paper. The picture shows glyphs above their reconstructions, and in the last row a walk between two of them.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from glyffuser.base.pictures import from_grey, sheet, to_grey
from glyffuser.config import DATA
from glyffuser.data.dataset import load_dataset
from glyffuser.judge.judges import load_judges
from glyffuser.networks.autoencoder import Autoencoder
from glyffuser.networks.build import load_companion

COLUMNS = 8


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--autoencoder", type=Path, required=True, help="what `train --preset autoencoder` wrote")
    parser.add_argument("--data", type=Path, default=DATA, help="the data set")
    parser.add_argument("--picture", type=Path, help="where to write a picture")
    arguments = parser.parse_args()
    network, judges = load_companion(arguments.autoencoder, Autoencoder), load_judges()
    data = load_dataset(arguments.data, "test")
    x = from_grey(data.images)
    latents = torch.cat([network.to_latents(part) for part in x.split(32)])
    made = np.concatenate([to_grey(network.to_images(part)) for part in latents.split(32)])
    numbers = f"{latents[0].numel()} numbers a glyph of {x[0].numel()} pixels"
    print(f"{numbers}; mean {latents.mean():.3f}, deviation {latents.std():.3f}")
    print(f"{'':12} {'error':>7} {'IoU':>7} {'flagged':>8} {'right':>7} {'grey':>7}")
    radicals = torch.from_numpy(data.radicals.astype(np.int64))
    for name, images in (("real", data.images), ("through", made)):
        judged = judges(images)
        one, other = images < 128, data.images < 128
        iou = ((one & other).sum((1, 2)) / (one | other).sum((1, 2)).clip(min=1)).mean()
        error, soft = np.abs(images.astype(int) - data.images).mean() / 255, ((images > 25) & (images < 230)).mean()
        flagged = float(judged.flagged.double().mean())
        right = float((judged.radical.argmax(dim=1) + 1 == radicals).double().mean())
        print(f"{name:12} {error:7.4f} {iou:7.4f} {flagged:8.4f} {right:7.4f} {soft:7.4f}")
    if arguments.picture is not None:
        walk = to_grey(network.between(x[0], x[1], COLUMNS))
        rows = np.concatenate([data.images[:COLUMNS], made[:COLUMNS], walk])
        Image.fromarray(sheet(rows, COLUMNS)).save(arguments.picture)


if __name__ == "__main__":
    main()
