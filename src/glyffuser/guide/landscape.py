"""Densities over the map of glyphs: the map as heights, melting under noise, and which way is uphill.

The map's points (Atlas.points, mean 0 and variance 1) stand for the data: a glyph in two dimensions instead of 16,384.
"""

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import torch

from glyffuser.diffusion.schedules import Schedule
from glyffuser.guide import style
from glyffuser.guide.drawn import Animation, Still, Tabs
from glyffuser.guide.inputs import Inputs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BANDWIDTH = 0.06  # of the kernel density estimate, in standard deviations of the map
CELLS = 320  # of a density's grid, each way
SHOWN_TIMESTEPS = (0, 30, 100, 250, 500, 999)
NOISING = Schedule("linear")  # of the map: keeps its variance at 1


def density(points: np.ndarray, bandwidth: float, reach: float, cells: int = CELLS) -> np.ndarray:
    """Kernel density estimate with a Gaussian kernel: float64 (cells, cells), rows y upwards, over [-reach, reach]^2.

    Every point is shared among its four nearest cells, then all are blurred at once; what lies outside is lost. The
    error is of the order (cell side / bandwidth)^2, so the grid is made finer where the bandwidth asks for it.
    """
    from scipy.ndimage import gaussian_filter

    finer = int(np.ceil(3 * (2 * reach / cells) / bandwidth))  # at least three cells a bandwidth
    n = cells * finer
    side = 2 * reach / n
    place = (points + reach) / side - 0.5  # in cells, counted from the centre of the first
    low = np.floor(place).astype(int)
    part = place - low
    counts = np.zeros((n, n))
    for right in (0, 1):
        for up in (0, 1):
            x, y = low[:, 0] + right, low[:, 1] + up
            weight = np.abs(1 - right - part[:, 0]) * np.abs(1 - up - part[:, 1])
            inside = (x >= 0) & (x < n) & (y >= 0) & (y < n)
            np.add.at(counts, (y[inside], x[inside]), weight[inside])
    # Sharing among cells is a small blur of its own, of variance 1/6 cell^2 on average; the kernel makes up for it.
    blur = np.sqrt(max((bandwidth / side) ** 2 - 1 / 6, 0.0))
    heights = gaussian_filter(counts, blur, mode="constant", truncate=5.0) / (len(points) * side**2)
    return heights.reshape(cells, finer, cells, finer).mean(axis=(1, 3))


def noised_density(points: np.ndarray, alpha_bar: float, bandwidth: float, reach: float) -> np.ndarray:
    """Density of q(xt) in closed form, where q(x0) is the kernel density estimate: see `density` for the grid.

    xt = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps (Ho et al. 2020, equation 4), so every kernel stays a Gaussian.
    """
    spread = np.sqrt(alpha_bar * bandwidth**2 + 1 - alpha_bar)
    return density(np.sqrt(alpha_bar) * points, spread, reach)


def mixture_score(x: np.ndarray, points: np.ndarray, sigma: float) -> np.ndarray:
    """Gradient of log q at x (M, d), exactly, where q is the points (N, d) with Gaussian noise of level sigma: (M, d).

    q is a mixture of N Gaussians; its score is the mean of the pulls (point - x) / sigma^2, each weighted with the
    probability that the noise began at that point.
    """
    squares = ((x[:, None] - points) ** 2).sum(axis=2)  # (M, N)
    logits = -squares / (2 * sigma**2)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return (weights @ points - x) / sigma**2


def mixture_log_density(x: np.ndarray, points: np.ndarray, sigma: float) -> np.ndarray:
    """log q at x (M, d) for the same mixture: (M,)."""
    logits = -((x[:, None] - points) ** 2).sum(axis=2) / (2 * sigma**2)
    top = logits.max(axis=1)
    d = x.shape[1]
    return top + np.log(np.exp(logits - top[:, None]).mean(axis=1)) - d / 2 * np.log(2 * np.pi * sigma**2)


