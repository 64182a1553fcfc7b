"""Paths: from the glyphs of one request to those of another, through glyphs in between.

Prompts and styles become mixtures, with weights that move from one to the other (generate/mixtures.py, hands.py): what
the denoiser predicts for each is mixed, not what it is told, since half a radical number means nothing. Noise moves
along the sphere from one seed's to the other's (Shoemake 1985), at the start and in every step, so that it stays
standard normal and neighbouring glyphs are alike; except with dpm-sde, which draws a new path for each. Requests of one
seed share their noise.
"""

from collections.abc import Iterator, Sequence
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
    """Some glyphs of a path, a batch for `GlyffuserPipeline.stream`: their prompts, the noise of all (as `generator`),
    and their styles, or None.
    """

    prompts: list[str]
    noise: Noise
    styles: list[str] | None


def path(start: Request, end: Request, places: Sequence[tuple[float, int]]) -> Iterator[Stretch]:
    """Glyphs on the way from one request to another, at most 16 at a time.

    `places`: how far along each is, 0 to 1, and its number under the seeds. At 0 and 1 they are those of the requests.
    UserError if the requests differ in more than prompt, seed and style, or only one of them has a style.
    """
    if replace(start, prompt=end.prompt, seed=end.seed, style=end.style) != end:
        raise UserError("the ends of a path may differ in prompt, seed and style alone; give both the same settings")
    if (start.style is None) != (end.style is None):
        raise UserError("a path between styles needs one at both ends")
    for first in range(0, len(places), BATCH):
        part = places[first : first + BATCH]
        near, far = (noise_source([seeded(r.seed, number) for _, number in part], len(part)) for r in (start, end))
        shares = [share for share, _ in part]
        noise = near if start.seed == end.seed else between(near, far, shares)  # which is for independent sources
        prompts = [_mixed(start.prompt, end.prompt, share) for share in shares]
        styles = [_mixed(start.style, end.style, share) for share in shares] if start.style and end.style else None
        yield Stretch(prompts, noise, styles)


def draw_path(
    pipe: GlyffuserPipeline,
    start: Request,
    end: Request,
    shares: Sequence[float],
    numbers: Sequence[int] = (0,),
    tick: Tick = quiet,
) -> np.ndarray:
    """Glyphs of these numbers at each share of the way, uint8 (shares, numbers, H, W), ink 0, paper 255.

    `tick` counts batches times steps.
    """
    places = [(share, number) for share in shares for number in numbers]
    settings = start.settled(pipe.usual).settings() | edit_settings(pipe, start)
    steps, batches = taken(settings), -(-len(places) // BATCH)
    done = []
    for i, stretch in enumerate(path(start, end, places)):
        for step in pipe.stream(stretch.prompts, generator=stretch.noise, **settings | {"style": stretch.styles}):
            x = step.x
            tick(i * steps + step.i + 1, batches * steps)
        done.append(to_grey(pipe.decode(x)))
    drawn = np.concatenate(done)
    return drawn.reshape(len(shares), len(numbers), *drawn.shape[1:])


def _mixed(one: str, other: str, share: float) -> str:
    """The prompt, or the style, at a share of the way; the ends as they were."""
    if one == other or share == 0:
        return one
    if share == 1:
        return other
    near, far = read_mixture(one), read_mixture(other)
    weights = [(1 - share) * weight for weight in near.weights] + [share * weight for weight in far.weights]
    return written(near.texts + far.texts, weights)
