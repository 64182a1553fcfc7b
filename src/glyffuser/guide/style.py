"""One look for all figures: ink on white paper, one accent, one font that has Chinese characters.

Figures are drawn once, on white: pixel values are the subject, so a figure must not change colours with the reader's
theme. A page shows them as paper cards, which suit light and dark pages alike.

Every figure function is decorated with `styled`; it makes its figure with `figure` (no pyplot, so no global state).
"""

import functools
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
from matplotlib import font_manager, rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

from glyffuser.base.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

P = ParamSpec("P")
R = TypeVar("R")

INK, PAPER, MUTED, LINE = "#1f1d1b", "#ffffff", "#77716a", "#d9d4cc"
ACCENT = "#c73e2c"  # the red of a seal: what the reader should look at
COOL = "#2f6f8f"  # the second of two things
WARM = "#d99a2b"  # the third of three
CATEGORIES = (  # for radicals and other kinds; ordered so that neighbours differ in lightness too
    *("#c73e2c", "#2f6f8f", "#d99a2b", "#4f8a4c", "#8a4f8d", "#3fb0a3"),
    *("#e08a78", "#22405e", "#9c7a3c", "#9bc46a", "#d977a8", "#6b6bd1"),
)
SEQUENTIAL = LinearSegmentedColormap.from_list(  # lightness falls evenly; low is paper
    "glyffuser", ["#ffffff", "#fbe7cf", "#f3b98a", "#e0785a", "#b23a48", "#6b2148", "#2b1235"]
)
SIGNED = LinearSegmentedColormap.from_list(  # below zero, zero (paper), above
    "glyffuser-signed", ["#163a52", "#2f6f8f", "#a9c9d6", "#ffffff", "#eeb9a8", "#c73e2c", "#6d1a12"]
)

WIDTH = 9.0  # inches, unless a figure sets its own; a page scales figures to its column
DPI = 160  # of PNG files and of the pages' pictures
# Notation, the same everywhere (docs/GLOSSARY.md).
X0, XT, EPS, SIGMA, T = r"$x_0$", r"$x_t$", r"$\epsilon$", r"$\sigma$", r"$t$"


@functools.cache
def font_family() -> list[str]:
    """The font families of all text: a CJK font found by data/fonts.py, used for Latin letters too, and a fallback."""
    from glyffuser.data.fonts import default_font

    try:
        face = default_font()
    except UserError:
        return ["DejaVu Sans"]
    manager = font_manager.fontManager
    manager.addfont(str(face.path))
    # Before 3.11, matplotlib reads only the first face of a collection: the same characters in their Japanese forms.
    known = [entry.name for entry in manager.ttflist if entry.fname == str(face.path)]
    return [face.family if face.family in known else known[0], "DejaVu Sans"]


def settings() -> dict[Any, Any]:
    """The matplotlib settings of the style."""
    return {
        "font.family": font_family(),
        "font.size": 11,
        "mathtext.fontset": "dejavusans",
        "axes.titlesize": 11,
        "axes.titlepad": 7,
        "axes.titlecolor": INK,
        "axes.labelcolor": MUTED,
        "axes.labelsize": 10.5,
        "axes.edgecolor": LINE,
        "axes.linewidth": 1.0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": f"cycler('color', {list(CATEGORIES)!r})",
        "axes.unicode_minus": False,
        "text.color": INK,
        "xtick.color": LINE,
        "ytick.color": LINE,
        "xtick.labelcolor": MUTED,
        "ytick.labelcolor": MUTED,
        "xtick.labelsize": 9.5,
        "ytick.labelsize": 9.5,
        "lines.linewidth": 2.0,
        "lines.solid_capstyle": "round",
        "legend.frameon": False,
        "legend.fontsize": 10,
        "image.cmap": "gray",
        "image.interpolation": "antialiased",
        "figure.facecolor": PAPER,
        "savefig.facecolor": PAPER,
        "svg.fonttype": "path",  # so that an SVG needs no font
        "svg.hashsalt": "glyffuser",  # same input, same bytes
    }


@contextmanager
def applied() -> Iterator[None]:
    """Apply the style within the context."""
    with rc_context(settings()):
        yield


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Make a figure function draw in the style, whoever calls it."""

    @functools.wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        with applied():
            return function(*args, **kwargs)

    return inner


def figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure with constrained layout, sized in inches, to show, save or turn into a picture."""
    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def to_image(drawn: Figure, dpi: int = DPI) -> Image.Image:
    """The figure as an RGB picture."""
    buffer = io.BytesIO()
    with applied():
        drawn.savefig(buffer, format="png", dpi=dpi)
    return Image.open(buffer).convert("RGB")


def show_glyph(ax: "Axes", picture: np.ndarray, title: str = "", frame: str | None = LINE) -> None:
    """Draw one grey picture (H, W), uint8 or in [-1, 1], ink dark, with a hairline frame and no ticks."""
    picture = np.asarray(picture)
    low, high = (0, 255) if picture.dtype == np.uint8 else (-1, 1)
    ax.imshow(picture, cmap="gray", vmin=low, vmax=high)
    bare(ax, frame)
    if title:
        ax.set_title(title)


def bare(ax: "Axes", frame: str | None = None) -> None:
    """Remove the ticks and, unless `frame` names its colour, the hairline frame."""
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(frame is not None)
        spine.set_color(frame or LINE)