def common_radicals(radicals: np.ndarray, n: int) -> list[int]:
    """The n most frequent radicals, most frequent first."""
    return [radical for radical, _ in Counter(radicals.tolist()).most_common(n)]


def scatter(ax: "Axes", points: np.ndarray, colours: np.ndarray, reach: float, size: float = 0.6) -> None:
    """Points (N, 2) as dots in a square window, without axes: their numbers mean nothing."""
    ax.scatter(points[:, 0], points[:, 1], s=size, c=colours, linewidths=0, rasterized=True)
    window(ax, reach)


def window(ax: "Axes", reach: float) -> None:
    """A square window around the map's centre."""
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    style.bare(ax, style.LINE)


def show_density(ax: "Axes", heights: np.ndarray, reach: float, top: float | None = None) -> None:
    """A density as colours, on a square-root scale so that low hills are seen beside high ones."""
    shown = np.sqrt(heights)
    limit = float(np.sqrt(heights.max() if top is None else top))
    ax.imshow(shown, origin="lower", extent=(-reach, reach, -reach, reach), cmap=style.SEQUENTIAL, vmin=0, vmax=limit)
    window(ax, reach)


def point_colours(inputs: Inputs, n: int = 6) -> tuple[np.ndarray, list[int]]:
    """A colour for every glyph by its radical, for the n commonest; the others are grey."""
    common = common_radicals(inputs.data.radicals, n)
    colours = np.full(len(inputs.data), "#c9c4bc", dtype="<U7")
    for colour, radical in zip(style.CATEGORIES, common, strict=False):
        colours[inputs.data.radicals == radical] = colour
    return colours, common


@style.styled
def figure_density(inputs: Inputs) -> Still:
    """The map of all glyphs, and the kernel density estimate over it. Needs the data set."""
    points = inputs.atlas.points
    reach = float(np.abs(points).max()) * 1.08
    heights = density(points, BANDWIDTH, reach)
    drawn = style.figure(4.6)
    left, right = drawn.subplots(1, 2)
    colours, _ = point_colours(inputs)
    scatter(left, points, colours, reach, size=1.2)
    left.set_title(f"{len(points):,} glyphs, one dot each")
    show_density(right, heights, reach)
    levels = np.quantile(heights[heights > heights.max() * 1e-3], [0.5, 0.8, 0.95])
    grid = (np.arange(CELLS) + 0.5) / CELLS * 2 * reach - reach
    right.contour(grid, grid, heights, levels=np.unique(levels), colors="white", linewidths=0.5, alpha=0.6)
    right.set_title("how crowded it is: the density $q(x)$")
    return Still(
        drawn,
        alt="Left, the map of all glyphs as dots, coloured by radical. Right, the same map as a landscape of density: "
        "dark hills where many glyphs crowd together, white where there are none.",
        caption=f"Every dot of the map is blurred into a small round hill (of standard deviation {BANDWIDTH} of the "
        "map's), and the hills are added up. Dark is crowded. This landscape is the two-dimensional stand-in for "
        "q(x), the distribution of glyphs, in the figures that follow.",
    )


