"""Chapter 2, noise schedules: three of them side by side, and how evenly each destroys what a glyph says."""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from glyffuser.base.noise import seeded
from glyffuser.diffusion.process import noised
from glyffuser.diffusion.schedules import Schedule
from glyffuser.guide import style
from glyffuser.guide.drawn import Still
from glyffuser.guide.inputs import Inputs
from glyffuser.guide.maths.mixtures import normal

CHAR = "锂"
SIGMAS = np.geomspace(0.02, 1000, 160)  # noise levels at which information is computed
STRIP = 8  # pictures in a strip
LOOK = {"linear": style.COOL, "cosine": style.WARM, "flow": style.ACCENT}
NAMES = {"linear": "linear", "cosine": "cosine", "flow": "flow matching"}
PRESENT, GONE = 0.95, 0.05  # between these shares of information left, something is being destroyed


@dataclass(frozen=True)
class Information:
    """Bits that xt holds at each of `sigmas` (S,): `pixel` about one pixel alone, `glyph` about which of `n` it is.

    Both (S,), as shares of what x0 holds.
    """

    sigmas: np.ndarray
    pixel: np.ndarray
    glyph: np.ndarray
    n: int

    def at(self, share: np.ndarray, schedule: Schedule) -> np.ndarray:
        """A share, carried over to the schedule's timesteps 0 ... T-1: (T,)."""
        sigma = schedule.sigma(torch.arange(schedule.T)).numpy()
        return np.interp(np.log(sigma), np.log(self.sigmas), share)


def step_variance(schedule: Schedule) -> np.ndarray:
    """Variance that one timestep adds, alpha_t^2 (sigma_t^2 - sigma_(t-1)^2): beta_t, where there is a beta. (T - 1,).

    Any Gaussian process with scales alpha and sigma has this step, even flow matching, which names no beta.
    """
    sigma = schedule.sigma(torch.arange(schedule.T))
    return (schedule.alpha(sigma)[1:] ** 2 * (sigma[1:] ** 2 - sigma[:-1] ** 2)).numpy()


def pixel_information(sigmas: np.ndarray, ink: float) -> np.ndarray:
    """Share of a black-or-white pixel's entropy that remains at each noise level, if a share `ink` is black.

    Mutual information of x0 = -1 or +1 and x = x0 + sigma * eps, by integrating over x.
    """
    entropy = -(ink * np.log(ink) + (1 - ink) * np.log(1 - ink))
    left = []
    for sigma in sigmas:
        x = np.linspace(-1 - 8 * sigma, 1 + 8 * sigma, 4001)
        black, white = ink * normal(x, -1, sigma), (1 - ink) * normal(x, 1, sigma)
        both = np.maximum(black + white, 1e-300)
        parts = [np.where(p > 0, p * np.log(np.maximum(p, 1e-300) / both), 0) for p in (black, white)]
        left.append(1 + np.trapezoid(parts[0] + parts[1], x) / entropy)
    return np.clip(left, 0, 1)


def glyph_information(sigmas: np.ndarray, images: Tensor, tries: int, seed: int) -> np.ndarray:
    """Share of the log2(N) bits, which of N glyphs (N, D) it is, that the best possible reader gets from x per level.

    Bayes' rule over all N, averaged over `tries` noised glyphs. One projection of the noise serves every noise level.
    """
    n = len(images)
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(n, generator=generator)[:tries]
    eps = torch.randn(len(chosen), images.shape[1], generator=generator)
    squared = torch.cdist(images[chosen], images).square().double()  # (tries, N): |x0_i - x0_j|^2
    along = ((eps * images[chosen]).sum(1, keepdim=True) - eps @ images.T).double()  # eps . (x0_i - x0_j)
    left = []
    for sigma in sigmas:
        log_posterior = (-(squared + 2 * sigma * along) / (2 * sigma**2)).log_softmax(dim=1)
        left.append(1 + float(log_posterior[torch.arange(len(chosen)), chosen].mean()) / np.log(n))
    return np.clip(left, 0, 1)


def measure_information(x0: Tensor, tries: int, seed: int) -> Information:
    """Both kinds of information about glyphs x0 (N, 1, H, W) in [-1, 1]."""
    ink = float((x0 < 0).float().mean())
    glyph = glyph_information(SIGMAS, x0.flatten(1), tries, seed)
    return Information(SIGMAS, pixel_information(SIGMAS, ink), glyph, len(x0))


def busy(share: np.ndarray) -> float:
    """Share of the timesteps in which something is being destroyed: neither nearly whole nor nearly gone."""
    return float(np.mean((share < PRESENT) & (share > GONE)))


def compared(own: Schedule) -> list[Schedule]:
    """The schedules in the figure: linear, cosine, and the model's own if it is neither."""
    names = dict.fromkeys(("linear", "cosine", own.name))
    return [own if name == own.name else Schedule(name, own.T) for name in names]


