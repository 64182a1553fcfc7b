"""The table of all figures: id, chapter, title, the function that draws it, and what it needs.

Functions are named by "module:function" and imported when drawn, so that listing figures needs neither torch nor
matplotlib.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glyffuser.guide.drawn import Drawn


@dataclass(frozen=True)
class FigureSpec:
    """One figure; `place` is "module:function" under glyffuser.guide, a function of `Inputs` that returns a `Drawn`.

    `version` is raised when something outside of that module changes what is seen, so that cached figures are drawn
    anew; a change inside is noticed.
    """

    id: str
    chapter: int
    title: str
    place: str
    cost: float = 5.0  # seconds, roughly, for progress
    needs: str = "data model"  # what it is made from: words among data, model, run
    version: int = 1

    @property
    def module(self) -> str:
        """The module under glyffuser.guide that draws it."""
        return self.place.split(":")[0]

    @property
    def build(self) -> "Callable[[Any], Drawn]":
        """The figure function."""
        module, name = self.place.split(":")
        return getattr(import_module(f"glyffuser.guide.{module}"), name)


# B: put your functions where you like and write the place here; keep the order of FIGURES.md.
_TABLE = [
    FigureSpec("samples", 1, "Real and invented", "learning:figure_samples"),
    FigureSpec("gaussian", 1, "Learning a bell curve", "learning:figure_gaussian"),
    FigureSpec("pixels", 1, "A picture is a point", "learning:figure_pixels"),
    FigureSpec("map", 1, "The map of all glyphs", "explorer:figure_map"),
    FigureSpec("density", 1, "Where the map is crowded", "landscape:figure_density"),
    FigureSpec("noise", 2, "Noise", "noising:figure_noise"),
    FigureSpec("chain", 2, "A glyph dissolves, and returns", "noising:figure_chain"),
    FigureSpec("schedules", 2, "How fast to destroy", "noising:figure_schedules"),
    FigureSpec("one-step", 2, "One small step", "toys:figure_one_step"),
    FigureSpec("forward", 2, "The map melts", "landscape:figure_forward"),
    FigureSpec("prediction", 2, "What the network guesses", "denoising:figure_prediction"),
    FigureSpec("unet", 2, "The network", "network:figure_unet"),
    FigureSpec("time-embedding", 2, "Telling it the time", "network:figure_time_embedding"),
    FigureSpec("training", 2, "How it learnt", "network:figure_training"),
    FigureSpec("denoise", 2, "From noise to glyphs", "denoising:figure_denoise"),
    FigureSpec("steps", 2, "How many steps", "denoising:figure_steps"),
    FigureSpec("samplers", 2, "Ways down", "denoising:figure_samplers"),
    FigureSpec("score", 2, "Which way is uphill", "uphill:figure_score"),
    FigureSpec("conditional", 3, "Knowing one thing about another", "toys:figure_conditional"),
    FigureSpec("tokens", 3, "From words to numbers", "steering:figure_tokens"),
    FigureSpec("single-step", 3, "One step with a prompt", "steering:figure_single_step"),
    FigureSpec("gold", 3, "Gold", "steering:figure_gold"),
    FigureSpec("guidance", 3, "How hard to pull", "steering:figure_guidance"),
    FigureSpec("attention", 3, "Which word drew which stroke", "steering:figure_attention"),
    FigureSpec("latent", 3, "Diffusion in a smaller space", "waiting:figure_latent"),
    FigureSpec("cascade", 3, "Small first, then large", "waiting:figure_cascade"),
    FigureSpec("neighbours", 3, "New, or copied?", "steering:figure_neighbours"),
]
FIGURES = {spec.id: spec for spec in _TABLE}
