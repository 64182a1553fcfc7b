"""One evaluation of one model: glyphs drawn, read, scored and compared with real ones.

The questions: do glyphs carry the radical of what was asked (meaning), are they well formed (plausibility), are they
new and varied (novelty), do they fall where real glyphs fall (distribution), are they crisp? Every number stands beside
what real glyphs reach by the same measure.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from glyffuser.base.errors import UserError
from glyffuser.base.weights import weights_hash
from glyffuser.config import GUIDANCE, STEPS
from glyffuser.data.dataset import GlyphData
from glyffuser.evaluate.meaning import meaning, references, shares
from glyffuser.evaluate.metrics import (
    Neighbours,
    frechet_distance,
    kernel_distance,
    median_distance,
    nearest,
    rbf_distance,
    support,
)
from glyffuser.generate.draw import Tick, draw, quiet
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request
from glyffuser.judge.judges import Judged, Judges
from glyffuser.judge.prompts import GOLD, PROMPTS

COPY_OVERLAP = 0.85  # ink overlap with a training glyph from which a glyph counts as a copy of it
CLEAR = 3  # pixels from any ink beyond which paper is to be exactly white
GOLD_GLYPHS = 16  # a prompt and seed


@dataclass(frozen=True)
class EvaluationSettings:
    """How much is drawn, and how. A curve varies steps or guidance, one glyph a prompt, from the same noise."""

    per_prompt: int = 4  # glyphs for each of the 80 prompts
    gold_seeds: int = 4  # seeds of 16 glyphs for each of the gold prompts
    definitions: int = 420  # held-out definitions, one glyph each, for the distribution
    steps: int = STEPS
    guidance: float = GUIDANCE
    sampler: str | None = None
    seed: int = 0
    curve_steps: tuple[int, ...] = (10, 20, 60)
    curve_guidance: tuple[float, ...] = (1.0, 3.0, 6.0)


QUICK = EvaluationSettings(per_prompt=1, gold_seeds=1, definitions=200, steps=15, curve_steps=(), curve_guidance=())


@dataclass
class Evaluation:
    """What was measured (`numbers`, for JSON) and on what: glyphs of all prompts, of the gold prompts by seed, of
    held-out definitions, and the nearest training glyph of the latter and of the glyphs of all prompts."""

    numbers: dict[str, Any]
    prompts: Judged
    gold: dict[str, Judged]
    definitions: Judged
    neighbours: Neighbours
    training: GlyphData


class Artist:
    """Draws glyphs of a model as the settings say, and counts the work done."""

    def __init__(self, pipe: GlyffuserPipeline, settings: EvaluationSettings, tick: Tick):
        self.pipe, self.settings, self.tick = pipe, settings, tick
        self.done, self.total = 0, work(settings)

    def draw(self, prompts: Sequence[str], first: int, seed: int = 0, **changed: Any) -> np.ndarray:
        """One glyph a prompt, uint8 (N, H, W), the first of them glyph number `first` of a seed.

        `seed` counts from that of the settings; `changed`: other settings.
        """
        s = replace(self.settings, **changed)
        before = self.done

        def advance(done: int, total: int) -> None:
            self.done = before + len(prompts) * s.steps * done // total
            self.tick(self.done, self.total)

        numbers = range(first, first + len(prompts))
        request = Request(steps=s.steps, guidance=s.guidance, sampler=s.sampler, seed=s.seed + seed)
        return draw(self.pipe, prompts, request, numbers=numbers, tick=advance)


def evaluate(
    pipe: GlyffuserPipeline,
    judges: Judges,
    training: GlyphData,
    held_out: GlyphData,
    settings: EvaluationSettings,
    progress: Tick = quiet,
) -> Evaluation:
    """Measure a model. `training` and `held_out` are the splits of one data set, of the model's picture size.

    Same arguments, same numbers (but for the seconds). `progress(done, total)` counts glyphs times steps.
    Raises UserError where a metric would rest on too few glyphs.
    """
    check(pipe, training, held_out, settings)
    artist = Artist(pipe, settings, progress)
    gold, seconds = draw_gold(artist, judges)
    prompts = judges(artist.draw([p.text for p in PROMPTS for _ in range(settings.per_prompt)], first=0))
    rows = np.random.default_rng(settings.seed).permutation(len(held_out))[: settings.definitions]
    definitions = judges(artist.draw([held_out.definitions[i] for i in rows], first=100_000))
    test, real = judges(held_out.images), judges.recogniser.read(training.images).features
    everything = prompts + definitions
    found = nearest(everything.features, everything.images, real, training.images, COPY_OVERLAP)
    of_real = nearest(test.features, test.images, real, training.images, COPY_OVERLAP)
    # The floor: as many training glyphs as were generated, against the same held-out ones.
    some = torch.from_numpy(np.random.default_rng(settings.seed).permutation(len(real))[: len(definitions)])
    numbers = {
        "facts": facts(pipe, judges, training, settings),
        "meaning": {
            **meaning(prompts, references(pipe, training), settings.per_prompt),
            "gold": {text: {"hits": int(g.hits((167,)).sum()), "of": len(g)} for text, g in gold.items()},
            "recogniser": float((test.radical.argmax(1).numpy() + 1 == held_out.radicals).mean()),
        },
        "plausibility": {
            "flagged": float(everything.flagged.double().mean()),
            "real_flagged": float(test.flagged.double().mean()),
            "threshold": judges.plausibility.config.threshold,
        },
        "novelty": {
            "copy_rate": float(found.copied.double().mean()),
            "real_copy_rate": float(of_real.copied.double().mean()),
            "overlap": float(found.overlap.median()),
            "real_overlap": float(of_real.overlap.median()),
        },
        "distribution": distribution(definitions.features, test.features, real[some]),
        "crispness": {"glyphs": crispness(everything.images), "real": crispness(held_out.images)},
        "best_of": best_of(judges, prompts, pipe, settings.per_prompt),
        "curves": curves(artist, judges),
        "seconds_for_16_glyphs": round(seconds, 2),
    }
    return Evaluation(numbers, prompts, gold, definitions, found, training)


def facts(pipe: GlyffuserPipeline, judges: Judges, training: GlyphData, settings: EvaluationSettings) -> dict[str, Any]:
    """What was measured by what: hashes of model and judges, settings, data."""
    return {
        "model": weights_hash(pipe.unet),
        "judges": judges.hashes(),
        "sampler": settings.sampler or pipe.sampler_name,
        "settings": asdict(settings),
        "fonts": sorted(set(training.fonts)),
        "training_glyphs": len(training),
    }


def check(pipe: GlyffuserPipeline, training: GlyphData, held_out: GlyphData, settings: EvaluationSettings) -> None:
    """UserError where the data do not fit the model or are too few."""
    size, wanted = training.images.shape[1], pipe.unet.config.sample_size
    if size != wanted:
        raise UserError(f"the model draws {wanted}-pixel glyphs, the data set holds {size}-pixel ones; build another")
    if len(held_out) < settings.definitions:
        raise UserError(
            f"the comparison needs {settings.definitions} held-out glyphs, the data set has {len(held_out)}; "
            "lower --definitions, or build a larger data set"
        )


def work(settings: EvaluationSettings) -> int:
    """Glyphs times steps of a whole evaluation."""
    glyphs = len(PROMPTS) * settings.per_prompt + len(GOLD) * GOLD_GLYPHS * settings.gold_seeds + settings.definitions
    curve = 0
    if settings.curve_steps:
        curve = sum({settings.steps, *settings.curve_steps})
        curve += settings.steps * len({*settings.curve_guidance} - {settings.guidance})
    return glyphs * settings.steps + len(PROMPTS) * curve


def draw_gold(artist: Artist, judges: Judges) -> tuple[dict[str, Judged], float]:
    """The gold prompts, 16 glyphs a seed, as `glyffuser sample` draws them; and the seconds of the last 16."""
    gold, seconds = {}, 0.0
    for prompt in GOLD:
        images = []
        for seed in range(artist.settings.gold_seeds):
            start = time.perf_counter()
            images.append(artist.draw([prompt.text] * GOLD_GLYPHS, first=0, seed=seed))
            seconds = time.perf_counter() - start
        gold[prompt.text] = judges(np.concatenate(images))
    return gold, seconds


def distribution(fake: Tensor, held_out: Tensor, training: Tensor) -> dict[str, Any]:
    """Distances and support of generated glyphs against held-out real ones; "real" is training glyphs against the same.

    All are features (N, D) of the recogniser, so none of the distances is an "FID": that belongs to Inception features.
    """
    bandwidth = median_distance(held_out)

    def compare(a: Tensor) -> dict[str, float]:
        return {
            "frechet": frechet_distance(a, held_out),
            "kernel": kernel_distance(a, held_out),
            "rbf": rbf_distance(a, held_out, bandwidth),
            **support(held_out, a)._asdict(),
        }

    counts = {"n": len(fake), "n_real": len(held_out)}
    return {**counts, "generated": compare(fake), "real": compare(training)}


def crispness(images: np.ndarray) -> dict[str, float]:
    """How crisp and clean pictures are, uint8 (N, H, W), paper 255.

    `grey`: pixels neither ink nor paper for each pixel of ink; `dirty`: share of glyphs whose outermost two rows and
    columns are not exactly paper; `specks`: share of those with a pixel that is not exactly paper far from all ink.
    """
    grey = ((images > 25) & (images < 230)).sum() / np.maximum((images <= 25).sum(), 1)
    inside = np.zeros(images.shape[1:], dtype=bool)
    inside[2:-2, 2:-2] = True
    near = max_pool2d(torch.from_numpy(images < 128).float()[:, None], 2 * CLEAR + 1, 1, CLEAR)[:, 0].bool().numpy()
    return {
        "grey": float(grey),
        "dirty": float((images[:, ~inside] < 255).any(axis=1).mean()),
        "specks": float(((images < 255) & ~near).any(axis=(1, 2)).mean()),
    }


def best_of(judges: Judges, glyphs: Judged, pipe: GlyffuserPipeline, per_prompt: int) -> dict[str, float] | None:
    """Hit rate and flagged share if only the best of each prompt's glyphs is kept; None where there is but one, or
    where the judges cannot read the model's prompts.

    The judges that choose are those that count, so the gain is what they can give at most.
    """
    if per_prompt == 1 or not judges.understand(pipe.text_encoder):
        return None
    texts = [prompt.text for prompt in PROMPTS]
    expected = judges.expect(pipe.text_encoder, texts).repeat_interleave(per_prompt, dim=0)
    merit = judges.merit(glyphs, expected).view(len(texts), per_prompt)
    kept = glyphs.part(merit.argmax(dim=1) + per_prompt * torch.arange(len(texts)))
    return {"k": per_prompt, **shares(kept)}


def curves(artist: Artist, judges: Judges) -> dict[str, list[dict[str, float]]]:
    """Hit rate and flagged share against steps and against guidance, one glyph a prompt, always from the same noise."""
    settings, texts = artist.settings, [prompt.text for prompt in PROMPTS]

    def point(**changed: Any) -> dict[str, float]:
        return {**changed, **shares(judges(artist.draw(texts, first=200_000, **changed)))}

    if not settings.curve_steps:
        return {}
    usual = point()  # on both curves, drawn once
    return {
        "steps": [
            usual | {"steps": n} if n == settings.steps else point(steps=n)
            for n in sorted({settings.steps, *settings.curve_steps})
        ],
        "guidance": [
            usual | {"guidance": g} if g == settings.guidance else point(guidance=g)
            for g in sorted({settings.guidance, *settings.curve_guidance})
        ],
    }
