"""Chapter 2, the way into noise: what noise is, a glyph that dissolves in it, and another drawn from it."""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from glyffuser.base.noise import seeded
from glyffuser.diffusion.process import noised
from glyffuser.diffusion.schedules import Schedule
from glyffuser.generate.draw import Tick, quiet
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.guide import style
from glyffuser.guide.drawn import Still
from glyffuser.guide.inputs import Inputs

CHAIN_CHAR = "锂"
CHAIN_PARTS = (0.0, 0.2, 0.45, 0.7, 0.9, 1.0)  # of the way to T: the pictures of the chain
NOISE_SIGMA = 0.7  # of the noise centred on a glyph


@style.styled
def figure_noise(x0: np.ndarray, sigma: float = NOISE_SIGMA, seed: int = 0) -> Figure:
    """A glyph (H, W) in [-1, 1], standard normal noise, and noise of level sigma centred on the glyph's pixels.

    Under each, how often each pixel value occurs.
    """
    eps = np.random.default_rng(seed).standard_normal(x0.shape)
    fig = style.figure(height=4.4)
    grid = fig.add_gridspec(2, 5, height_ratios=[3, 1.1], width_ratios=[1, 0.16, 1, 0.16, 1], hspace=0.02)
    columns = [
        (x0, f"a glyph, {style.X0}", style.INK),
        (eps, f"pure noise, {style.EPS}", style.INK),
        (x0 + sigma * eps, f"noise around the glyph, {style.X0} + {sigma:g} {style.EPS}", style.ACCENT),
    ]
    for i, (picture, title, colour) in enumerate(columns):
        ax = fig.add_subplot(grid[0, 2 * i])
        # One grey scale for all three, wide enough for nearly all of the noise.
        ax.imshow(picture, cmap="gray", vmin=-2.2, vmax=2.2)
        style.bare(ax, style.LINE)
        ax.set_title(title, color=colour)
        _value_histogram(fig.add_subplot(grid[1, 2 * i]), picture, colour)
    for i, sign in enumerate((f"+ {sigma:g} ×", "=")):
        ax = fig.add_subplot(grid[0, 2 * i + 1])
        ax.axis("off")
        ax.text(0.5, 0.5, sign, ha="center", va="center", fontsize=17, transform=ax.transAxes, color=style.MUTED)
    return fig


def _value_histogram(ax: Axes, picture: np.ndarray, colour: str) -> None:
    ax.hist(picture.ravel(), bins=[*np.linspace(-3.5, 3.5, 57)], color=colour, alpha=0.75)
    ax.set(yticks=[], xlim=(-3.5, 3.5), xticks=[-1, 0, 1], xticklabels=["−1\nblack", "0", "+1\nwhite"])
    ax.spines["left"].set_visible(False)


def noise(inputs: Inputs) -> Still:
    """Noise, and noise centred on a glyph. Needs the data set and the model (for its picture size)."""
    x0 = inputs.x0(inputs.rows.get(CHAIN_CHAR, 0))[0, 0].numpy()
    around = x0 + NOISE_SIGMA * np.random.default_rng(inputs.seed).standard_normal(x0.shape)
    swapped = 100 * float(np.mean((around > 0) != (x0 > 0)))
    return Still(
        figure_noise(x0, NOISE_SIGMA, inputs.seed),
        alt="A glyph, a field of grey noise, and the glyph faintly seen through noise; below each a histogram of its "
        "pixel values.",
        caption=f"Pixels run from −1 (black) to +1 (white). Noise (ε, epsilon) gives each of the {x0.size:,} pixels "
        "a number of its own from the bell curve around 0. Add noise to a glyph and its two spikes, paper and ink, "
        f"become two bells: {swapped:.0f} % of the pixels are now on the wrong side of grey, yet we can still read it.",
    )


def chain_times(T: int) -> list[int]:
    """The timesteps of CHAIN_PARTS."""
    return [min(round(part * T), T - 1) for part in CHAIN_PARTS]


def forward_chain(x0: Tensor, schedule: Schedule, eps: Tensor) -> Tensor:
    """x0 (1, 1, H, W) noised, with the same eps, to each of CHAIN_PARTS: (P, 1, H, W), the first unchanged."""
    t = torch.tensor(chain_times(schedule.T), dtype=torch.float64)
    xt = noised(x0.expand(len(t), -1, -1, -1), eps.expand(len(t), -1, -1, -1), schedule.sigma(t), schedule)
    return torch.cat([x0, xt[1:]])


