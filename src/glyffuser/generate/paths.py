"""Paths: from the glyph of one request to that of another, in glyphs between them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from glyffuser.base.errors import UserError
from glyffuser.base.noise import Noise, noise_source, seeded
from glyffuser.base.pictures import to_grey
from glyffuser.diffusion.editing import between
from glyffuser.generate.draw import BATCH, Tick, quiet, taken
from glyffuser.generate.edits import edit_settings
from glyffuser.generate.mixtures import read_mixture, written
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request


class Stretch(NamedTuple):
    """Some glyphs of a path, a batch for `GlyffuserPipeline.stream`: how far along each is, 0 to 1, its prompt, and
    the noise of all (as `generator`).
    """

    share: list[float]
    prompts: list[str]
    noise: Noise


def path(start: Request, end: Request, glyphs: int, number: int = 0) -> Iterator[Stretch]:
    """The way from glyph `number` of one request to that of another, both included, in at most 16 glyphs at a time.

    Prompts become mixtures, with weights that move from one to the other; noise moves along the sphere from one seed's
    to the other's, at the start and in every step, so that near glyphs are alike by any sampler but dpm-sde, which
    draws a new path for each. The first and the last glyph are those of the requests. UserError where they differ in
    more than prompt and seed, or for fewer than two glyphs.
    """
    if replace(start, prompt=end.prompt, seed=end.seed) != end:
        raise UserError("the two ends of a path may differ in prompt and seed alone; give both the same settings")
    if glyphs < 2:
        raise UserError(f"a path has its two ends at least, so it cannot be of {glyphs} glyphs")
    shares = [i / (glyphs - 1) for i in range(glyphs)]
    for first in range(0, glyphs, BATCH):
        part = shares[first : first + BATCH]
        ends = [noise_source([seeded(request.seed, number)], 1) for request in (start, end)]
        prompts = [_prompt(start.prompt, end.prompt, share) for share in part]
        yield Stretch(part, prompts, between(ends[0], ends[1], part))


def draw_path(
    pipe: GlyffuserPipeline, start: Request, end: Request, glyphs: int, number: int = 0, tick: Tick = quiet
) -> np.ndarray:
    """The glyphs of `path`, uint8 (glyphs, H, W), ink 0, paper 255. `tick` counts batches times steps."""
    settings = start.settings() | edit_settings(pipe, start)
    steps, batches = taken(settings), -(-glyphs // BATCH)
    done = []
    for i, stretch in enumerate(path(start, end, glyphs, number)):
        for step in pipe.stream(stretch.prompts, generator=stretch.noise, **settings):
            x = step.x
            tick(i * steps + step.i + 1, batches * steps)
        done.append(to_grey(x))
    return np.concatenate(done)


def _prompt(one: str, other: str, share: float) -> str:
    """The prompt at a share of the way; the ends as they were."""
    if one == other or share == 0:
        return one
    if share == 1:
        return other
    near, far = read_mixture(one), read_mixture(other)
    weights = [(1 - share) * weight for weight in near.weights] + [share * weight for weight in far.weights]
    return written(near.texts + far.texts, weights)
