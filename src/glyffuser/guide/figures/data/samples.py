"""Chapter 1: what there is to learn. Real and invented glyphs, the bell curve fitted to draws, a picture as a point."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from glyffuser.base.pictures import sheet
from glyffuser.config import STEPS
from glyffuser.data.dataset import GlyphData
from glyffuser.generate.draw import Tick, draw, quiet
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request
from glyffuser.guide import style
from glyffuser.guide.drawn import Slider, Sliders, Still
from glyffuser.guide.inputs import Inputs
from glyffuser.guide.maths.mixtures import normal
from glyffuser.guide.sampling import unseen_definitions

DRAWS = (5, 10, 30, 100, 300, 1000, 10_000, 100_000)
SMALL = 32  # side, in pixels, of the picture whose values are written out
ZOOM = 8  # side, in pixels, of the part of it that is enlarged
PIXELS_CHAR = "木"


def real_and_invented(
    data: GlyphData, pipe: GlyffuserPipeline, n: int, steps: int, seed: int, tick: Tick = quiet
) -> tuple[np.ndarray, np.ndarray]:
    """n random glyphs of the data set, and n that the model draws for meanings it was not trained on."""
    rows = np.random.default_rng(seed).choice(len(data), n, replace=n > len(data))
    return data.images[rows], draw(pipe, unseen_definitions(data, n, seed), Request(steps=steps, seed=seed), tick=tick)


@style.styled
def figure_samples(real: np.ndarray, invented: np.ndarray) -> Figure:
    """Two sheets side by side: real glyphs and generated ones, each uint8 (N, H, W), N ideally a square."""
    fig = style.figure(height=4.5)
    columns = int(np.ceil(np.sqrt(len(real))))
    for ax, images, title in zip(
        fig.subplots(1, 2, gridspec_kw={"wspace": 0.08}), (real, invented), ("real", "invented"), strict=True
    ):
        style.show_glyph(ax, sheet(images, columns, gap=images.shape[1] // 8), frame=None)
        ax.set_title(title, fontsize=14, pad=12, color=style.ACCENT if title == "invented" else style.INK)
    return fig


def samples(inputs: Inputs) -> Still:
    """Real glyphs beside invented ones. Needs the data set and the model."""
    n, steps = inputs.count(16, 9), inputs.count(STEPS, 12)
    real, invented = real_and_invented(inputs.data, inputs.pipe, n, steps, inputs.seed, inputs.tick)
    ink = [100 * (1 - images.mean() / 255) for images in (real, invented)]
    return Still(
        figure_samples(real, invented),
        alt=f"Two sheets of {n} Chinese-looking glyphs each: real ones on the left, invented ones on the right.",
        caption=f"Left, {n} of the {len(inputs.data):,} glyphs of the data set, chosen at random. Right, {n} glyphs "
        f"that the model drew in {steps} steps for the definitions of characters kept out of its training; some of "
        f"these glyphs may turn out to exist. Ink covers {ink[0]:.0f} % of the real sheet and {ink[1]:.0f} % of the "
        "invented one. The task is to learn what real glyphs have in common, and to draw more of their kind.",
    )


def fitted_normal(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the likeliest normal: the mean, and the root of the mean squared deviation."""
    mean = float(values.mean())
    return mean, float(np.sqrt(np.mean((values - mean) ** 2)))


@style.styled
def figure_gaussian(n: int = 100, seed: int = 0) -> Figure:
    """The standard normal density, a histogram of n draws from it, and the normal fitted to them."""
    values = np.random.default_rng(seed).standard_normal(n)
    mean, deviation = fitted_normal(values)
    fig = style.figure(height=4.2, width=7.0)
    ax = fig.subplots()
    x = np.linspace(-4, 4, 400)
    ax.hist(values, bins=[*np.linspace(-4, 4, 25)], density=True, color="#ece7df", edgecolor=style.PAPER, linewidth=1.5)
    ax.plot(x, normal(x, 0, 1), color=style.COOL)
    ax.plot(x, normal(x, mean, deviation), color=style.ACCENT, linestyle=(0, (4, 2)))
    ax.set(xlim=(-4, 4), ylim=(0, 0.72), yticks=[], xticks=[-3, -2, -1, 0, 1, 2, 3])
    ax.spines["left"].set_visible(False)
    lines = [
        (f"{n:,} draws", style.MUTED, ""),
        ("the truth", style.COOL, "mean 0, spread 1"),
        ("what was learnt", style.ACCENT, f"mean {mean:.3f}, spread {deviation:.3f}".replace("-", "−")),
    ]
    for i, (text, colour, numbers) in enumerate(lines):
        ax.text(0.02, 0.97 - 0.14 * i, text, color=colour, transform=ax.transAxes, va="top", fontsize=13)
        ax.text(0.02, 0.91 - 0.14 * i, numbers, color=style.MUTED, transform=ax.transAxes, va="top", fontsize=10.5)
    return fig


