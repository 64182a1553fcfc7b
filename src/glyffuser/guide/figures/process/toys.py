"""Figures on toy distributions: one step of noise on points in a plane, and a conditional density."""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor

from glyffuser.base.noise import seeded
from glyffuser.guide import style
from glyffuser.guide.drawn import Still
from glyffuser.guide.inputs import Inputs
from glyffuser.guide.maths.mixtures import INK, JointNormal, ink_mixture

ONE_STEP_CHAR = "永"
POINTS = 700
CHOSEN = 6
BETA = 0.005  # of the one step, large enough to be seen

# A glyph x and its meaning y, each as one number; two groups that overlap.
TOY = JointNormal(
    weights=np.array([0.55, 0.45]),
    means=np.array([[-0.9, -1.0], [1.0, 0.9]]),
    covariances=np.array([[[0.55, 0.30], [0.30, 0.50]], [[0.50, -0.22], [-0.22, 0.55]]]),
)
SLICES = (-1.0, 1.2)  # the two values of y


def noised_points(x0: Tensor, beta: float, generator: torch.Generator) -> Tensor:
    """A draw from q(x1 given x0) = N(sqrt(1 - beta) x0, beta) for each point (n, 2) (Ho et al. 2020, equation 2)."""
    eps = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
    return (1 - beta) ** 0.5 * x0 + beta**0.5 * eps


def spread_out(points: Tensor, n: int) -> list[int]:
    """Rows of n points far apart: each is the one farthest from those before it."""
    chosen = [int(points.square().sum(1).argmax())]
    while len(chosen) < min(n, len(points)):
        chosen.append(int(torch.cdist(points, points[chosen]).min(dim=1).values.argmax()))
    return chosen


@style.styled
def figure_one_step(image: np.ndarray, beta: float = BETA, seed: int = 0) -> Figure:
    """Points on the ink of a glyph (uint8 (H, W)); q(x1 given x0) around some; all points after the step."""
    x0 = ink_mixture(image, POINTS, spread=0.0, seed=seed).means
    x1 = noised_points(x0, beta, seeded(seed, 0))
    chosen = spread_out(x0, CHOSEN)
    fig = style.figure(height=3.4)
    axes = fig.subplots(1, 3, gridspec_kw={"wspace": 0.06})
    names = (
        rf"points on the ink of a glyph, {style.X0}",
        r"where six of them may go, $q(x_1\,|\,x_0)$",
        r"all of them, $x_1$",
    )
    for ax, title in zip(axes, names, strict=True):
        ax.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal", title=title)
        style.bare(ax)
    axes[0].scatter(*x0.T, s=4, color=style.INK, linewidths=0)
    axes[0].scatter(*x0[chosen].T, s=34, color=style.ACCENT, linewidths=0, zorder=3)
    axes[1].scatter(*x0.T, s=4, color=style.LINE, linewidths=0)
    axes[2].scatter(*x1.T, s=4, color=style.INK, linewidths=0)
    for point in x0[chosen]:
        _bell(axes[1], (1 - beta) ** 0.5 * point, beta**0.5)
        axes[1].annotate(
            "",
            xy=tuple((1 - beta) ** 0.5 * point),
            xytext=tuple(point),
            arrowprops={"arrowstyle": "-", "color": style.INK, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0},
        )
    axes[1].scatter(*x0[chosen].T, s=14, color=style.ACCENT, linewidths=0, zorder=4)
    return fig


def _bell(ax: Axes, centre: Tensor, deviation: float) -> None:
    """A 2-D Gaussian seen from above: discs of fading colour, and circles at one and two deviations."""
    for radius in np.linspace(2.4, 0.2, 12):
        ax.add_patch(Circle(tuple(centre), radius * deviation, color=style.ACCENT, alpha=0.045, linewidth=0))
    for radius in (1, 2):
        ring = Circle(tuple(centre), radius * deviation, fill=False, edgecolor=style.ACCENT, linewidth=0.9, alpha=0.6)
        ax.add_patch(ring)


def one_step(inputs: Inputs) -> Still:
    """One step of noise on a 2-D toy: points on a glyph's ink. Needs the data set."""
    row = inputs.rows.get(ONE_STEP_CHAR, 0)
    image = inputs.data.images[row]
    x0 = ink_mixture(image, POINTS, spread=0.0, seed=inputs.seed).means
    x1 = noised_points(x0, BETA, seeded(inputs.seed, 0))
    spread = (x1 - (1 - BETA) ** 0.5 * x0).std()
    off = np.mean(_off_ink(image, x1))
    return Still(
        figure_one_step(image, BETA, inputs.seed),
        alt="Three panels: points that form a character; six of them with a round cloud around each; all points "
        "scattered a little, the character still legible.",
        caption=f"A toy that fits on paper: each x0 is a point on the ink of {inputs.data.chars[row]}. One step of "
        f"noise moves a point slightly towards the middle (times √(1−β) = {(1 - BETA) ** 0.5:.3f}, too little to "
        f"see) and then gives it a push drawn from a bell curve of spread √β = {BETA**0.5:.2f} (measured here: "
        f"{spread:.2f}); the circles mark one and two spreads. After this one step {100 * off:.0f} % of the points lie "
        f"off the ink. The real process does the same with {image.size:,} coordinates and a smaller β.",
    )


