"""The table of all figures: id, chapter, title, drawing function and required inputs.

Functions are named as "module:function" and imported only for drawing, so that listing figures needs neither torch nor
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
    """One figure; `place` is "module:function" under guide/figures, a function of `Inputs` that returns a `Drawn`."""

    id: str
    chapter: int
    title: str
    place: str
    cost: float = 5.0  # seconds, roughly, for progress
    needs: str = "data model"  # its inputs, among data, model, run, judges, latent, upscaler
    version: int = 1  # raise it when you change what is drawn or said, so that cached figures are redrawn

    @property
    def build(self) -> "Callable[[Any], Drawn]":
        """The figure function."""
        module, name = self.place.split(":")
        return getattr(import_module(f"glyffuser.guide.figures.{module}"), name)


_TABLE = [
    FigureSpec("samples", 1, "Real and invented", "data.samples:samples", 12, version=3),
    FigureSpec("gaussian", 1, "Learning a bell curve", "data.samples:gaussian", 3, "", version=3),
    FigureSpec("pixels", 1, "A picture is a point", "data.samples:pixels", 2, "data", version=3),
    FigureSpec("map", 1, "The map of all glyphs", "data.glyph_map:atlas_map", 90, version=3),
    FigureSpec("density", 1, "Where the map is crowded", "data.map_density:density", 2, "data", version=3),
    FigureSpec("noise", 2, "Noise", "process.noising:noise", 2, version=3),
    FigureSpec("chain", 2, "A glyph dissolves, and returns", "process.noising:chain", 8, version=3),
    FigureSpec("schedules", 2, "How fast to destroy", "process.schedules:schedules", 4, version=3),
    FigureSpec("one-step", 2, "One small step", "process.toys:one_step", 2, "data", version=3),
    FigureSpec("forward", 2, "The map melts", "data.map_density:forward", 22, "data", version=2),
    FigureSpec("prediction", 2, "What the network guesses", "process.denoising:prediction", 5, version=3),
    FigureSpec("unet", 2, "The network", "process.unet:unet", 3, "model", version=4),
    FigureSpec("time-embedding", 2, "Telling it the time", "process.unet:time_embedding", 2, "model", version=3),
    FigureSpec("training", 2, "How it learnt", "process.training:training", 4, "model run", version=3),
    FigureSpec("denoise", 2, "From noise to glyphs", "process.denoising:denoise", 38, version=4),
    FigureSpec("steps", 2, "How many steps", "process.denoising:steps", 140, version=3),
    FigureSpec("samplers", 2, "Ways down", "process.sampler_paths:samplers", 30, version=4),
    FigureSpec("score", 2, "Which way is uphill", "process.score:score", 35, version=3),
    FigureSpec("conditional", 3, "Knowing one thing about another", "process.toys:conditional", 2, "", version=2),
    FigureSpec("tokens", 3, "From words to numbers", "steering.tokens:tokens", 4, "model", version=3),
    FigureSpec("single-step", 3, "One step with a prompt", "steering.guidance:single_step", 8, version=3),
    FigureSpec("gold", 3, "Gold", "steering.gold:gold", 60, "model judges", version=4),
    FigureSpec("guidance", 3, "How hard to pull", "steering.guidance:guidance", 62, "data model judges", version=3),
    FigureSpec("attention", 3, "Which word drew which stroke", "steering.attention:attention", 10, version=4),
    FigureSpec(
        "latent", 3, "Diffusion in a smaller space", "steering.latent:latent", 15, "data model latent", version=2
    ),
    FigureSpec("cascade", 3, "Small first, then large", "steering.cascade:cascade", 8, "model upscaler", version=2),
    FigureSpec("neighbours", 3, "New, or copied?", "steering.neighbours:neighbours", 11, version=3),
    FigureSpec("limits", 3, "What it cannot do", "steering.limits:limits", 12, "model judges"),
]
FIGURES = {spec.id: spec for spec in _TABLE}