def gaussian(inputs: Inputs) -> Sliders:
    """The bell curve learnt from more and more draws. Needs only the seed."""
    errors = []
    for n in DRAWS:
        mean, deviation = fitted_normal(np.random.default_rng(inputs.seed).standard_normal(n))
        errors.append(max(abs(mean), abs(deviation - 1)))
    return Sliders(
        [Slider("n", "number of draws", [f"{n:,}" for n in DRAWS], start=DRAWS.index(100))],
        {(i,): style.to_image(figure_gaussian(n, inputs.seed)) for i, n in enumerate(DRAWS)},
        alt="A histogram of random draws under two bell curves, the true one and the one fitted to the draws; "
        "with more draws the two coincide.",
        caption="Numbers drawn from a bell curve (blue), sorted into bars. Learning here means finding two numbers: "
        "where the middle is and how wide the curve is; the dashed red curve has the two that make the draws "
        f"most likely. With {DRAWS[0]} draws the worse of the two is off by {errors[0]:.2f}, with {DRAWS[-1]:,} by "
        f"{errors[-1]:.3f}. Generative models do the same with more numbers.",
    )


def shrunk(picture: np.ndarray, size: int) -> np.ndarray:
    """A picture uint8 (H, W) at size x size, each pixel the mean of those it stands for."""
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BOX))


def write_values(ax: Axes, picture: np.ndarray, fontsize: float) -> None:
    """Show a picture with the value of each pixel written in it, in black or white, whichever is legible."""
    style.show_glyph(ax, picture, frame=style.LINE)
    for (row, column), value in np.ndenumerate(picture):
        colour = "#8d867c" if value > 200 else ("#ffffff" if value < 128 else "#000000")
        ax.text(column, row, str(value), ha="center", va="center", fontsize=fontsize, color=colour)


def busiest(picture: np.ndarray, size: int) -> tuple[int, int]:
    """Top and left of the size x size part with the most distinct values, where numbers are worth reading."""
    places = [(t, s) for t in range(picture.shape[0] - size + 1) for s in range(picture.shape[1] - size + 1)]
    return max(places, key=lambda p: len(np.unique(picture[p[0] : p[0] + size, p[1] : p[1] + size])))


@style.styled
def figure_pixels(picture: np.ndarray) -> Figure:
    """One glyph, uint8 (H, W): as it is, and at 32 x 32, a part and the whole, with every pixel's value."""
    small = shrunk(picture, SMALL)
    top, left = busiest(small, ZOOM)
    fig = style.figure(height=11.2, width=7.0)
    grid = fig.add_gridspec(2, 2, height_ratios=[4.0, 7.0], width_ratios=[2.6, 4.4], hspace=0.06)
    whole, zoom, values = (fig.add_subplot(grid[place]) for place in ((0, 0), (0, 1), (1, slice(None))))
    side = picture.shape[0]
    style.show_glyph(whole, picture, f"{side} × {side} = {side * side:,} pixels")
    write_values(zoom, small[top : top + ZOOM, left : left + ZOOM], fontsize=11)
    zoom.set_title(f"a part, {ZOOM} × {ZOOM}", color=style.ACCENT)
    write_values(values, small, fontsize=5)
    values.set_title(f"{SMALL} × {SMALL} = {SMALL * SMALL:,} numbers, 0 black to 255 white")
    values.add_patch(
        Rectangle((left - 0.5, top - 0.5), ZOOM, ZOOM, fill=False, edgecolor=style.ACCENT, linewidth=2, zorder=3)
    )
    for spine in zoom.spines.values():
        spine.set(color=style.ACCENT, linewidth=2)
    return fig


def pixels(inputs: Inputs) -> Still:
    """A glyph as numbers. Needs the data set."""
    row = inputs.rows.get(PIXELS_CHAR, 0)
    picture = inputs.data.images[row]
    side = picture.shape[0]
    char, meaning = inputs.data.chars[row], inputs.data.definitions[row]
    return Still(
        figure_pixels(picture),
        alt=f"The character {char} as a picture, and enlarged to {SMALL} by {SMALL} pixels with a number in each.",
        caption=f"{char} ({meaning}). To a computer a picture is a list of numbers, one per pixel. Read row by row, "
        f"the {SMALL} × {SMALL} picture is {SMALL * SMALL:,} numbers: one point in a space of "
        f"{SMALL * SMALL:,} dimensions; at {side} × {side} the space has {side * side:,}. Nearly every point in it "
        "looks like grey dust. The model learns where to find the few that look like writing.",
    )
