"""The score: which way is uphill in the landscape of density, and evidence that the network knows it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from matplotlib.figure import Figure

from glyffuser.base.noise import seeded
from glyffuser.guide import style
from glyffuser.guide.drawn import Still
from glyffuser.guide.figures.data.map_density import show_density
from glyffuser.guide.inputs import Inputs
from glyffuser.guide.maths.densities import eps_of_draws, exact_denoised, kernel_density, mixture_score

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIGMAS = (0.1, 0.3, 0.8, 2.5)  # noise levels on the map, in its standard deviations
ARROWS = 17  # each way
CHECKED_SIGMA = 0.6
LEVELS = (20, 60, 120, 200, 300, 400, 500, 600, 700, 800, 900, 970)  # timesteps at which the network is asked


@dataclass(frozen=True)
class Agreement:
    """How well the network and the exact score agree: cosines, (levels, glyphs), at `timesteps`.

    `noise`: of predicted and exact noise; `pull`: of what each adds to the mean of all glyphs, in the clean picture.
    """

    timesteps: np.ndarray
    noise: np.ndarray
    pull: np.ndarray


@dataclass(frozen=True)
class Averages:
    """Noise averaged over random draws, (M, 2), and -sigma * score at the same places, (M, 2)."""

    drawn: np.ndarray
    computed: np.ndarray

    @property
    def correlation(self) -> float:
        """1 if the two agree."""
        return float(np.corrcoef(self.drawn.ravel(), self.computed.ravel())[0, 1])


@style.styled
def figure_score(points: np.ndarray, averages: Averages, found: Agreement) -> Figure:
    """Score fields of points (N, 2) of variance 1 at four noise levels, and two checks of them."""
    drawn = style.figure(6.4)
    upper, lower = cast(Any, drawn.subfigures(2, 1, height_ratios=[1, 1.2], hspace=0.04))
    for ax, sigma in zip(upper.subplots(1, len(SIGMAS)), SIGMAS, strict=True):
        _arrows(ax, points, sigma)
        ax.set_title(f"{style.SIGMA} = {sigma:g}")
    left, right = lower.subplots(1, 2)
    _show_averages(left, averages)
    _show_agreement(right, found)
    return drawn


def score(inputs: Inputs) -> Still:
    """Which way is uphill, and evidence that the network knows it. Needs the data set and the model."""
    points = inputs.atlas.points
    averages = average(points, CHECKED_SIGMA, inputs.count(2_000_000, 400_000), inputs.seed)
    found = agreement(inputs, inputs.count(12, 4))
    return Still(
        figure_score(points, averages, found),
        alt="Four maps of density with arrows that point uphill: short ones close to the glyphs at low noise, long "
        "ones everywhere at high noise. Below, two plots: averaged noise against minus sigma times score, on the "
        "diagonal; and the agreement of the network with the exact score at each timestep.",
        caption="Above: the density of the noised map (σ is the noise level, in standard deviations of the map) and "
        "its score, computed exactly from all glyphs. The arrows show σ² × score, at 0.4 of their length: the way "
        "from a noised point to the average of where it may have come from. They are drawn only where there "
        "are noised points: short and close to the glyphs at low noise, long and everywhere at high noise. Below left: "
        "the noise of many random noised points, averaged place by place, against −σ × score (correlation "
        f"{averages.correlation:.4f}). "
        "Below right: the network, in the space of pixels, against the exact score of the noised data set; 1 means "
        "the same direction. “Noise” is the guessed noise, “glyph” what the guessed clean picture adds to the average "
        "of all glyphs. A little noise is hard to see in a glyph, and a glyph is hard to see in much noise.",
    )


def average(points: np.ndarray, sigma: float, draws: int, seed: int) -> Averages:
    """Check eps = -sigma * score by random draws."""
    x, eps = eps_of_draws(points, sigma, draws, 36, seed)
    return Averages(eps, -sigma * mixture_score(x, points, sigma))


def _arrows(ax: "Axes", points: np.ndarray, sigma: float) -> None:
    """Draw density and score of the map noised to sigma, in a window that contains it."""
    reach = 2.6 * np.sqrt(1 + sigma**2)
    heights = kernel_density(points, sigma, reach, cells=160)
    show_density(ax, heights, reach, top=3.5 * heights.max())  # pale, so that the arrows stand out
    ticks = np.linspace(-reach, reach, ARROWS + 2)[1:-1]
    x = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    shift = 0.4 * sigma**2 * mixture_score(x, points, sigma)
    column, row = (np.floor((x + reach) / (2 * reach) * 160).astype(int)).T
    there = heights[row, column] > 0.004 * heights.max()
    ax.quiver(
        *x[there].T,
        *shift[there].T,
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.0055,
        headwidth=3.6,
        headlength=4,
        headaxislength=3.6,
        color=style.INK,
    )


def _show_averages(ax: "Axes", averages: Averages) -> None:
    ax.axline((0, 0), slope=1, color=style.LINE, linewidth=1.5)
    for k, (colour, name) in enumerate([(style.ACCENT, "across"), (style.COOL, "up")]):
        x, y = averages.computed[:, k], averages.drawn[:, k]
        ax.scatter(x, y, s=7, color=colour, alpha=0.65, linewidths=0, label=name)
    ax.set(xlabel=r"$-\sigma\,\times$ score, computed", ylabel=r"$\epsilon$, averaged over draws")
    ax.set_title(rf"the noise is $-\sigma\,\times$ the score ({style.SIGMA} = {CHECKED_SIGMA:g})")
    ax.legend(loc="upper left", markerscale=2)


def agreement(inputs: Inputs, glyphs: int) -> Agreement:
    """Noise random glyphs to LEVELS and compare the network, without a prompt, with the exact score of the data set.

    Pictures that are not of the model's size are resized to it.
    """
    pipe, data = inputs.pipe, inputs.data
    rows = np.random.default_rng(inputs.seed).choice(len(data), size=glyphs, replace=len(data) < glyphs)
    size, channels = pipe.unet.config.sample_size, pipe.unet.config.in_channels
    D = pipe.denoiser()
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
    ax.set_title("how closely the network points the same way")
    ax.legend(loc="lower left")
