"""Films of glyphs: how they come out of noise, and paths on which one becomes another.

A path (generate/paths.py) is drawn anew at each of its positions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from glyffuser.base.errors import UserError
from glyffuser.base.films import rhythm
from glyffuser.base.noise import seeded
from glyffuser.base.pictures import grey, sheet, to_grey
from glyffuser.generate.draw import Tick, quiet, taken
from glyffuser.generate.paths import draw_path
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request

SHOWN = ("xt", "x0", "both")
MAX_GLYPHS = 64  # in one film
GAP = 8  # pixels between glyphs
BORDER = 16  # pixels around them, and between two sheets


@dataclass(frozen=True)
class Film:
    """Pictures of one size, and the number of the one that represents them all."""

    frames: list[Image.Image]
    poster: int

    def held(self, hold: int) -> "Film":
        """The film with its last frame shown `hold` more times."""
        return Film([self.frames[i] for i in rhythm(len(self.frames), hold)], self.poster)

    def there_and_back(self) -> "Film":
        """The film forwards, then backwards: its last frame leads back to the first."""
        return Film([*self.frames, *self.frames[-2:0:-1]], self.poster)


def denoising(pipe: GlyffuserPipeline, request: Request, shown: str = "x0", tick: Tick = quiet) -> Film:
    """`request.n` glyphs of a prompt coming out of noise, one frame per step.

    `shown`: "xt", the noised glyphs; "x0", what the network expects them to become; or "both", side by side.
    Glyph k is that of `sample` under the same request. UserError for any other `shown` or a setting out of range.
    """
    if shown not in SHOWN:
        raise UserError(f"cannot show {shown!r}; choose one of {', '.join(SHOWN)}")
    check(request)
    generators = [seeded(request.seed, k) for k in range(request.n)]
    settings = request.settled(pipe.usual).settings()
    frames, steps = [], taken(settings)
    for step in pipe.stream([request.prompt] * request.n, generator=generators, **settings):
        last = step.i + 1 == steps
        x, x0, xt = (pipe.decode(part) for part in (step.x, step.x0, step.xt))
        pictures = {"xt": to_grey(x) if last else grey(xt), "x0": to_grey(x if last else x0)}
        frames.append(frame([pictures[name] for name in (("xt", "x0") if shown == "both" else (shown,))]))
        tick(step.i + 1, steps)
    return Film(frames, len(frames) - 1)


def path(
    pipe: GlyffuserPipeline,
    start: Request,
    end: Request,
    shares: Sequence[float],
    tick: Tick = quiet,
) -> Film:
    """`start.n` glyphs at each share of the way, 0 to 1, from one request to the other.

    Repeated shares are drawn once. `tick` counts denoising steps. UserError for a setting out of range.
    """
    check(start)
    once = sorted(set(shares))
    drawn = draw_path(pipe, start, end, once, range(start.n), tick)
    at = {share: frame([glyphs]) for share, glyphs in zip(once, drawn, strict=True)}
    return Film([at[share] for share in shares], len(shares) // 2)


def positions(frames: int, loop: bool) -> list[float]:
    """Where the frames are on a path: evenly from 0 to 1; in a loop, there and back, slower at the ends.

    In a loop, the frame after the last would be the first.
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
