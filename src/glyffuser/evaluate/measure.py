"""One evaluation of one model: glyphs drawn, read, scored and compared with real ones.

The questions: do glyphs carry the radical of what was asked (meaning), are they well formed (plausibility), are they
new and varied (novelty), do they fall where real glyphs fall (distribution), are they crisp? Numbers stand beside what
real glyphs reach by the same measure. The judges score all glyphs; those of "best of" were chosen by the selector.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glyffuser.base.errors import UserError
from glyffuser.base.processes import LONE, Crew
from glyffuser.base.weights import weights_hash
from glyffuser.data.dataset import GlyphData
from glyffuser.evaluate.artist import DEFINITIONS, OTHERS, OURS, Artist, EvaluationSettings, curve_rows
from glyffuser.evaluate.attention import attention
from glyffuser.evaluate.meaning import (
    NEAREST,
    draw_paraphrases,
    gold_hits,
    meaning,
    nearest_rows,
    own_ranks,
    references,
    shares,
    told,
)
from glyffuser.evaluate.metrics import (
    frechet_distance,
    kernel_distance,
    median_distance,
    rbf_distance,
    support,
    variety,
)
from glyffuser.evaluate.paper import crispness, drawn_and_levelled
from glyffuser.generate.cascade import plan
from glyffuser.generate.draw import Tick, quiet
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request
from glyffuser.judge.contrastive import Contrastive
from glyffuser.judge.judges import PAIR, Judged, Judges
from glyffuser.judge.novelty import EXISTS, Ideographs, Match
from glyffuser.judge.prompts import GOLD, OTHER_PARAPHRASES, PARAPHRASES, PROMPTS
from glyffuser.networks.upscaler import Upscaler


@dataclass(frozen=True)
class Measures:
    """What glyphs are measured with: the judges, which score; the selector, which chooses; the characters that exist;
    and the contrastive model, which scores too."""

    judges: Judges
    selector: Judges
    ideographs: Ideographs
    contrastive: Contrastive


@dataclass
class Evaluation:
    """What was measured (`numbers`, for JSON) and on what: glyphs of all prompts, of both lists of paraphrases, of
    the gold prompts, of held-out definitions; for the first and the last of these, also the texts and the nearest
    ideographs."""

    numbers: dict[str, Any]
    prompts: Judged
    paraphrases: Judged
    others: Judged
    gold: dict[str, Judged]
    definitions: Judged
    texts: list[str]
    matches: list[Match]
    ideographs: Ideographs


def evaluate(
    pipe: GlyffuserPipeline,
    measures: Measures,
    training: GlyphData,
    held_out: GlyphData,
    settings: EvaluationSettings,
    progress: Tick = quiet,
    crew: Crew = LONE,
    upscalers: Sequence[Upscaler] = (),
) -> Evaluation:
    """Measure a model. `training` and `held_out` are the splits of one data set, at the model's picture size, or at the
    size to which `upscalers` enlarge its glyphs.

    The same arguments give the same numbers (except the seconds), however many processes of `crew` share the drawing;
    each of them measures all that was drawn and gets the same evaluation. `progress(done, total)` counts glyphs times
    steps. Raises UserError for data of another size, and where a metric would rest on too few glyphs.
    """
    judges = measures.judges
    chain = plan(pipe.size, training.images.shape[1], upscalers) if upscalers else []
    check(chain[-1].config.sample_size if chain else pipe.size, training, held_out, settings, judges)
    artist = Artist(pipe, settings, progress, crew, chain)
    gold, seconds = draw_gold(artist, judges)
    texts = [p.text for p in PROMPTS for _ in range(settings.per_prompt)]
    prompts = judges(artist.draw(texts, range(len(texts))))
    chosen = some(held_out, settings.definitions, settings.seed)
    texts += [held_out.definitions[i] for i in chosen]
    numbered = range(DEFINITIONS, DEFINITIONS + settings.definitions)
    pictures = artist.draw(texts[len(prompts) :], numbered, finish=drawn_and_levelled)
    definitions = judges(pictures[:, 1])
    paraphrases = draw_paraphrases(artist, judges, PARAPHRASES, OURS)
    others = draw_paraphrases(artist, judges, OTHER_PARAPHRASES, OTHERS)
    wished = told(artist, judges)
    matches = measures.ideographs.nearest(np.concatenate([prompts.images, definitions.images]))
    test = judges(held_out.images)
    # The floor: as many training glyphs as were generated, against the same held-out ones.
    floor = judges.recogniser.read(training.images[some(training, len(definitions), settings.seed)]).features
    known = training.select(some(training, settings.references, settings.seed))
    asked = [*PROMPTS, *PARAPHRASES, *OTHER_PARAPHRASES]  # at once, since all known definitions are encoded for it
    ends = [len(PROMPTS), len(PROMPTS) + len(PARAPHRASES)]
    near, near_ours, near_others = np.split(nearest_rows(pipe, known, asked), ends)
    relatives = judges.recogniser.read(known.images[near[:, :NEAREST].ravel()]).features
    numbers = {
        "facts": facts(pipe, measures, training, settings, chain),
        "meaning": {
            **meaning(prompts, PROMPTS, references(known, near, PROMPTS)),
            "gold": gold_hits(gold),
            "told": wished,
            "paraphrases": meaning(paraphrases, PARAPHRASES, references(known, near_ours, PARAPHRASES)),
            "others": meaning(others, OTHER_PARAPHRASES, references(known, near_others, OTHER_PARAPHRASES)),
            "ranks": own_ranks(measures.contrastive, judges.recogniser, pipe.text_encoder, prompts.features, relatives),
            "recogniser": float((test.radical.argmax(1).numpy() + 1 == held_out.radicals).mean()),
        },
        "attention": attention(pipe, texts[: len(prompts)], prompts.images, settings.seed, settings.style),
        "plausibility": {
            "flagged": float((prompts + definitions).flagged.double().mean()),
            "real_flagged": float(test.flagged.double().mean()),
            "threshold": judges.plausibility.config.threshold,
        },
        "novelty": novelty(measures.ideographs, matches, texts, held_out.select(chosen)),
        "variety": spread(prompts, relatives),
        "distribution": distribution(definitions.features, test.features, floor),
        "crispness": {
            name: crispness(images)
            for name, images in (("drawn", pictures[:, 0]), ("glyphs", pictures[:, 1]), ("real", held_out.images))
        },
        "best_of": best_of(measures, prompts, matches[: len(prompts)], pipe, settings.per_prompt),
        "curves": curves(artist, judges, prompts),
        "seconds_for_16_glyphs": round(seconds, 2),
    }
    return Evaluation(numbers, prompts, paraphrases, others, gold, definitions, texts, matches, measures.ideographs)


def some(data: GlyphData, count: int, seed: int) -> np.ndarray:
    """The rows of `count` glyphs of a split, drawn at random by a seed."""
    return np.random.default_rng(seed).permutation(len(data))[:count]


def facts(
    pipe: GlyffuserPipeline,
    measures: Measures,
    training: GlyphData,
    settings: EvaluationSettings,
    chain: Sequence[Upscaler],
) -> dict[str, Any]:
    """What was measured, and with what: hashes of model, upscalers and judges, settings, data."""
    return {
        "model": weights_hash(pipe.unet),
        "upscalers": [weights_hash(upscaler) for upscaler in chain],
        "judges": measures.judges.hashes(),
        "selector": {name: measures.selector.hashes()[name] for name in PAIR},
        "contrastive": weights_hash(measures.contrastive),
        "sampler": settings.sampler or pipe.sampler_name,
        "settings": asdict(settings),
        "fonts": sorted(set(training.fonts)),
        "training_glyphs": len(training),
    }


def check(wanted: int, training: GlyphData, held_out: GlyphData, settings: EvaluationSettings, judges: Judges) -> None:
    """UserError for settings out of range, and for data that are not of the glyphs' size, or too few for distances
    between the judges' features.
    """
    Request(seed=settings.seed).check()
    if settings.per_prompt < 1:
        raise UserError(f"--per-prompt must be 1 or more, not {settings.per_prompt}")
    size, features = training.images.shape[1], judges.recogniser.config.feature_dim
    if size != wanted:
        raise UserError(f"the model draws {wanted}-pixel glyphs, the data set holds {size}-pixel ones; build another")
    if len(held_out) < settings.definitions:
        raise UserError(
            f"the comparison needs {settings.definitions} held-out glyphs, but the data set has {len(held_out)}; "
            "lower --definitions, or build a larger data set"
        )
    if settings.definitions <= features:  # said here, before anything is drawn
        raise UserError(f"the Fréchet distance needs {features + 1} glyphs: raise --definitions {settings.definitions}")


def draw_gold(artist: Artist, judges: Judges) -> tuple[dict[str, Judged], float]:
    """Glyphs of the gold prompts, 16 per seed, as `glyffuser sample` draws them; and the seconds that 16 took."""
    gold, seeds, start = {}, artist.settings.gold_seeds, time.perf_counter()
    images = {prompt.text: artist.gold(prompt.text, seeds) for prompt in GOLD}
    seconds = (time.perf_counter() - start) / (seeds * len(GOLD))
    gold = {text: judges(pictures) for text, pictures in images.items()}
    return gold, seconds


def novelty(table: Ideographs, matches: list[Match], texts: Sequence[str], held_out: GlyphData) -> dict[str, Any]:
    """Which glyphs exist as characters; "real_rate" is the share of held-out characters taken for another one."""
    others = table.nearest(held_out.images, skip=held_out.codepoints.tolist())
    existing = [
        {"char": match.char, "prompt": text, "distance": round(match.distance, 3)}
        for match, text in zip(matches, texts, strict=True)
        if match.exists
    ]
    return {
        "rate": len(existing) / len(matches),
        "real_rate": float(np.mean([match.exists for match in others])),
        "distance": float(np.median([match.distance for match in matches])),
        "real_distance": float(np.median([match.distance for match in others])),
        "limit": EXISTS,
        "ideographs": len(table),
        "font": table.font,
        "existing": sorted(existing, key=lambda found: found["distance"]),
    }


def spread(glyphs: Judged, real: Tensor) -> dict[str, float] | None:
    """How glyphs of one prompt vary, beside real characters with the definitions nearest to it.

    `real`: the features of these (prompts * 4, D). None if there is one glyph per prompt.
    """
    per_prompt = len(glyphs) // len(PROMPTS)
    if per_prompt == 1:
        return None
    return {
        "generated": variety(glyphs.features, per_prompt),
        "real": variety(real, len(real) // len(PROMPTS)),
    }


def distribution(fake: Tensor, held_out: Tensor, training: Tensor) -> dict[str, Any]:
    """Distances and support of generated glyphs against held-out real ones; "real": training glyphs against the same.

    All are features (N, D) of the recogniser, so none of the distances is an "FID": the name is for Inception features.
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


