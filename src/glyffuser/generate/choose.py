"""Choosing: draw more glyphs than are wanted, leave out those that exist as characters, keep the best."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from glyffuser.base.errors import UserError
from glyffuser.base.processes import LONE, Crew
from glyffuser.data.radicals import RADICALS
from glyffuser.generate.draw import BATCH, Tick, draw, taken
from glyffuser.generate.edits import edit_settings
from glyffuser.generate.mixtures import together
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request
from glyffuser.judge.judges import Judges
from glyffuser.judge.novelty import Ideographs, Match

PATIENCE = 8  # at most this many times the glyphs wanted are drawn, to replace those that exist


@dataclass(frozen=True)
class Chosen:
    """The glyphs kept: pictures uint8 (n, H, W), their numbers under the seed, and the ideograph nearest to each."""

    images: np.ndarray
    numbers: list[int]
    matches: list[Match]


def choose(
    pipe: GlyffuserPipeline,
    request: Request,
    table: Ideographs,
    selector: Judges | None,
    tick: Tick,
    images: np.ndarray | None = None,
    crew: Crew = LONE,
) -> Chosen:
    """Draw what a request wants, n times `best_of` glyphs, and keep n.

    `images` are these glyphs, if they are drawn already. The processes of `crew` share what is drawn here.
    If only new glyphs are wanted, others are drawn in place of those that exist in `table`, up to 8 times as many in
    all; there may then be fewer than `best_of` to choose each from. `selector` chooses the best; it may be None if
    `best_of` is 1. `tick(done, total)` counts steps, and replacing adds to both. Raises UserError if not even n glyphs
    are new.
    """
    wanted = request.n * request.best_of
    pool = Chosen(np.empty((0, 0, 0), np.uint8), [], [])
    drawn, before, missing = 0, 0, wanted
    each = steps_of(pipe, request)
    while missing:

        def on(done: int, total: int, before: int = before) -> None:
            tick(before + done, before + total)

        numbers = range(drawn, drawn + missing)
        if images is None:
            images = draw(pipe, [request.prompt] * missing, request, numbers=numbers, tick=on, crew=crew)
        drawn, before = drawn + missing, before + batches(missing) * each
        pool = joined(pool, Chosen(images, list(numbers), table.nearest(images)), request.only_new)
        images = None
        missing = min(wanted - len(pool.numbers), PATIENCE * wanted - drawn)
    if len(pool.numbers) < request.n:
        raise UserError(
            f"of {drawn} glyphs for {request.prompt!r}, {drawn - len(pool.numbers)} exist already; "
            "ask for fewer, or use --no-new"
        )
    if selector is None or request.best_of == 1:
        return pool
    expected = torch.zeros(len(RADICALS))  # without a prompt all radicals are equal: form alone decides
    if not pipe.unconditional:
        texts, weights = together([request.prompt])
        wanted_each = selector.expect(pipe.text_encoder, texts) + weights.clamp(min=1e-9).log()  # (K, 214)
        expected = torch.logsumexp(wanted_each, dim=0)  # of a mixture, any of its meanings
    return part(pool, best(selector.merit(selector(pool.images), expected), request.n))


def steps_of(pipe: GlyffuserPipeline, request: Request) -> int:
    """The steps that a batch of a request takes. UserError if its edit is not possible."""
    return taken(request.settled(pipe.usual).settings() | edit_settings(pipe, request))


def batches(glyphs: int) -> int:
    """How many batches this many glyphs take."""
    return math.ceil(glyphs / BATCH)


def joined(pool: Chosen, more: Chosen, only_new: bool) -> Chosen:
    """Both, the latter without glyphs that exist if only new ones are wanted."""
    kept = part(more, [i for i, match in enumerate(more.matches) if not (only_new and match.exists)])
    if not pool.numbers:
        return kept
    images = np.concatenate([pool.images, kept.images])
    return Chosen(images, pool.numbers + kept.numbers, pool.matches + kept.matches)


def part(pool: Chosen, rows: Sequence[int]) -> Chosen:
    """Some of the glyphs, by place."""
    return Chosen(pool.images[list(rows)], [pool.numbers[i] for i in rows], [pool.matches[i] for i in rows])


def best(merit: Tensor, n: int) -> list[int]:
    """The places of the n with the most merit (N,), in the order of drawing; among equals, the earlier."""
    return sorted(torch.argsort(merit, descending=True, stable=True)[:n].tolist())