@style.styled
def figure_forward(inputs: Inputs) -> Tabs:
    """The map under more and more noise: dots, and their density in closed form. Needs the data set."""
    points, reach = inputs.atlas.points, 3.2
    colours, _ = point_colours(inputs)
    eps = np.random.default_rng(inputs.seed).standard_normal(points.shape)
    alpha_bar = NOISING.alpha_bar().numpy()
    drawn = style.figure(3.4)
    axes = drawn.subplots(2, len(SHOWN_TIMESTEPS))
    for column, t in enumerate(SHOWN_TIMESTEPS):
        _forward_pair(axes[0, column], axes[1, column], points, eps, colours, t, alpha_bar, reach, size=0.35)
        axes[0, column].set_title(f"$t$ = {t}")
    axes[0, 0].set_ylabel("glyphs")
    axes[1, 0].set_ylabel("density")
    row = Still(
        drawn,
        alt="The map at six timesteps. Its clusters blur, run together, and end as one round cloud.",
        caption="",
    )
    shown = np.unique(np.round(np.linspace(0, 1, inputs.count(61, 13)) ** 1.5 * (len(alpha_bar) - 1)).astype(int))
    frames = []
    for number, t in enumerate(shown):
        frame = style.figure(4.4)
        left, right = frame.subplots(1, 2)
        _forward_pair(left, right, points, eps, colours, t, alpha_bar, reach, size=1.2)
        frames.append(style.to_image(frame, 110))
        inputs.tick(number + 1, len(shown))
    moving = Animation(frames, row.alt, "", [f"t = {t}" for t in shown], fps=12, rest=len(frames) // 3)
    return Tabs(
        [("Six moments", row), ("In motion", moving)],
        alt=row.alt,
        caption="Above, every glyph of the map is shrunk a little towards the centre and pushed by its own random "
        "noise: x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε. Below, the density that this makes, computed without any random "
        "number: the hills of q(x) shrink, widen, and melt into a single bell. The schedule is the linear one of the "
        "original paper, 1,000 steps.",
    )


def _forward_pair(
    top: "Axes",
    bottom: "Axes",
    points: np.ndarray,
    eps: np.ndarray,
    colours: np.ndarray,
    t: int,
    alpha_bar: np.ndarray,
    reach: float,
    size: float,
) -> None:
    """The noised dots and their density at timestep t; t = 0 is shown as the data itself."""
    kept = 1.0 if t == 0 else float(alpha_bar[t])
    scatter(top, np.sqrt(kept) * points + np.sqrt(1 - kept) * eps, colours, reach, size)
    show_density(bottom, noised_density(points, kept, BANDWIDTH, reach), reach)


def eps_of_draws(points: np.ndarray, sigma: float, n: int, cells: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Average noise of n random draws x = x0 + sigma * eps, cell by cell: where the cells are, (M, 2) twice.

    Returns the mean x and the mean eps of each cell of a cells x cells grid that has 200 draws or more. By Tweedie's
    formula (Efron 2011) the mean eps at x is -sigma * score(x).
    """
    rng = np.random.default_rng(seed)
    eps = rng.standard_normal((n, 2))
    x = points[rng.integers(len(points), size=n)] + sigma * eps
    reach = 3 * np.sqrt(1 + sigma**2)
    cell = np.floor((x + reach) / (2 * reach) * cells).astype(int)
    inside = ((cell >= 0) & (cell < cells)).all(axis=1)
    number = cell[inside, 0] * cells + cell[inside, 1]
    count = np.bincount(number, minlength=cells**2)
    full = count >= 200

    def mean(values: np.ndarray) -> np.ndarray:
        sums = [np.bincount(number, values[inside, k], minlength=cells**2)[full] for k in (0, 1)]
        return np.stack(sums, axis=1) / count[full, None]

    return mean(x), mean(eps)


def exact_denoised(x: torch.Tensor, clean: np.ndarray, sigma: np.ndarray) -> torch.Tensor:
    """Mean clean picture behind x (B, D) at noise levels (B,), if all pictures (N, D) uint8 are equally likely: (B, D).

    This is the best denoiser for the data set as it stands; -(x - it) / sigma^2 is the exact score in pixel space.
    """
    block, level = 1024, torch.as_tensor(sigma, dtype=torch.float64)[:, None]
    logits = torch.empty(len(x), len(clean), dtype=torch.float64)
    for first in range(0, len(clean), block):
        rows = torch.from_numpy(clean[first : first + block]).float() / 127.5 - 1
        # |x - row|^2 without |x|^2, which is the same for all rows
        logits[:, first : first + block] = -((rows**2).sum(dim=1).double() - 2 * (x @ rows.T).double()) / (2 * level**2)
    weights = torch.softmax(logits, dim=1).float()
    mean = torch.zeros_like(x)
    for first in range(0, len(clean), block):
        rows = torch.from_numpy(clean[first : first + block]).float() / 127.5 - 1
        mean += weights[:, first : first + block] @ rows
    return mean