@style.styled
def figure_schedules(x0: Tensor, own: Schedule, information: Information, seed: int = 0) -> Figure:
    """Schedules side by side: their curves, one glyph x0 (1, 1, H, W) under each, and the information left."""
    schedules = compared(own)
    fig = style.figure(height=8.6, width=7.6)
    top, middle, bottom = fig.subfigures(
        3, 1, squeeze=False, height_ratios=[2.3, 1.05 * len(schedules) + 0.2, 3.0], hspace=0.06
    ).ravel()
    _curves(top.subplots(1, 3), schedules)
    axes = middle.subplots(len(schedules), STRIP, gridspec_kw={"wspace": 0.04, "hspace": 0.06})
    eps = torch.randn(x0.shape, generator=seeded(seed, 0))
    for row, schedule in zip(axes, schedules, strict=True):
        t = torch.linspace(0, schedule.T - 1, STRIP, dtype=torch.float64)
        shape = (STRIP, -1, -1, -1)
        for ax, picture in zip(
            row, noised(x0.expand(*shape), eps.expand(*shape), schedule.sigma(t), schedule), strict=True
        ):
            style.show_glyph(ax, picture[0].numpy() / 1.3)
        row[0].set_ylabel(_title(schedule, own), color=LOOK[schedule.name], fontsize=11, labelpad=8)
    left, right = bottom.subplots(1, 2)
    _information(left, "what a single pixel still says", information, information.pixel, schedules)
    _information(right, f"which of {information.n:,} glyphs it was", information, information.glyph, schedules)
    return fig


def _title(schedule: Schedule, own: Schedule) -> str:
    return NAMES[schedule.name] + ("\n(this model)" if schedule is own else "")


def _curves(axes: np.ndarray, schedules: list[Schedule]) -> None:
    for schedule in schedules:
        t = np.arange(schedule.T)
        colour = LOOK[schedule.name]
        axes[0].plot(t[1:], step_variance(schedule), color=colour)
        axes[1].plot(t, schedule.alpha_bar().numpy(), color=colour)
        axes[2].plot(t, -2 * torch.log10(schedule.sigma(torch.from_numpy(t))).numpy(), color=colour)
    axes[0].set(title=r"noise a step adds, $\beta_t$", yscale="log", ylim=(1e-5, 1), yticks=[1e-4, 1e-2, 1])
    axes[1].set(title=r"glyph left, $\bar\alpha_t$", ylim=(0, 1.02), yticks=[0, 0.5, 1])
    axes[0].set_yticklabels(["0.0001", "0.01", "1"])
    axes[2].set(title="glyph : noise (SNR)", ylim=(-6.5, 6.5), yticks=[-4, -2, 0, 2, 4])
    axes[2].set_yticklabels(["1 : 10,000", "1 : 100", "1 : 1", "100 : 1", "10,000 : 1"])
    for ax in axes:
        ax.minorticks_off()
        ax.set(xlim=(0, schedules[0].T), xticks=[0, schedules[0].T // 2, schedules[0].T])
        ax.set_xlabel("timestep t", labelpad=1)


def _information(ax: Axes, title: str, information: Information, share: np.ndarray, schedules: list[Schedule]) -> None:
    T = schedules[0].T
    ax.plot([0, T], [1, 0], color=style.LINE, linewidth=1.5, linestyle=(0, (2, 2)))
    for i, schedule in enumerate(schedules):
        left = information.at(share, schedule)
        ax.plot(left, color=LOOK[schedule.name])
        text = f"{NAMES[schedule.name]}: {100 * busy(left):.0f} % of steps"
        late = np.mean(left) > 0.6  # then there is room at the lower left, otherwise at the upper right
        x, y, align = (0.03, 0.22, "left") if late else (0.99, 0.95, "right")
        ax.text(x, y - 0.085 * i, text, color=LOOK[schedule.name], transform=ax.transAxes, fontsize=10, ha=align)
    ax.set(title=title, xlim=(0, T), ylim=(0, 1.05), xticks=[0, T // 2, T], yticks=[0, 0.5, 1])
    ax.set_yticklabels(["gone", "half", "all"])
    ax.set_xlabel("timestep t", labelpad=1)


def schedules(inputs: Inputs) -> Still:
    """Noise schedules compared. Needs the data set and the model (for its schedule)."""
    own = inputs.pipe.schedule
    n = min(inputs.count(4096, 1024), len(inputs.data))
    rows = np.random.default_rng(inputs.seed).choice(len(inputs.data), n, replace=False)
    information = measure_information(inputs.x0(rows), tries=min(128, n), seed=inputs.seed)
    shares = [
        f"{NAMES[s.name]} {100 * busy(information.at(information.pixel, s)):.0f} % and "
        f"{100 * busy(information.at(information.glyph, s)):.0f} %"
        for s in compared(own)
    ]
    return Still(
        figure_schedules(inputs.x0(inputs.rows.get(CHAR, 0)), own, information, inputs.seed),
        alt="Curves of several noise schedules over the timesteps, a strip of one glyph fading under each, and curves "
        "of how much information is left.",
        caption="A schedule says how much noise there is at each timestep. Below, what the best possible reader could "
        f"still tell: the colour of one pixel alone, and which of {n:,} glyphs it was ({np.log2(n):.0f} bits). "
        "Detail goes first, identity last. A schedule wastes the steps in which nothing is being lost. The share "
        f"of steps in which pixel and glyph are being lost ({100 * GONE:.0f} to {100 * PRESENT:.0f} % left): "
        + "; ".join(shares)
        + "."
        + (f" So this model spends more of its steps at high noise (shift {own.shift:g})." if own.shift > 1 else ""),
    )