def _off_ink(image: np.ndarray, points: Tensor) -> np.ndarray:
    """Which points (n, 2), in the coordinates of `ink_mixture`, lie on paper."""
    height, width = image.shape
    columns = ((points[:, 0].numpy() + 1) / 2 * width).astype(int).clip(0, width - 1)
    rows = ((1 - points[:, 1].numpy()) / 2 * height).astype(int).clip(0, height - 1)
    return image[rows, columns] >= INK


@style.styled
def figure_conditional(toy: JointNormal = TOY, slices: tuple[float, float] = SLICES) -> Figure:
    """The joint density of a toy with both marginals, and p(x given y) at two y."""
    fig = style.figure(height=8.2, width=7.0)
    grid = fig.add_gridspec(3, 2, height_ratios=[1.1, 3.6, 2.0], width_ratios=[3.6, 1.1], hspace=0.04, wspace=0.04)
    top, joint, side, below = (fig.add_subplot(grid[place]) for place in ((0, 0), (1, 0), (1, 1), (2, 0)))
    x = np.linspace(-3.2, 3.2, 321)
    density = toy.joint(x[None, :], x[:, None])  # rows are y
    joint.contourf(x, x, density, levels=np.linspace(0.003, density.max(), 24), cmap=style.SEQUENTIAL, antialiased=True)
    joint.set(xlim=(x[0], x[-1]), ylim=(x[0], x[-1]))
    joint.text(0.03, 0.95, r"$p(x, y)$", transform=joint.transAxes, va="top", fontsize=15)
    top.fill_between(x, toy.marginal(x, 0), color="#ece7df")
    top.text(0.03, 0.8, r"$p(x)$, $y$ unknown", transform=top.transAxes, va="top", fontsize=12, color=style.MUTED)
    side.fill_betweenx(x, toy.marginal(x, 1), color="#ece7df")
    side.text(0.25, 0.97, r"$p(y)$", transform=side.transAxes, va="top", fontsize=12, color=style.MUTED)
    below.fill_between(x, toy.marginal(x, 0), color="#ece7df")
    for y, colour in zip(slices, (style.COOL, style.ACCENT), strict=True):
        joint.axhline(y, color=colour, linewidth=2)
        joint.text(x[-1], y + 0.08, f"y = {y:g} ".replace("-", "−"), color=colour, ha="right", fontsize=12)
        conditional = toy.conditional(x, y)
        below.plot(x, conditional, color=colour)
        peak = int(conditional.argmax())
        name = rf"$p(x\,|\,y={y:g})$"
        below.annotate(
            name, (x[peak], conditional[peak]), xytext=(0, 5), textcoords="offset points", color=colour, ha="center",
            fontsize=12,
        )  # fmt: skip
    side.set_ylim(x[0], x[-1])
    below.set(ylim=(0, 1.25 * max(toy.conditional(x, y).max() for y in slices)))
    for ax in (top, joint, side, below):
        style.bare(ax)
        if ax is not side:
            ax.set_xlim(x[0], x[-1])
    joint.set_ylabel(r"$y$, what is known (a meaning)", fontsize=11)
    below.set_xlabel(r"$x$, what is wanted (a glyph)", fontsize=11)
    return fig


def conditional(inputs: Inputs) -> Still:
    """Joint, marginal and conditional densities of a toy. Needs nothing."""
    x = np.linspace(-8, 8, 4001)
    facts = []
    for y in SLICES:
        density = TOY.conditional(x, y)
        mean = np.trapezoid(x * density, x)
        spread = np.sqrt(np.trapezoid((x - mean) ** 2 * density, x))
        facts.append(f"once we know y = {y:g}, around {mean:.1f} give or take {spread:.1f}".replace("-", "−"))
    whole = TOY.marginal(x, 0)
    mean = np.trapezoid(x * whole, x)
    spread = np.sqrt(np.trapezoid((x - mean) ** 2 * whole, x))
    return Still(
        figure_conditional(),
        alt="A map of a joint density with two horizontal cuts; above and beside it the two marginal densities, below "
        "it the two conditional densities, each a narrower hill in a different place.",
        caption="Two numbers that depend on each other, like a glyph and its meaning (a toy: a mixture of two "
        f"normals). Without knowing y, x lies around {round(mean, 1) + 0.0:.1f}, give or take {spread:.1f}; ".replace(
            "-", "−"
        )
        + "; ".join(facts)
        + ". A prompt does the same to a cloud of glyphs: it cuts the joint density along one line.",
    )
