"""Styles between styles: "sans:1, serif:2" asks for a hand that is two thirds serif.

What the denoiser predicts in each style is mixed, as with prompts (generate/mixtures.py). Guidance acts within each, so
that it strengthens the meaning and leaves the hand alone.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from glyffuser.base.errors import UserError
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.guidance import Denoiser
from glyffuser.generate.mixtures import read_mixture


def shares_of(style: str | Sequence[str] | None, glyphs: int) -> tuple[list[str | None], Tensor]:
    """The S distinct styles of some glyphs, and the share of each that every glyph has (S, glyphs), 1 in all.

    `style`: one for all glyphs, or one for each; None is no style in particular. UserError for a share below 0, or for
    more or fewer styles than glyphs.
    """
    if style is None:
        return [None], torch.ones(1, glyphs)
    if not isinstance(style, str) and len(style) != glyphs:
        raise UserError(f"{len(style)} styles for {glyphs} prompts; pass one, or one per prompt")
    asked = [read_mixture(one) for one in ([style] * glyphs if isinstance(style, str) else style)]
    names: list[str | None] = list(dict.fromkeys(name for mixture in asked for name in mixture.texts))
    shares = torch.zeros(len(names), glyphs)
    for glyph, mixture in enumerate(asked):
        for name, weight in zip(*mixture, strict=True):
            if weight < 0:
                raise UserError(f"a glyph has no share of {weight:g} of the style {name}; 0 is the least")
            shares[names.index(name), glyph] += weight
    return names, shares / shares.sum(dim=0)


def blended(each: Sequence[tuple[int, Denoiser]], shares: Tensor) -> Denoiser:
    """The denoiser of glyphs between styles: the predictions of each style's denoiser, given with its number, mixed by
    shares (S, B) of B images. A condition has one row per image and text of a mixture of prompts.
    """

    def D(x: Tensor, sigma: Tensor, cond: Condition | None) -> Tensor:
        assert cond is not None
        told = [replace(cond, style=torch.full((len(cond),), number, device=x.device)) for number, _ in each]
        found = torch.stack([one(x, sigma, own) for (_, one), own in zip(each, told, strict=True)])
        return (shares.to(x).reshape(*shares.shape, *[1] * (x.ndim - 1)) * found).sum(dim=0)

    return D
