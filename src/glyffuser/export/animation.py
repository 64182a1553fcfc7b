"""Films of glyphs: how they come out of noise, and paths on which one becomes another.

A path is drawn anew at each of its positions, from w = 0 at one end to w = 1 at the other:

- between two prompts, the denoiser is the mixture (1 - w) D(x | A) + w D(x | B). What it expects of each is mixed, not
  what it is told: a radical is a number and a token has its place, so that half of two of them means nothing. The
  gradient of log p that goes with it is the mixture of both, as in Liu et al. 2022 (Compositional visual generation
  with composable diffusion models, section 3.2).
- between two seeds, all noise is cos(w pi/2) a + sin(w pi/2) b, which goes along a great circle (Shoemake 1985, for
  a and b at a right angle, as independent noise is) and stays standard normal: the noise at the beginning, and that
  which a stochastic sampler adds at each step.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from glyffuser.base.errors import UserError
from glyffuser.base.films import rhythm
from glyffuser.base.noise import noise_source, seeded
from glyffuser.base.pictures import grey, sheet, to_grey
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.guidance import Denoiser
from glyffuser.diffusion.samplers import SAMPLERS
from glyffuser.generate.draw import BATCH, Tick, quiet
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request

SHOWN = ("xt", "x0", "both")
MAX_GLYPHS = 64  # in one film
GAP = 8  # pixels between glyphs
BORDER = 16  # pixels around them, and between two sheets


@dataclass(frozen=True)
class Film:
    """Pictures of one size, and the number of the one that stands for them all."""

    frames: list[Image.Image]
    poster: int

    def held(self, hold: int) -> "Film":
        """With the last frame shown `hold` more times."""
        return Film([self.frames[i] for i in rhythm(len(self.frames), hold)], self.poster)

    def there_and_back(self) -> "Film":
        """Forwards, then backwards: the last frame goes over into the first."""
        return Film([*self.frames, *self.frames[-2:0:-1]], self.poster)


def denoising(pipe: GlyffuserPipeline, request: Request, shown: str = "x0", tick: Tick = quiet) -> Film:
    """`request.n` glyphs of a prompt coming out of noise, a frame a step.

    `shown`: "xt", the noised glyphs; "x0", what the network expects them to become; or "both", side by side.
    Glyph k is that of `sample` under the same request. UserError for another `shown` or a setting out of range.
    """
    if shown not in SHOWN:
        raise UserError(f"cannot show {shown!r}; choose one of {', '.join(SHOWN)}")
    check(request)
    generators = [seeded(request.seed, k) for k in range(request.n)]
    frames = []
    for step in pipe.stream([request.prompt] * request.n, generator=generators, **request.settings()):
        last = step.i + 1 == request.steps
        pictures = {"xt": to_grey(step.x) if last else grey(step.xt), "x0": to_grey(step.x if last else step.x0)}
        frames.append(frame([pictures[name] for name in (("xt", "x0") if shown == "both" else (shown,))]))
        tick(step.i + 1, request.steps)
    return Film(frames, len(frames) - 1)


def path(
    pipe: GlyffuserPipeline,
    prompts: tuple[str, str],
    seeds: tuple[int, int],
    positions: Sequence[float],
    request: Request,
    tick: Tick = quiet,
) -> Film:
    """`request.n` glyphs at each position, 0 to 1, of a path from one prompt, or one seed, to the other.

    Positions that occur again are drawn once. Prompt and seed of `request` are ignored; radicals are the likeliest.
    `tick` counts denoising steps. UserError for a setting out of range.
    """
    check(request)
    pipe.check(list(prompts), request.n, request.steps, request.guidance)
    pipe.check_sampler(request.sampler, request.spacing)
    once = sorted(set(positions))
    rows = [(w, k) for w in once for k in range(request.n)]
    drawn: list[np.ndarray] = []
    total = math.ceil(len(rows) / BATCH) * request.steps
    for first in range(0, len(rows), BATCH):

        def on(i: int, n: int, done: int = first // BATCH * request.steps) -> None:
            tick(done + i, total)

        drawn.append(_drawn(pipe, prompts, seeds, rows[first : first + BATCH], request, on))
    pictures = np.concatenate(drawn)
    at = {w: frame([pictures[i * request.n : (i + 1) * request.n]]) for i, w in enumerate(once)}
    return Film([at[w] for w in positions], len(positions) // 2)


def _drawn(
    pipe: GlyffuserPipeline,
    prompts: tuple[str, str],
    seeds: tuple[int, int],
    rows: list[tuple[float, int]],
    request: Request,
    tick: Tick,
) -> np.ndarray:
    """One glyph for each position and number, uint8 (N, H, W)."""
    config, schedule = pipe.unet.config, pipe.schedule
    weights = torch.tensor([w for w, _ in rows]).view(-1, 1, 1, 1)
    sources = [noise_source([seeded(seed, k) for _, k in rows], len(rows)) for seed in seeds]

    def noise(x: Tensor, *interval: Tensor) -> Tensor:
        one, other = (source(x) for source in sources)
        return between(one, other, weights)

    D, cond = mixture(pipe, request, prompts, weights)
    sigmas = schedule.sigmas(request.steps, spacing=request.spacing)
    x = sigmas[0] * noise(torch.empty(len(rows), config.in_channels, config.sample_size, config.sample_size))
    for step in SAMPLERS[request.sampler or pipe.sampler_name](D, x, sigmas, cond, noise):
        tick(step.i + 1, request.steps)
    return to_grey(step.x)


def mixture(
    pipe: GlyffuserPipeline, request: Request, prompts: tuple[str, str], weights: Tensor
) -> tuple[Denoiser, Condition]:
    """The denoiser that goes from one prompt to the other by weights (B, 1, 1, 1), and a condition to call it with."""
    guided = pipe.denoiser(request.guidance, request.negative, request.interval)
    ends = [pipe.condition([prompt], len(weights)) for prompt in prompts]
    if prompts[0] == prompts[1]:
        return guided, ends[0]

    def D(x: Tensor, sigma: Tensor, cond: Condition | None) -> Tensor:
        return torch.lerp(guided(x, sigma, ends[0]), guided(x, sigma, ends[1]), weights.to(x))

    return D, ends[0]


def between(one: Tensor, other: Tensor, weights: Tensor) -> Tensor:
    """Independent noise mixed on a great circle: `one` at weight 0, `other` at weight 1, standard normal all along."""
    return (weights * (math.pi / 2)).cos() * one + (weights * (math.pi / 2)).sin() * other


def positions(frames: int, loop: bool) -> list[float]:
    """Where on a path the frames are: evenly from 0 to 1; in a loop there and back, slower at the ends.

    The frame after the last would be the first.
    """
    if not loop:
        return [i / (frames - 1) for i in range(frames)]
    there = [round((1 - math.cos(2 * math.pi * i / frames)) / 2, 9) for i in range(frames // 2 + 1)]
    return [*there, *there[(frames - 1) // 2 : 0 : -1]]


def frame(sheets: Sequence[np.ndarray]) -> Image.Image:
    """Glyphs uint8 (N, H, W) as one grey picture: in a block as square as possible; several sets side by side."""
    columns = math.ceil(math.sqrt(len(sheets[0])))
    blocks = [np.pad(sheet(images, columns, GAP), BORDER, constant_values=255) for images in sheets]
    return Image.fromarray(np.hstack(blocks))


def check(request: Request) -> None:
    """UserError for more glyphs than a film has room for, or another setting out of range."""
    request.check()
    if request.n > MAX_GLYPHS:
        raise UserError(f"-n must be between 1 and {MAX_GLYPHS} in a film, not {request.n}")