def best_of(
    measures: Measures, glyphs: Judged, matches: list[Match], pipe: GlyffuserPipeline, per_prompt: int
) -> dict[str, float] | None:
    """Hit rate, flagged and existing share if only the best of each prompt's glyphs is kept, as by `sample --best-of`.

    The selector chooses, any new glyph before one that exists; the judges score. None if there is only one glyph per
    prompt, or if the selector cannot read the model's prompts.
    """
    selector, n = measures.selector, len(PROMPTS)
    if per_prompt == 1 or not selector.understand(pipe.text_encoder):
        return None
    expected = selector.expect(pipe.text_encoder, [prompt.text for prompt in PROMPTS])
    merit = selector.merit(selector(glyphs.images), expected.repeat_interleave(per_prompt, dim=0))
    exists = torch.tensor([match.exists for match in matches])
    # Merits are logarithms: none comes near what is deducted for existing.
    kept = (merit - 1e6 * exists).view(n, per_prompt).argmax(dim=1) + per_prompt * torch.arange(n)
    return {"k": per_prompt, **shares(glyphs.part(kept)), "existing": float(exists[kept].double().mean())}


def curves(artist: Artist, judges: Judges, prompts: Judged) -> dict[str, list[dict[str, float]]]:
    """Hit rate, flagged share and variety against steps and against guidance, always from the noise of `prompts`."""
    s = artist.settings
    if not (s.curve_steps or s.curve_guidance):
        return {}
    rows = curve_rows(s.per_prompt)
    texts, count = [PROMPTS[row // s.per_prompt].text for row in rows], len(rows) // len(PROMPTS)
    usual = shares(prompts.part(torch.tensor(rows)), count)  # on both curves, already drawn

    def point(name: str, value: float) -> dict[str, float]:
        changed: dict[str, Any] = {name: value}
        same = value == getattr(s, name)
        return changed | (usual if same else shares(judges(artist.draw(texts, rows, **changed)), count))

    return {
        "steps": [point("steps", n) for n in sorted({s.steps, *s.curve_steps})],
        "guidance": [point("guidance", g) for g in sorted({s.guidance, *s.curve_guidance})],
    }
