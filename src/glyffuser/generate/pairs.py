"""Pairs of glyphs to choose from: which meanings they have, how they are drawn, and how the selector would choose."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from glyffuser.base.errors import UserError
from glyffuser.base.weights import weights_hash
from glyffuser.data.order import GlyphOrder
from glyffuser.data.pairs import Pair, picture, read_senses
from glyffuser.data.schema import png
from glyffuser.generate.draw import Tick, check_request, draw, quiet
from glyffuser.generate.lists import read_list
from glyffuser.generate.mixtures import read_mixture
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request
from glyffuser.judge.plausibility import Plausibility
from glyffuser.judge.prompts import GOLD, PROMPTS

PERSON = "person"
MEANINGS = 4096  # taken from a data set: more than anyone labels
LONGEST = 200  # characters of a meaning, so that it can be read at a glance
TOLD = ("steps", "sampler", "spacing", "eta", "guidance", "interval", "negative")  # of a request, recorded in the file


class PairSource:
    """An endless sequence of pairs, each determined by its number and the seed alone.

    Args:
        pipe: the model that draws.
        prompts: meanings, each of which comes once per pass, in an order that changes from pass to pass.
        request: how glyphs are drawn; its prompt and n are ignored.
        judge: who chooses.
    """

    def __init__(self, pipe: GlyffuserPipeline, prompts: Sequence[str], request: Request, judge: str = PERSON):
        self.pipe, self.prompts, self.judge = pipe, list(prompts), judge
        self.request = request.settled(pipe.usual)
        check_request(pipe, replace(self.request, prompt=self.prompts[0]))
        self.order = GlyphOrder(np.zeros(len(self.prompts)), 0.0, request.seed)
        self.model = weights_hash(pipe.unet)
        record = self.request.record() | {"sampler": request.sampler or pipe.sampler_name}
        self.settings = json.dumps({name: record[name] for name in TOLD})

    def draw(self, number: int, tick: Tick = quiet) -> Pair:
        """The pair with a number, 0 or more, without a choice: glyphs 2 * number and 2 * number + 1 of the seed."""
        pair = self.blank(number)
        numbers = (pair.left_number, pair.right_number)
        glyphs = draw(self.pipe, [pair.prompt] * 2, self.request, numbers=numbers, tick=tick)
        return replace(pair, left=png(glyphs[0]), right=png(glyphs[1]))

    def blank(self, number: int) -> Pair:
        """The pair with a number before it is drawn, with what is known of it."""
        prompt = self.prompts[int(self.order(np.array([number]))[0])]
        seed, left = self.request.seed, 2 * number
        return Pair(number, prompt, seed, left, left + 1, b"", b"", self.model, self.settings, judge=self.judge)

    def chosen(self, pair: Pair, choice: str) -> Pair:
        """The pair with a choice, made now."""
        return replace(pair, choice=choice, judge=self.judge, time=datetime.now(UTC))


def read_prompts(path: Path, pipe: GlyffuserPipeline) -> list[str]:
    """The meanings in a text file, see `read_list`, each once. UserError if one cannot be used, or there is none."""
    meanings = read_list(path)
    for number, text in meanings.items():
        if reason := unfit(text, pipe):
            raise UserError(f"line {number} of {path}: {reason}")
    return list(dict.fromkeys(meanings.values()))


def known_meanings(path: Path, pipe: GlyffuserPipeline, seed: int) -> list[str]:
    """Meanings that the model has learnt from: some senses of the training split of a data set, shuffled.

    The prompts of the evaluation are left out, so that alignment does not rehearse what is measured.
    """
    measured = {prompt.text.lower() for prompt in (*GOLD, *PROMPTS)}
    senses = [sense for sense in read_senses(path, "train") if sense.lower() not in measured]
    order = np.random.default_rng(seed).permutation(len(senses))[:MEANINGS]
    found = [senses[i] for i in order if unfit(senses[i], pipe) is None]
    if not found:
        raise UserError(f"{path} holds no meanings that this model's text encoder can read; name some with --prompts")
    return found


def unfit(text: str, pipe: GlyffuserPipeline) -> str | None:
    """Why a text cannot be the meaning of a pair; None if it can."""
    if len(text) > LONGEST:
        return f"a meaning of {len(text)} characters is too long; {LONGEST} are read at most"
    try:
        if len(read_mixture(text).texts) > 1:
            return f"{text!r} is a mixture; a pair has one meaning"
        pipe.text_encoder.check(text)
    except UserError as error:
        return str(error)
    return None


def by_flaws(pair: Pair, judge: Plausibility) -> str:
    """What the plausibility network of the selector chooses: the glyph with fewer flaws; "bad" if it flags both.

    The selector chooses and never scores (judge/judges.py), so what learns from its choices is scored by others.
    """
    flaws, _ = judge.score(np.stack([picture(data, f"pair {pair.pair}") for data in (pair.left, pair.right)]))
    if bool((flaws > judge.config.threshold).all()):
        return "bad"
    return "left" if int(torch.argmin(flaws)) == 0 else "right"
