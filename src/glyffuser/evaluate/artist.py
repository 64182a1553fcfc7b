"""What an evaluation draws, and how much of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from glyffuser.base.pictures import to_grey
from glyffuser.base.processes import LONE, Crew
from glyffuser.config import GUIDANCE, STEPS
from glyffuser.generate.cascade import enlarge
from glyffuser.generate.draw import Tick, draw
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request
from glyffuser.judge.prompts import GOLD, OTHER_PARAPHRASES, PARAPHRASES, PROMPTS
from glyffuser.networks.upscaler import Upscaler

GOLD_GLYPHS = 16  # per prompt and seed
PAIR = 2  # glyphs per prompt that the curves use: the fewest that can differ
DRAWN = ("steps", "guidance", "sampler", "eta", "style")  # settings that a Request has too
# Numbers of the first glyphs for definitions and for each list of paraphrases.
DEFINITIONS, OURS, OTHERS = 100_000, 200_000, 300_000


@dataclass(frozen=True)
class EvaluationSettings:
    """How much is drawn, and how. A curve varies steps or guidance, two glyphs per prompt, from the same noise."""

    per_prompt: int = 4  # glyphs for each of the 80 prompts
    gold_seeds: int = 4  # seeds of 16 glyphs for each of the gold prompts
    paraphrases: int = 2  # glyphs for each of the 81 paraphrases, and of the 100 by another writer
    told: int = 2  # glyphs for each prompt, at most per_prompt, that are told its radical, if the network takes one
    told_seeds: int = 2  # seeds of 16 glyphs, told the radical, for each of the gold prompts
    definitions: int = 420  # held-out definitions, one glyph each, for the distribution
    references: int = 100_000  # most training definitions among which those nearest to a prompt are sought
    steps: int = STEPS
    guidance: float = GUIDANCE
    sampler: str | None = None
    eta: float | None = None
    style: str | None = None
    seed: int = 0
    curve_steps: tuple[int, ...] = (1, 4, 8, 40)
    curve_guidance: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)

    @property
    def told_each(self) -> int:
        """Glyphs for each prompt that are told its radical: each has one drawn from the text alone beside it."""
        return min(self.told, self.per_prompt)


QUICK = EvaluationSettings(
    per_prompt=1,
    gold_seeds=1,
    paraphrases=1,
    told=1,
    told_seeds=1,
    definitions=200,
    references=4000,
    steps=15,
    curve_steps=(),
    curve_guidance=(),
)


class Artist:
    """Draws a model's glyphs as the settings say, shared among the processes of a crew, and counts the work done.

    `chain`: the upscalers that enlarge what it draws, see generate/cascade.py; their work is not counted.
    """

    def __init__(
        self,
        pipe: GlyffuserPipeline,
        settings: EvaluationSettings,
        tick: Tick,
        crew: Crew = LONE,
        chain: Sequence[Upscaler] = (),
    ):
        self.pipe, self.settings, self.tick, self.crew, self.chain = pipe, settings, tick, crew, chain
        self.done, self.total = 0, work(settings, takes_radical(pipe))

    def draw(
        self,
        prompts: Sequence[str],
        numbers: Sequence[int],
        seed: int = 0,
        radical: int | None = None,
        finish: Callable[[Tensor], np.ndarray] = to_grey,
        **changed: Any,
    ) -> np.ndarray:
        """One glyph per prompt, uint8 (N, H, W), with the given numbers under a seed.

        `seed` is added to that of the settings; `radical` as in a Request; `finish` as in `draw`; `changed`: settings
        to replace.
        """
        s = replace(self.settings, **changed)
        before = self.done
        if self.pipe.unconditional:
            prompts = [""] * len(prompts)  # so that the hit rates are those of chance

        def advance(done: int, total: int) -> None:
            self.done = before + len(prompts) * s.steps * done // total
            self.tick(self.done, self.total)

        request = Request(**{name: getattr(s, name) for name in DRAWN}, seed=s.seed + seed, radical=radical)
        images = draw(self.pipe, prompts, request, numbers=numbers, tick=advance, finish=finish, crew=self.crew)
        if not self.chain:
            return images
        each = images.reshape(len(numbers), -1, *images.shape[-2:])  # `finish` may make several of each glyph
        large = [enlarge(self.chain, each[:, k], request.seed, numbers, crew=self.crew) for k in range(each.shape[1])]
        return np.stack(large, axis=1).reshape(*images.shape[:-2], *large[0].shape[-2:])

    def gold(self, text: str, seeds: int, radical: int | None = None) -> np.ndarray:
        """Glyphs of a gold prompt, 16 per seed, as `glyffuser sample` draws them."""
        numbers = range(GOLD_GLYPHS)
        return np.concatenate([self.draw([text] * GOLD_GLYPHS, numbers, seed, radical) for seed in range(seeds)])


def curve_rows(per_prompt: int) -> list[int]:
    """Which of the glyphs of all prompts, `per_prompt` each, the curves draw again."""
    return [i * per_prompt + k for i in range(len(PROMPTS)) for k in range(min(PAIR, per_prompt))]


def takes_radical(pipe: GlyffuserPipeline) -> bool:
    """Whether a model can be told a radical."""
    return bool(pipe.unet.config.num_class_embeds)


def work(settings: EvaluationSettings, told: bool) -> int:
    """Glyphs times steps of a whole evaluation; `told`: of a model that can be told a radical."""
    s = settings
    glyphs = len(PROMPTS) * s.per_prompt + len(GOLD) * GOLD_GLYPHS * s.gold_seeds
    glyphs += (len(PARAPHRASES) + len(OTHER_PARAPHRASES)) * s.paraphrases + s.definitions
    if told:
        glyphs += len(PROMPTS) * s.told_each + len(GOLD) * GOLD_GLYPHS * s.told_seeds
    points = sum({*s.curve_steps} - {s.steps}) + s.steps * len({*s.curve_guidance} - {s.guidance})
    return glyphs * s.steps + len(curve_rows(s.per_prompt)) * points
