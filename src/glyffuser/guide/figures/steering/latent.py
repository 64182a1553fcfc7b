"""Chapter 3, latents: a glyph as a few numbers, noise in latents beside noise in pixels, and drawing in both."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from glyffuser.base.noise import seeded
from glyffuser.base.pictures import sheet
from glyffuser.data.dataset import split_of
from glyffuser.diffusion.process import noised
from glyffuser.diffusion.schedules import Schedule
from glyffuser.guide import style
from glyffuser.guide.drawn import Still, Tabs
from glyffuser.guide.inputs import Inputs
from glyffuser.guide.sampling import steps_of

if TYPE_CHECKING:
    from glyffuser.generate.pipeline import GlyffuserPipeline
    from glyffuser.networks.autoencoder import Autoencoder

CHAR = "锂"  # as in `chain`
TIMES = (0.0, 0.2, 0.4, 0.6, 0.8)  # of flow matching, as shares of T: the share of noise in what is seen
PROMPT = "gold"
SHOWN = 6  # moments of drawing
MEASURED = 64  # held-out glyphs that go through the latents for the caption


@dataclass(frozen=True)
class Noised:
    """One glyph at several times: its pixels (K, H, W) and what its latents decode to (K, H, W), both in [-1, 1]; and
    the latents as pictures, uint8 (K, H', W').
    """

    pixels: np.ndarray
    latents: np.ndarray
    decoded: np.ndarray


def noised_both(network: "Autoencoder", glyph: Tensor, seed: int) -> Noised:
    """A glyph (1, 1, H, W) in [-1, 1], noised at TIMES as pixels and as latents, each with one noise."""
    schedule, count = Schedule("flow"), len(TIMES)
    sigma = schedule.sigma(schedule.T * torch.tensor(TIMES))
    shown = []
    for number, clean in enumerate((glyph, network.to_latents(glyph))):
        eps = torch.randn(clean.shape, generator=seeded(seed, number)).expand(count, -1, -1, -1)
        shown.append(noised(clean.expand(count, -1, -1, -1), eps, sigma, schedule))
    pixels, latents = shown
    return Noised(pixels[:, 0].numpy(), latent_sheets(latents), network.to_images(latents)[:, 0].numpy())


def latent_sheets(latents: Tensor) -> np.ndarray:
    """Latents (B, C, h, w) as pictures, the channels of each side by side in a square: uint8 (B, H', W')."""
    channels = (127.5 - 42 * latents).clamp(0, 255).to(torch.uint8).numpy()  # three deviations to either side
    columns = int(np.ceil(np.sqrt(latents.shape[1])))
    return np.stack([sheet(each, columns, gap=1) for each in channels])


def reconstruction_error(network: "Autoencoder", glyphs: Tensor) -> float:
    """Mean difference in grey, 0 to 1, between glyphs (N, 1, H, W) and what their latents decode to."""
    made = torch.cat([network.to_images(network.to_latents(part)) for part in glyphs.split(16)])
    return float((made.clamp(-1, 1) - glyphs).abs().mean() / 2)


@style.styled
def figure_noised(shown: Noised) -> Figure:
    """Three rows: pixels, latents, and what the latents decode to; one column per time."""
    rows = {"pixels": shown.pixels, "latents": shown.latents, "latents, decoded": shown.decoded}
    fig = style.figure(height=1.72 * len(rows) + 0.3)
    axes = fig.subplots(len(rows), len(TIMES))
    for line, (name, pictures) in zip(axes, rows.items(), strict=True):
        _row(line, name, list(pictures))
    for ax, time in zip(axes[0], TIMES, strict=True):
        ax.set_title(f"{style.T} = {time:g} T" if time else "the glyph")
    return fig


def drawing(pipe: "GlyffuserPipeline", steps: int, seed: int) -> tuple[list[int], np.ndarray]:
    """The numbers of SHOWN steps, from 1, and the glyphs that a model expects at each: (SHOWN, H, W) in [-1, 1]."""
    kept = sorted({round(k) for k in np.linspace(1, steps, min(SHOWN, steps))})
    expected = [pipe.decode(step.x0)[0, 0] for step in steps_of(pipe, [PROMPT], steps, seed=seed)]
    return kept, torch.stack([expected[k - 1] for k in kept]).numpy()


@style.styled
def figure_drawing(kept: list[int], among_pixels: np.ndarray, among_latents: np.ndarray) -> Figure:
    """Two rows of glyphs, one column per step."""
    fig = style.figure(height=2 * 1.5 + 0.4)
    axes = fig.subplots(2, len(kept), squeeze=False)
    _row(axes[0], "among pixels", list(among_pixels))
    _row(axes[1], "among latents", list(among_latents))
    for ax, step in zip(axes[0], kept, strict=True):
        ax.set_title(f"step {step}")
    return fig


def _row(axes: list[Axes], name: str, pictures: list[np.ndarray]) -> None:
    for ax, picture in zip(axes, pictures, strict=True):
        style.show_glyph(ax, picture)
    axes[0].set_ylabel(name)


def latent(inputs: Inputs) -> Tabs | Still:
    """Latent diffusion beside pixel diffusion. Needs an autoencoder; with a latent model, draws in both spaces."""
    network = inputs.autoencoder
    size, rows = network.config.sample_size, inputs.data.codepoints
    held_out = [row for row, codepoint in enumerate(rows) if split_of(int(codepoint)) == "test"][:MEASURED]
    one = inputs.rows.get(CHAR, 0)
    glyphs = inputs.x0([one, *held_out], size)
    error = reconstruction_error(network, glyphs[1:] if held_out else glyphs)
    numbers = network.config.latent_channels * network.latent_size**2
    still = Still(
        figure_noised(noised_both(network, glyphs[:1], inputs.seed)),
        alt="Three rows, one column per time: a glyph disappears in noise; its latents do the same; and what those "
        "latents decode to.",
        caption=f"Encoded, {inputs.data.chars[one]} is {numbers:,} numbers (second row) instead of {size**2:,} pixels "
        "(first row). The third row decodes the second. Noise in pixels is grain; noise in latents is what the "
        "decoder, which knows nothing but glyphs, makes of wrong numbers. Encoded and decoded again, "
        f"{max(len(held_out), 1)} glyphs are off by {100 * error:.1f} % of the range from black to white, on average "
        "over their pixels.",
    )
    if inputs.latent_pipe is None:
        return still
    steps = inputs.count(30, 8)
    kept, among_pixels = drawing(inputs.pipe, steps, inputs.seed)
    _, among_latents = drawing(inputs.latent_pipe, steps, inputs.seed)
    drawn = Still(
        figure_drawing(kept, among_pixels, among_latents),
        alt="Two rows of glyphs taking shape, one drawn among pixels, one among latents.",
        caption="",
    )
    return Tabs(
        [("Noise in both", still), ("Drawing in both", drawn)],
        alt="Noise and drawing, among pixels and among latents",
        caption=f"{still.caption} Drawing in both: “{PROMPT}” by the model of this guide and by a latent one, as each "
        f"expects the glyph to be on the way through {steps} steps; what the latent one expects is shown decoded.",
    )
