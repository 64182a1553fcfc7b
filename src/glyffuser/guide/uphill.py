"""The score: which way is uphill in the landscape of density, and that the network knows it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from glyffuser.diffusion.guidance import denoiser
from glyffuser.guide import style
from glyffuser.guide.drawn import Still
from glyffuser.guide.inputs import Inputs
from glyffuser.guide.landscape import density, eps_of_draws, exact_denoised, mixture_score, show_density
from glyffuser.pipeline import seeded

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIGMAS = (0.05, 0.2, 0.6, 2.5)  # noise levels on the map, in its standard deviations
ARROWS = 19  # each way
CHECKED_SIGMA = 0.6
LEVELS = (20, 60, 120, 200, 300, 400, 500, 600, 700, 800, 900, 970)  # timesteps at which the network is asked


@dataclass(frozen=True)
class Agreement:
    """How alike the network and the exact score are: cosines, (levels, glyphs), at `timesteps`.

    `noise`: of predicted and exact noise; `pull`: of what each adds to the mean of all glyphs, in the clean picture.
    """

    timesteps: np.ndarray
    noise: np.ndarray
    pull: np.ndarray


@style.styled
def figure_score(inputs: Inputs) -> Still:
    """Score fields at four noise levels, and two checks of them. Needs the data set and the model."""
    points = inputs.atlas.points
    drawn = style.figure(6.2)
    grid = drawn.add_gridspec(2, 4, height_ratios=[1, 1.15])
    for column, sigma in enumerate(SIGMAS):
        ax = drawn.add_subplot(grid[0, column])
        _arrows(ax, points, sigma)
        ax.set_title(f"{style.SIGMA} = {sigma:g}")
    correlation = _check_on_map(drawn.add_subplot(grid[1, :2]), points, inputs)
    found = agreement(inputs, inputs.count(12, 4))
    _show_agreement(drawn.add_subplot(grid[1, 2:]), found)
    return Still(
        drawn,
        alt="Four maps of density with arrows that point uphill: short ones close to the glyphs at little noise, long "
        "ones everywhere at much noise. Below, two plots: averaged noise against minus sigma times score, on the "
        "diagonal; and the agreement of the network with the exact score at each timestep.",
        caption="Above: the density of the noised map (σ is the noise level, in standard deviations of the map) and "
        "its score, the direction in which the density rises fastest, computed exactly from all glyphs. Arrows show "
        "σ² × score, half as long as they are: the way from a noised point to where it most likely came from. They "
        "are drawn where noised points are found at all. Below left: the noise of random noised points, averaged "
        f"cell by cell, against −σ × score: the same thing (correlation {correlation:.4f}). Below right: the network, "
        "in the space of pixels, against the exact score of the noised data set. 1 is the same direction; noise: the "
        "predicted noise as it is; glyph: only what each adds to the average of all glyphs, which is much harder.",
    )


def _arrows(ax: "Axes", points: np.ndarray, sigma: float) -> None:
    """Density and score of the map noised to sigma, in a window that holds it."""
    reach = 2.6 * np.sqrt(1 + sigma**2)
    heights = density(points, sigma, reach, cells=160)
    show_density(ax, heights, reach)
    ticks = np.linspace(-reach, reach, ARROWS + 2)[1:-1]
    x = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    shift = 0.5 * sigma**2 * mixture_score(x, points, sigma)
    column, row = (np.floor((x + reach) / (2 * reach) * 160).astype(int)).T
    there = heights[row, column] > 0.01 * heights.max()
    ax.quiver(
        *x[there].T,
        *shift[there].T,
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.006,
        headwidth=4,
        headlength=4.5,
        headaxislength=4,
        color=style.COOL,
    )


def _check_on_map(ax: "Axes", points: np.ndarray, inputs: Inputs) -> float:
    """Averaged noise of random draws against -sigma * score; returns their correlation."""
    x, eps = eps_of_draws(points, CHECKED_SIGMA, inputs.count(2_000_000, 400_000), 36, inputs.seed)
    predicted = -CHECKED_SIGMA * mixture_score(x, points, CHECKED_SIGMA)
    ax.axline((0, 0), slope=1, color=style.LINE, linewidth=1.5)
    for k, (colour, name) in enumerate([(style.ACCENT, "across"), (style.COOL, "up")]):
        ax.scatter(predicted[:, k], eps[:, k], s=7, color=colour, alpha=0.65, linewidths=0, label=name)
    ax.set(xlabel=r"$-\sigma\,\times$ score, computed", ylabel=r"$\epsilon$, averaged over draws")
    ax.set_title(rf"the noise is $-\sigma\,\times$ the score ({style.SIGMA} = {CHECKED_SIGMA:g})")
    ax.legend(loc="upper left", markerscale=2)
    return float(np.corrcoef(predicted.ravel(), eps.ravel())[0, 1])


def agreement(inputs: Inputs, glyphs: int) -> Agreement:
    """Noise random glyphs to LEVELS and compare the network, without a prompt, with the exact score of the data set.

    Of a data set with more pixels than the model has, the pictures are shrunk to the model's size.
    """
    pipe, data = inputs.pipe, inputs.data
    rows = np.random.default_rng(inputs.seed).choice(len(data), size=glyphs, replace=len(data) < glyphs)
    size, channels = pipe.unet.config.sample_size, pipe.unet.config.in_channels
    D = denoiser(pipe._network, pipe.unet.config.prediction_type, pipe.schedule)
    empty = pipe.condition([""], glyphs)
    x0 = inputs.x0(rows)
    eps = torch.randn(x0.shape, generator=seeded(inputs.seed, 0))
    timesteps = np.array([t for t in LEVELS if t < pipe.schedule.T])
    sigmas = pipe.schedule.sigma(torch.from_numpy(timesteps))
    noisy = [x0 + float(sigma) * eps for sigma in sigmas]
    guesses = []
    for x, sigma in zip(noisy, sigmas, strict=True):
        guesses.append(D(x.expand(-1, channels, -1, -1), sigma, empty)[:, :1])
        inputs.tick(len(guesses), 2 * len(noisy))
    clean = data.images if data.images.shape[1] == size else _resized(inputs)
    flat = clean.reshape(len(clean), -1)
    levels = np.repeat(sigmas.numpy(), glyphs)
    x, guess = torch.cat(noisy).flatten(1), torch.cat(guesses).flatten(1)
    exact = exact_denoised(x, flat, levels)
    mean = torch.from_numpy(flat.mean(axis=0, dtype=np.float64)).float() / 127.5 - 1

    def table(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
        return torch.cosine_similarity(a, b, dim=1).reshape(len(timesteps), glyphs).numpy()

    return Agreement(timesteps, table(x - guess, x - exact), table(guess - mean, exact - mean))


def _resized(inputs: Inputs) -> np.ndarray:
    """All pictures at the model's size, uint8 (N, H, W)."""
    parts = [inputs.x0(np.arange(i, min(i + 2048, len(inputs.data)))) for i in range(0, len(inputs.data), 2048)]
    return ((torch.cat(parts)[:, 0] + 1) * 127.5).round().byte().numpy()


def _show_agreement(ax: "Axes", found: Agreement) -> None:
    for values, colour, name in ((found.noise, style.ACCENT, "noise"), (found.pull, style.COOL, "glyph")):
        low, middle, high = np.quantile(values, [0.1, 0.5, 0.9], axis=1)
        ax.fill_between(found.timesteps, low, high, color=colour, alpha=0.15, linewidth=0)
        ax.plot(found.timesteps, middle, color=colour, marker="o", markersize=4, label=name)
    ax.set(xlabel="timestep $t$", ylabel="cosine", ylim=(min(0, float(found.pull.min())) - 0.02, 1.04))
    ax.set_title("the network points the same way")
    ax.legend(loc="lower left")