def backward_chain(
    pipe: GlyffuserPipeline, prompt: str, eps: Tensor, steps: int, seed: int, tick: Tick = quiet
) -> Tensor:
    """The model's way back from eps (1, 1, H, W): its xt nearest to each of CHAIN_PARTS, (P, 1, H, W).

    Sampled step by step from p(x(t-1) given xt), that is, with fresh noise at each step (Ho et al. 2020, algorithm 2).
    """
    seen = [(pipe.schedule.T - 1.0, eps)]
    settings = {"num_inference_steps": steps, "sampler": "ddpm", "latents": eps, "generator": [seeded(seed, 1)]}
    for step in pipe.stream(prompt, **settings):  # type: ignore[arg-type]
        tick(step.i + 1, steps)
        seen.append((step.t, step.xt.clone()))
    return torch.cat([min(seen, key=lambda s: abs(s[0] - t))[1] for t in chain_times(pipe.schedule.T)])


@style.styled
def figure_chain(forward: np.ndarray, backward: np.ndarray, T: int, char: str, prompt: str) -> Figure:
    """Two rows of noised pictures (P, H, W) in [-1, 1] at CHAIN_PARTS of T: into noise above, out of it below."""
    n = len(forward)
    fig = style.figure(height=4.0)
    fig.get_layout_engine().set(rect=(0, 0.09, 1, 0.91))  # type: ignore[union-attr, call-arg]  # room for the last line
    axes = fig.subplots(2, n, gridspec_kw={"hspace": 0.35, "wspace": 0.3})
    for row, images in enumerate((forward, backward)):
        for ax, picture, t in zip(axes[row], images, chain_times(T), strict=True):
            style.show_glyph(ax, np.clip(picture / 1.3, -1, 1) if t else picture)
            if row == 0:
                ax.set_title(rf"$x_{{{t}}}$" if t < T - 1 else r"$x_T$", pad=9)
    into, out = style.COOL, style.ACCENT
    words = [
        (axes[0], into, "-|>", r"$q(x_t\,|\,x_{t-1})$", f"adds a little noise: {char} drowns, by a fixed rule"),
        (axes[1], out, "<|-", r"$p(x_{t-1}\,|\,x_t)$", f'removes a little noise: the model, asked for "{prompt}"'),
    ]
    for row, colour, arrow, symbol, text in words:
        for ax in row[:-1]:
            ax.annotate(
                "",
                xy=(1.27, 0.5),
                xytext=(1.01, 0.5),
                xycoords="axes fraction",
                arrowprops={"arrowstyle": arrow, "color": colour, "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0},
            ).set_in_layout(False)
        said = row[0].text(0, -0.12, f"{symbol}   {text}", transform=row[0].transAxes, color=colour, va="top")
        said.set(fontsize=13, in_layout=False)
    return fig


def chain(inputs: Inputs) -> Still:
    """One character into noise and a new one out of it. Needs the data set and the model."""
    row = inputs.rows.get(CHAIN_CHAR, 0)
    char, prompt = inputs.data.chars[row], inputs.data.senses[row][0]
    x0 = inputs.x0(row)
    eps = torch.randn(x0.shape, generator=seeded(inputs.seed, 0))
    forward = forward_chain(x0, inputs.pipe.schedule, eps)
    steps = inputs.count(100, 20)
    backward = backward_chain(inputs.pipe, prompt, eps, steps, inputs.seed, inputs.tick)
    left = float(torch.corrcoef(torch.stack([forward[-1].flatten(), x0.flatten()]))[0, 1])
    return Still(
        figure_chain(forward[:, 0].numpy(), backward[:, 0].numpy(), inputs.pipe.schedule.T, char, prompt),
        alt=f"Two rows of pictures: above, {char} vanishes in noise from left to right; below, from right to left, "
        "a new glyph emerges from the same noise.",
        caption=f"Above, {char} ({prompt}): at every timestep t a little noise is added, until nothing is left but "
        f"noise (at the end, the correlation with {char} is {left:.3f}). Below, the model walks back from that same "
        f"noise in {steps} steps, given only the prompt “{prompt}”. It ends at a glyph of its own: the noise forgot "
        "which one it came from. q is the rule that destroys, p the one the model has learnt.",
    )
