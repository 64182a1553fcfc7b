"""Chapter 3, the cascade: a small glyph, what is lost in it, the noise that an upscaler is trained with, its answer."""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from glyffuser.base.noise import seeded
from glyffuser.base.pictures import grey
from glyffuser.config import STEPS
from glyffuser.data.fonts import default_font, render
from glyffuser.diffusion.conditions import Small
from glyffuser.generate.cascade import enlarge
from glyffuser.generate.draw import draw
from glyffuser.generate.request import Request
from glyffuser.guide import style
from glyffuser.guide.drawn import Missing, Still
from glyffuser.guide.inputs import Inputs
from glyffuser.networks.upscaler import Upscaler, enlarged

CHARS = ("鑫", "湖")
PROMPT = "gold"
LEVELS = (0.1, 0.3)  # shares of noise in the small picture; the second is the most that training adds by default
PART = 0.3  # side of the detail that is shown, as a share of the picture's


@dataclass(frozen=True)
class Enlarged:
    """One glyph in uint8 pictures: `small` (h, h), and large ones (S, S): by a bicubic curve, without noise in the
    small picture and with each of LEVELS; by diffusion; and the real one, None if there is none.
    """

    name: str
    small: np.ndarray
    bicubic: list[np.ndarray]
    drawn: np.ndarray
    real: np.ndarray | None

    @property
    def columns(self) -> dict[str, np.ndarray | None]:
        """What is shown, by title."""
        noisy = {f"{100 * level:.0f} % noise": each for level, each in zip(LEVELS, self.bicubic[1:], strict=True)}
        return {"bicubic": self.bicubic[0], **noisy, "by diffusion": self.drawn, "real": self.real}


def mean_small(real: np.ndarray, scale: int) -> np.ndarray:
    """A large picture (S, S) shrunk, each pixel a mean: uint8 (S / scale, S / scale)."""
    side = real.shape[0] // scale
    return real.reshape(side, scale, side, scale).mean((1, 3)).round().astype(np.uint8)


def ways(name: str, small: np.ndarray, real: np.ndarray | None, scale: int, upscaler: Upscaler, seed: int) -> Enlarged:
    """A small glyph, enlarged in each way."""
    clean = torch.from_numpy(small)[None, None].float() / 127.5 - 1
    eps = torch.randn(clean.shape, generator=seeded(seed, 0))
    low = [Small.noised(clean, torch.tensor([level]), eps).image for level in (0.0, *LEVELS)]
    drawn = enlarge([upscaler], small[None], seed)[0]
    return Enlarged(name, small, [grey(enlarged(each, scale))[0] for each in low], drawn, real)


def window(small: np.ndarray) -> tuple[int, int, int]:
    """Top, left and side, in small pixels, of the detail whose strokes have the most edges."""
    side = round(PART * small.shape[0])
    edges = np.zeros(small.shape)
    edges[1:] += np.abs(np.diff(small.astype(float), axis=0))
    edges[:, 1:] += np.abs(np.diff(small.astype(float), axis=1))
    total = np.pad(edges.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    sums = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    top, left = np.unravel_index(sums.argmax(), sums.shape)
    return int(top), int(left), side


@style.styled
def figure_cascade(rows: list[Enlarged], scale: int) -> Figure:
    """One row per glyph: the small picture with a frame, then the framed detail in each way."""
    titles = [t for t in rows[0].columns if any(row.columns[t] is not None for row in rows)]
    fig = style.figure(height=1.55 * len(rows) + 0.35)
    axes = fig.subplots(len(rows), 2 + len(titles), squeeze=False)
    for line, row in zip(axes, rows, strict=True):
        top, left, side = window(row.small)
        style.show_glyph(line[0], row.small)
        line[0].add_patch(Rectangle((left - 0.5, top - 0.5), side, side, fill=False, edgecolor=style.ACCENT, lw=1.5))
        line[0].set_ylabel(row.name)
        line[1].imshow(
            row.small[top : top + side, left : left + side], cmap="gray", vmin=0, vmax=255, interpolation="nearest"
        )
        style.bare(line[1], style.LINE)
        for ax, title in zip(line[2:], titles, strict=True):
            picture = row.columns[title]
            if picture is None:
                ax.set_axis_off()
                continue
            y, x, wide = top * scale, left * scale, side * scale
            style.show_glyph(ax, picture[y : y + wide, x : x + wide])
    for ax, title in zip(axes[0], [f"{rows[0].small.shape[0]} pixels", "a part of it", *titles], strict=True):
        ax.set_title(title)
    return fig


def error(made: np.ndarray, real: np.ndarray) -> float:
    """Mean difference in grey, per cent."""
    return float(100 * np.abs(made.astype(int) - real).mean() / 255)


def cascade(inputs: Inputs) -> Still:
    """Small glyphs, then the same ones enlarged: real ones, and an invented one if it is as small as they are."""
    upscaler, face = inputs.upscaler, default_font()
    size, scale = upscaler.config.sample_size, upscaler.scale
    rows = []
    for char in CHARS:
        if ord(char) not in face.covered:
            raise Missing(f"the font {face.name} has no {char}; install a font that covers it")
        real = render(face, char, size)
        rows.append(ways(char, mean_small(real, scale), real, scale, upscaler, inputs.seed))
    if inputs.pipe.size == upscaler.config.low_size:
        request = Request(steps=inputs.count(STEPS, 10), seed=inputs.seed)
        invented = draw(inputs.pipe, [PROMPT], request)[0]
        rows.append(ways(f"“{PROMPT}”", invented, None, scale, upscaler, inputs.seed))
    known = [row for row in rows if row.real is not None]
    lost = [float(np.mean([error(row.bicubic[k], row.real) for row in known])) for k in range(1 + len(LEVELS))]  # type: ignore[arg-type]
    reached = float(np.mean([error(row.drawn, row.real) for row in known]))  # type: ignore[arg-type]
    told = (
        f"Glyphs of {face.name}, drawn at {size} pixels and made {scale} times smaller. A smooth curve through the "
        f"small pixels (bicubic) leaves edges soft: the result is {lost[0]:.1f} % of the range from black to white "
        "away from the real one, on average over all pixels. In training, an upscaler is given the small picture with "
        f"some noise and told how much (here {' and '.join(f'{100 * level:.0f} %' for level in LEVELS)}), so it learns "
        "to forgive the flaws of the model before it instead of enlarging them. Enlarged by diffusion, the glyphs are "
        f"{reached:.1f} % from the real ones."
    )
    return Still(
        figure_cascade(rows, scale),
        alt="Rows of glyphs: a small picture, then a part of it enlarged: as blocks, by a smooth curve, with noise, "
        "by diffusion, and as it really is.",
        caption=told,
    )
