"""Figures of systems that are not built yet: they say so in their place."""

from glyffuser.guide.drawn import Drawn, Missing
from glyffuser.guide.inputs import Inputs


def latent(inputs: Inputs) -> Drawn:
    """Latent diffusion beside pixel diffusion."""
    raise Missing("this version has no latent model (an autoencoder and a diffusion model in its space) to show")


def cascade(inputs: Inputs) -> Drawn:
    """A small glyph, then the same one enlarged."""
    raise Missing("this version has no cascade (a second diffusion model that enlarges small glyphs) to show")
