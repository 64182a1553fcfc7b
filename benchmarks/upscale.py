"""How well small glyphs become large ones: diffusion, a bicubic curve, and tracing, against real large renderings.

    glyffuser dataset build --size 512 --out data/glyphs-512.parquet
    python benchmarks/upscale.py [--upscaler FOLDER] [--data data/glyphs-512.parquet] [--glyphs 48]

Real characters of the test split are shrunk, each pixel a mean, and enlarged again. Stroke accuracy is the IoU of the
ink, threshold one half, with the real rendering; `edge` is the same within four large pixels of its edges, the only
place where an enlargement can err; `error` the mean difference in grey, 0 to 1; `grey` the share of pixels that are
neither ink nor paper, a measure of blur (the last row has that of the real ones); `right` the share of characters whose
radical the bundled recogniser reads right. Seconds are for 16 glyphs. `--noise` and `--steps` vary how upscalers draw.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from fontTools.pens.freetypePen import FreeTypePen
from PIL import Image

from glyffuser.base.pictures import from_grey, grey, sheet
from glyffuser.config import UPSCALER
from glyffuser.data.pictures import read_pictures
from glyffuser.export.outline import trace
from glyffuser.generate.cascade import NOISE, STEPS, enlarge, load_upscalers
from glyffuser.judge.judges import load_judges
from glyffuser.networks.upscaler import enlarged
from glyffuser.train.crops import smaller

BAND = 4  # pixels to either side of an edge


def traced(small: np.ndarray, size: int) -> np.ndarray:
    """Glyphs uint8 (N, H, H) as outlines, which FreeType renders at `size` pixels: uint8 (N, size, size)."""
    done = []
    for picture in small:
        outline, pen = trace(picture), FreeTypePen(None)
        outline.draw(pen)
        scale = size / outline.side
        ink = pen.array(width=size, height=size, transform=(scale, 0, 0, -scale, 0, size))
        done.append(((1 - ink) * 255).round().astype(np.uint8))
    return np.stack(done)


def edges(real: np.ndarray) -> np.ndarray:
    """Which pixels (N, H, W) lie within BAND of an edge of the ink."""
    ink = torch.from_numpy(real < 128)[:, None].float()
    near, far = (F.max_pool2d(x, 2 * BAND + 1, 1, BAND) for x in (ink, 1 - ink))
    return (near * far)[:, 0].bool().numpy()


def overlap(one: np.ndarray, other: np.ndarray, where: np.ndarray) -> float:
    """Mean IoU of the ink of pictures (N, H, W), among the pixels in `where`."""
    a, b = (one < 128) & where, (other < 128) & where
    return float(np.mean((a & b).sum((1, 2)) / np.maximum((a | b).sum((1, 2)), 1)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upscaler", type=Path, default=UPSCALER, help="default: the bundled one")
    parser.add_argument("--data", type=Path, default=Path("data/glyphs-512.parquet"), help="renderings at its size")
    parser.add_argument("--glyphs", type=int, default=48, help="held-out characters")
    parser.add_argument("--noise", type=float, nargs="*", default=[NOISE], help="shares of noise in the small pictures")
    parser.add_argument("--steps", type=int, nargs="*", default=[STEPS], help="numbers of steps")
    parser.add_argument("--picture", type=Path, help="where to write small, bicubic, traced, drawn and real ones")
    arguments = parser.parse_args()
    (upscaler,) = load_upscalers([arguments.upscaler])
    pictures = read_pictures(arguments.data, "test")
    chosen = np.random.default_rng(0).permutation(len(pictures))[: arguments.glyphs]
    real = np.stack([pictures[row] for row in chosen])
    low = smaller(from_grey(real), upscaler.scale)
    small, size, judges = grey(low), real.shape[1], load_judges()
    near, whole = edges(real), np.ones(real.shape, bool)
    radicals = torch.from_numpy(pictures.radicals[chosen].astype(np.int64))
    print(f"{'':28} {'accuracy':>8} {'edge':>7} {'error':>7} {'grey':>7} {'right':>7} {'s / 16':>7}")

    def row(name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        start = time.perf_counter()
        made = make()
        seconds = (time.perf_counter() - start) / len(real) * 16
        error, soft = np.abs(made.astype(int) - real).mean() / 255, ((made > 25) & (made < 230)).mean()
        right = (judges.recogniser.read(made).radical.argmax(dim=1) + 1 == radicals).double().mean()
        shares = f"{overlap(made, real, whole):8.4f} {overlap(made, real, near):7.4f} {error:7.4f}"
        print(f"{name:28} {shares} {soft:7.4f} {float(right):7.3f} {seconds:7.2f}", flush=True)
        return made

    columns = [small.repeat(upscaler.scale, axis=1).repeat(upscaler.scale, axis=2)]
    columns.append(row("bicubic", lambda: grey(enlarged(low, upscaler.scale))))
    columns.append(row("traced", lambda: traced(small, size)))
    for steps in arguments.steps:
        for noise in arguments.noise:
            name = f"diffusion, {steps} steps, noise {noise:g}"
            columns.append(row(name, lambda s=steps, n=noise: enlarge([upscaler], small, steps=s, noise=n)))  # type: ignore[misc]
    columns.append(row("real", lambda: real))
    if arguments.picture is not None:
        rows = np.stack(columns, axis=1)[:4].reshape(-1, size, size)
        Image.fromarray(sheet(rows, len(columns))).save(arguments.picture)


if __name__ == "__main__":
    main()
