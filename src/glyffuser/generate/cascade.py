"""The later stages of a cascade: finished glyphs enlarged by diffusion, in overlapping tiles, in a few steps.

    upscalers = load_upscalers([Path("runs/upscale512")])
    large = enlarge(plan(128, 512, upscalers), images)

A tile is as large as the patches that an upscaler was trained on. At each step all tiles are denoised and joined by a
weighted mean (Bar-Tal et al. 2023, MultiDiffusion, equation 5), so tiles agree where they overlap.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from glyffuser.base.devices import fast_matmul
from glyffuser.base.errors import UserError
from glyffuser.base.noise import noise_source, seeded
from glyffuser.base.pictures import to_grey
from glyffuser.base.processes import LONE, Crew
from glyffuser.diffusion.conditions import Small
from glyffuser.diffusion.guidance import Denoiser, denoiser
from glyffuser.diffusion.samplers import SAMPLERS
from glyffuser.generate.draw import BATCH, Tick, quiet
from glyffuser.networks.build import load_companion
from glyffuser.networks.upscaler import Upscaler

STEPS = 4  # the small picture has decided most of what is drawn
SAMPLER = "euler"
NOISE = 0.05  # share of noise added to the small picture: it hides small flaws, and the upscaler is told of it
OVERLAP = 1 / 6  # least overlap of neighbouring tiles, as a share of their side


def load_upscalers(folders: Sequence[Path]) -> list[Upscaler]:
    """The upscalers in model or run folders; UserError for a folder without one."""
    return [load_companion(folder, Upscaler) for folder in folders]


def plan(size: int, wanted: int, upscalers: Sequence[Upscaler]) -> list[Upscaler]:
    """The upscalers that lead from pictures of `size` pixels to `wanted`, in order; UserError if none do.

    Of several that start from the same size, the last one counts.
    """
    by_size = {upscaler.config.low_size: upscaler for upscaler in upscalers}
    chain, at = [], size
    while at != wanted:
        if at not in by_size or at > wanted:
            known = ", ".join(f"{u.config.low_size} to {u.config.sample_size}" for u in upscalers)
            raise UserError(
                f"glyphs of {size} pixels cannot be enlarged to {wanted}: "
                + (f"the upscalers here lead from {known} pixels; " if known else "no upscaler is given; ")
                + "name one that fits with --upscaler"
            )
        chain.append(by_size[at])
        at = by_size[at].config.sample_size
    return chain


def check_used(named: Sequence[Path], upscalers: Sequence[Upscaler], chain: Sequence[Upscaler]) -> None:
    """UserError for a named folder whose upscaler is not in the chain.

    Args:
        named: the folders; `upscalers` holds what is in each.
        chain: what `plan` chose.
    """
    for folder, upscaler in zip(named, upscalers, strict=True):
        if not any(upscaler is chosen for chosen in chain):
            config = upscaler.config
            raise UserError(
                f"{folder} enlarges glyphs of {config.low_size} pixels to {config.sample_size}, which is of no use "
                "here; leave it out"
            )


def enlarge(
    chain: Sequence[Upscaler],
    images: np.ndarray,
    seed: int = 0,
    numbers: Sequence[int] | None = None,
    steps: int = STEPS,
    noise: float = NOISE,
    tick: Tick = quiet,
    crew: Crew = LONE,
) -> np.ndarray:
    """Glyphs uint8 (N, H, H), ink 0, paper 255, through each upscaler: uint8 (N, S, S).

    Glyph k takes the noise of (seed, numbers[k], stage), by default (seed, k, stage), whatever else is enlarged with
    it. The processes of `crew` share the glyphs.
    """
    numbers = range(len(images)) if numbers is None else numbers
    if crew.size > 1 and chain:
        return crew.shared(len(images), lambda rows: enlarge(chain, images[rows], seed, numbers[rows], steps, noise))
    batches = [slice(first, first + BATCH) for first in range(0, len(images), BATCH)]
    total, count = len(chain) * len(batches) * steps, 0
    for upscaler in chain:
        done = []
        for batch in batches:
            x = torch.from_numpy(images[batch])[:, None].float() / 127.5 - 1
            generators = [seeded(seed, k, upscaler.config.sample_size) for k in numbers[batch]]
            for step in stages(upscaler, x, generators, steps, noise):
                x = step
                count += 1
                tick(count, total)
            done.append(to_grey(x))
        images = np.concatenate(done)
    return images


def stages(
    upscaler: Upscaler, small: Tensor, generators: list[torch.Generator], steps: int, noise: float
) -> Iterator[Tensor]:
    """The large pictures (B, 1, S, S) after each of `steps` steps, for small ones (B, 1, H, H) in [-1, 1]."""
    size, process = upscaler.config.sample_size, upscaler.process
    source = noise_source(generators, len(small))
    low = Small.noised(small, torch.full((len(small),), noise), source(small))
    sigmas = process.schedule.sigmas(steps)
    D = tiled_denoiser(upscaler, low)
    x = sigmas[0] * source(torch.empty(len(small), 1, size, size))
    for step in SAMPLERS[SAMPLER](D, x, sigmas, None, source):
        yield step.x


def tiled_denoiser(upscaler: Upscaler, low: Small) -> Denoiser:
    """The upscaler as a denoiser of whole pictures, which it sees in tiles."""
    config, scale = upscaler.config, upscaler.scale
    places = tiles(config.sample_size, config.crop, scale)
    weight = window(config.crop)

    def network(xt: Tensor, t: Tensor, cond: object) -> Tensor:
        total, whole = torch.zeros_like(xt), torch.zeros(xt.shape[2:])
        for top in places:
            for left in places:
                rows, columns = slice(top, top + config.crop), slice(left, left + config.crop)
                there = low.image[..., top // scale : rows.stop // scale, left // scale : columns.stop // scale]
                with torch.no_grad(), fast_matmul(upscaler.device):
                    tile = upscaler(xt[..., rows, columns], t, there, low.noise, return_dict=False)[0]
                total[..., rows, columns] += weight * tile.float()
                whole[rows, columns] += weight
        return total / whole

    return denoiser(network, upscaler.process)


def tiles(side: int, tile: int, multiple: int) -> list[int]:
    """Where tiles begin along a side: evenly, at multiples of `multiple`, overlapping by OVERLAP or more."""
    if tile >= side:
        return [0]
    count = 1 + math.ceil((side - tile) / (tile * (1 - OVERLAP)))
    return [round(i * (side - tile) / (count - 1) / multiple) * multiple for i in range(count)]


def window(tile: int) -> Tensor:
    """The weight of each pixel of a tile (tile, tile): 1, but falling towards the edges, where less context is seen."""
    distance = torch.minimum(torch.arange(1, tile + 1), torch.arange(tile, 0, -1)).float()
    ramp = (distance / (OVERLAP * tile)).clamp(max=1)
    return ramp[:, None] * ramp
