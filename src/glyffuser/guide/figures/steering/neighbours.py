"""Chapter 3, new or copied? Generated glyphs beside the training glyphs most like them."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from glyffuser.config import STEPS
from glyffuser.data.dataset import GlyphData, split_of
from glyffuser.evaluate.metrics import Neighbours, nearest
from glyffuser.generate.draw import draw
from glyffuser.generate.request import Request
from glyffuser.guide import style
from glyffuser.guide.drawn import Still
from glyffuser.guide.inputs import Inputs

PROMPTS = ("gold", "a kind of fish", "tree", "illness", "water", "bamboo basket", "silk", "horse")
UNSEEN = 200  # real glyphs outside the training split that set the yardstick
SAME = 0.99  # of them are less like their nearest training glyph than a copy would be
COARSE = 16  # pixels, the side of the pictures that candidates are chosen by
CANDIDATES = 64


@dataclass(frozen=True)
class Compared:
    """Generated glyphs and their nearest training glyphs, uint8 (N, H, W); characters; overlaps in [0, 1].

    `real`: the overlap that real glyphs outside the training split have with their nearest training glyph (M,).
    """

    glyphs: np.ndarray
    nearest: np.ndarray
    chars: list[str]
    overlap: np.ndarray
    real: np.ndarray

    @property
    def copy_at(self) -> float:
        """The overlap from which a glyph counts as a copy: one that hardly any two different characters reach."""
        return float(np.quantile(self.real, SAME))


def coarse(images: np.ndarray, size: int = COARSE) -> torch.Tensor:
    """Where the ink is, roughly: pictures uint8 (N, H, W) shrunk to size x size, (N, size^2) float32."""
    parts = [torch.from_numpy(part)[:, None].float() for part in np.array_split(images, max(1, len(images) // 1024))]
    return torch.cat([F.interpolate(255 - part, (size, size), mode="area").flatten(1) / 255 for part in parts])


def compare(glyphs: np.ndarray, training: GlyphData, unseen: np.ndarray) -> Compared:
    """Find the training glyph whose ink overlaps most with each generated and each unseen real glyph.

    Candidates are the nearest in coarse pictures, in which a copy is near whatever it means.
    """
    of_training, candidates = coarse(training.images), min(CANDIDATES, len(training))

    def find(images: np.ndarray) -> Neighbours:
        return nearest(coarse(images), images, of_training, training.images, 1.0, candidates)

    found, real = find(glyphs), find(unseen).overlap.numpy()
    rows = found.row.numpy()
    return Compared(glyphs, training.images[rows], [training.chars[r] for r in rows], found.overlap.numpy(), real)


def overlay(glyph: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Two glyphs uint8 (H, W) in one picture (H, W, 3): ink of the first red, of the second blue, of both dark."""
    colours = [[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in (style.ACCENT, style.COOL, style.INK)]
    a, b = (1 - picture[..., None] / 255.0 for picture in (glyph, other))
    alone, lone_other, both = a * (1 - b), b * (1 - a), a * b
    mixed = (1 - alone - lone_other - both) + sum(
        p * np.array(c) for p, c in zip((alone, lone_other, both), colours, strict=True)
    )
    return (mixed.clip(0, 1) * 255).round().astype(np.uint8)


@style.styled
def figure_neighbours(compared: Compared) -> Figure:
    """Generated glyphs, their nearest training glyphs, the two laid over each other, and how much ink overlaps."""
    n = len(compared.glyphs)
    fig = style.figure(height=5.9)
    above, below = fig.subfigures(2, 1, squeeze=False, height_ratios=[3.85, 2.0], hspace=0.03).ravel()
    axes = above.subplots(3, n, gridspec_kw={"wspace": 0.05, "hspace": 0.05})
    for column in range(n):
        style.show_glyph(axes[0, column], compared.glyphs[column], frame=None)
        style.show_glyph(axes[1, column], compared.nearest[column], frame=None)
        axes[2, column].imshow(overlay(compared.glyphs[column], compared.nearest[column]))
        style.bare(axes[2, column])
        axes[2, column].set_xlabel(f"{100 * compared.overlap[column]:.0f} %", fontsize=12, color=style.INK)
    for row, (name, colour) in enumerate(
        (("invented", style.ACCENT), ("nearest real", style.COOL), ("both", style.INK))
    ):
        axes[row, 0].set_ylabel(name, color=colour, fontsize=11)
    ax = below.subplots()
    bins = [*np.linspace(0, 1, 41)]
    ax.hist(compared.real, bins=bins, color="#ece7df", edgecolor=style.PAPER)
    for value in compared.overlap:
        ax.axvline(value, ymax=0.5, color=style.ACCENT, linewidth=2)
    ax.axvline(compared.copy_at, color=style.INK, linewidth=1, linestyle=(0, (4, 3)))
    ax.text(compared.copy_at + 0.01, 0.97, "a copy", transform=ax.get_xaxis_transform(), va="top", fontsize=11)
    ax.text(0.01, 0.95, "real glyphs kept out of training", transform=ax.transAxes, va="top", color=style.MUTED)
    ax.text(0.01, 0.78, "the invented ones above", transform=ax.transAxes, va="top", color=style.ACCENT)
    ax.set(xlim=(0, 1), yticks=[], xticks=[0, 0.5, 1], xlabel="overlap of ink with the nearest training glyph")
    ax.set_xticklabels(["0 %", "50 %", "100 %"])
    ax.spines["left"].set_visible(False)
    return fig


def neighbours(inputs: Inputs) -> Still:
    """Generated glyphs and their nearest training glyphs. Needs the data set and the model."""
    data = inputs.data
    test = np.array([split_of(int(codepoint)) == "test" for codepoint in data.codepoints])
    training = data.select(np.flatnonzero(~test))
    # If nothing was held out, training glyphs have to do: they are their own neighbours, and it shows.
    kept_out = (data.images[test] if test.any() else data.images)[:UNSEEN]
    glyphs = draw(inputs.pipe, PROMPTS, Request(steps=inputs.count(STEPS, 10), seed=inputs.seed), tick=inputs.tick)
    compared = compare(glyphs, training, kept_out)
    copies = int((compared.overlap >= compared.copy_at).sum())
    return Still(
        figure_neighbours(compared),
        alt="A row of invented glyphs; below each, the most similar training glyph, and the two laid over each other "
        "in red and blue; a histogram of overlaps.",
        caption=f"For each invented glyph, the most similar of {len(training):,} training glyphs, and the two laid "
        f"over each other. Their ink overlaps by {100 * np.median(compared.overlap):.0f} % (median). This "
        f"number needs a yardstick: {len(kept_out)} real characters kept out of training overlap their nearest "
        f"training glyph by {100 * np.median(compared.real):.0f} %, and {100 * SAME:.0f} % of them by less than "
        f"{100 * compared.copy_at:.0f} %. From there on we call a glyph a copy: {copies} of {len(glyphs)} here. The "
        f"prompts were {', '.join(PROMPTS)}.",
    )
