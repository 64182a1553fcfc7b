"""Densities over the map of glyphs: the map as heights, and melting under noise.

The map's points (Atlas.points, mean 0 and variance 1) stand for the data: a glyph in two dimensions instead of 16,384.
"""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from glyffuser.diffusion.schedules import Schedule
from glyffuser.guide import style
from glyffuser.guide.drawn import Animation, Still, Tabs
from glyffuser.guide.inputs import Inputs
from glyffuser.guide.maths.densities import CELLS, kernel_density, noised_density

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BANDWIDTH = 0.06  # of the kernel density estimate, in standard deviations of the map
REACH = 3.2  # of the windows in which the map melts, in standard deviations of the map
SHOWN_TIMESTEPS = (0, 30, 100, 250, 500, 999)
NOISING = Schedule("linear")  # of the map: keeps its variance at 1


def common_radicals(radicals: np.ndarray, n: int) -> list[int]:
    """The n most frequent radicals, most frequent first."""
    return [radical for radical, _ in Counter(radicals.tolist()).most_common(n)]


def scatter(ax: "Axes", points: np.ndarray, colours: np.ndarray, reach: float, size: float = 0.6) -> None:
    """Show points (N, 2) as dots in a square window, without axes, whose numbers would mean nothing."""
    ax.scatter(points[:, 0], points[:, 1], s=size, c=colours, linewidths=0, rasterized=True)
    window(ax, reach)


def window(ax: "Axes", reach: float) -> None:
    """Set a square window around the map's centre."""
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    style.bare(ax, style.LINE)


def show_density(ax: "Axes", heights: np.ndarray, reach: float, top: float | None = None) -> None:
    """Show a density as colours, on a square-root scale, so that low hills show beside high ones."""
    shown = np.sqrt(heights)
    limit = float(np.sqrt(heights.max() if top is None else top))
    ax.imshow(shown, origin="lower", extent=(-reach, reach, -reach, reach), cmap=style.SEQUENTIAL, vmin=0, vmax=limit)
    window(ax, reach)


def point_colours(radicals: np.ndarray, n: int = 6) -> tuple[np.ndarray, list[int]]:
    """A colour for each of N glyphs by its radical, (N,), and the n commonest radicals; the others are grey."""
    common = common_radicals(radicals, n)
    colours = np.full(len(radicals), "#c9c4bc", dtype="<U7")
    for colour, radical in zip(style.CATEGORIES, common, strict=False):
        colours[radicals == radical] = colour
    return colours, common


@style.styled
def figure_density(points: np.ndarray, colours: np.ndarray) -> Figure:
    """Points (N, 2) with their colours (N,), and the kernel density estimate over them."""
    reach = float(np.abs(points).max()) * 1.08
    heights = kernel_density(points, BANDWIDTH, reach)
    drawn = style.figure(4.6)
    left, right = drawn.subplots(1, 2)
    scatter(left, points, colours, reach, size=1.2)
    left.set_title(f"{len(points):,} glyphs, one dot each")
    show_density(right, heights, reach)
    levels = np.quantile(heights[heights > heights.max() * 1e-3], [0.5, 0.8, 0.95])
    grid = (np.arange(CELLS) + 0.5) / CELLS * 2 * reach - reach
    right.contour(grid, grid, heights, levels=np.unique(levels), colors="white", linewidths=0.5, alpha=0.6)
    right.set_title("how crowded it is: the density $q(x)$")
    return drawn


def density(inputs: Inputs) -> Still:
    """The map of all glyphs as a landscape. Needs the data set."""
    return Still(
        figure_density(inputs.atlas.points, point_colours(inputs.data.radicals)[0]),
        alt="Left, the map of all glyphs as dots, coloured by radical. Right, the same map as a landscape of density: "
        "dark hills where many glyphs crowd together, white where there are none.",
        caption=f"Every dot on the map is blurred into a small round hill (its standard deviation is {BANDWIDTH} of "
        "the map’s), and the hills are added up. Dark means crowded. In the figures that follow, this landscape stands "
        "in for q(x), the distribution of glyphs, in two dimensions.",
    )


@style.styled
def figure_forward(points: np.ndarray, colours: np.ndarray, seed: int = 0) -> Figure:
    """Points (N, 2) of mean 0 and variance 1, noised to SHOWN_TIMESTEPS, above their densities in closed form."""
    drawn = style.figure(3.4)
    axes = drawn.subplots(2, len(SHOWN_TIMESTEPS))
    eps = np.random.default_rng(seed).standard_normal(points.shape)
    for t, above, below in zip(SHOWN_TIMESTEPS, *axes, strict=True):
        _forward_pair(above, below, points, eps, colours, t, size=0.35)
        above.set_title(f"$t$ = {t}")
    axes[0, 0].set_ylabel("glyphs")
    axes[1, 0].set_ylabel("density")
    return drawn


@style.styled
def frames_forward(
    points: np.ndarray, colours: np.ndarray, n: int, seed: int = 0, tick: Callable[[int, int], None] | None = None
) -> tuple[list[Image.Image], list[int]]:
    """The same as up to n pictures in time order, more of them early, when more happens; and their timesteps, each of
    them once.
    """
    eps = np.random.default_rng(seed).standard_normal(points.shape)
    shown = np.unique(np.round(np.linspace(0, 1, n) ** 1.5 * (NOISING.T - 1)).astype(int)).tolist()
    frames = []
    for t in shown:
        drawn = style.figure(4.4)
        left, right = drawn.subplots(1, 2)
        _forward_pair(left, right, points, eps, colours, t, size=1.2)
        frames.append(style.to_image(drawn, 110))
        if tick is not None:
            tick(len(frames), len(shown))
    return frames, shown


def forward(inputs: Inputs) -> Tabs:
    """The map under more and more noise, in a row and in motion. Needs the data set."""
    points, colours = inputs.atlas.points, point_colours(inputs.data.radicals)[0]
    alt = "The map at later and later timesteps. Its clusters blur, run together and end as one round cloud."
    frames, shown = frames_forward(points, colours, inputs.count(61, 13), inputs.seed, inputs.tick)
    moving = Animation(frames, alt, "", [f"t = {t}" for t in shown], fps=12, rest=len(frames) // 3)
    return Tabs(
        [("Six moments", Still(figure_forward(points, colours, inputs.seed), alt, "")), ("In motion", moving)],
        alt=alt,
        caption="Every glyph on the map is pulled towards the centre and pushed by random noise of its own, more and "
        "more: x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε. The density is computed without any random numbers: the hills of "
        "q(x) shrink, widen and melt into a single bell. The schedule is the linear one of Ho et al. (2020), with "
        "1,000 steps.",
    )


def _forward_pair(
    above: "Axes", below: "Axes", points: np.ndarray, eps: np.ndarray, colours: np.ndarray, t: int, size: float
) -> None:
    """Show the noised dots and their density at timestep t; for t = 0, the data itself."""
    kept = 1.0 if t == 0 else float(NOISING.alpha_bar()[t])
    scatter(above, np.sqrt(kept) * points + np.sqrt(1 - kept) * eps, colours, REACH, size)
    show_density(below, noised_density(points, kept, BANDWIDTH, REACH), REACH)
