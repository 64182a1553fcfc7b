"""Does a glyph mean what was asked: does it carry a radical that the prompt calls for, and do real glyphs?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glyffuser.data.dataset import GlyphData
from glyffuser.evaluate.artist import Artist, takes_radical
from glyffuser.evaluate.metrics import variety
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.judge.contrastive import Contrastive, ranks
from glyffuser.judge.judges import Judged, Judges
from glyffuser.judge.prompts import GOLD, PROMPTS, Prompt
from glyffuser.judge.recogniser import Recogniser
from glyffuser.text.encoder import TextEncoder
from glyffuser.text.prior import sentence

NEAREST, MAJORITY = 4, 30  # real definitions nearest to a prompt that the reference lines use
METAL = GOLD[0].radicals


def meaning(glyphs: Judged, prompts: Sequence[Prompt], real: list[dict[str, float]]) -> dict[str, Any]:
    """Radical hit rates by prompt and overall, beside the reference lines."""
    rates = prompt_hits(glyphs, len(glyphs) // len(prompts), prompts).double().mean(dim=1).tolist()
    rows = [
        {"prompt": prompt.text, "radicals": prompt.radicals, "rate": rate, **reference}
        for prompt, rate, reference in zip(prompts, rates, real, strict=True)
    ]
    mean = {key: float(np.mean([row[key] for row in rows])) for key in ("rate", "nearest", "majority")}
    return {**mean, "glyphs": len(glyphs), "prompts": rows}


def prompt_hits(glyphs: Judged, per_prompt: int, prompts: Sequence[Prompt] = PROMPTS) -> Tensor:
    """Which glyphs carry a radical that their prompt calls for: bool (prompts, per_prompt)."""
    n = range(0, len(glyphs), per_prompt)
    hits = [glyphs.part(slice(i, i + per_prompt)).hits(prompt.radicals) for i, prompt in zip(n, prompts, strict=True)]
    return torch.stack(hits)


def gold_hits(gold: dict[str, Judged]) -> dict[str, dict[str, int]]:
    """For each of the gold prompts, how many glyphs carry the metal radical, and of how many."""
    return {text: {"hits": int(glyphs.hits(METAL).sum()), "of": len(glyphs)} for text, glyphs in gold.items()}


def told(artist: Artist, judges: Judges) -> dict[str, Any] | None:
    """Hit rates of the same prompts with their radical told as well, as by `--radical`. None if the network takes none.

    Each glyph starts from the noise of the one drawn from the text alone.
    """
    s, each = artist.settings, artist.settings.told_each
    if not takes_radical(artist.pipe):
        return None
    images = [np.empty(0)] * (len(PROMPTS) * each)
    for radical in sorted({prompt.radicals[0] for prompt in PROMPTS}):
        rows = [(i, k) for i, p in enumerate(PROMPTS) if p.radicals[0] == radical for k in range(each)]
        texts, numbers = [PROMPTS[i].text for i, _ in rows], [i * s.per_prompt + k for i, k in rows]
        for (i, k), image in zip(rows, artist.draw(texts, numbers, radical=radical), strict=True):
            images[i * each + k] = image
    glyphs = judges(np.stack(images))
    gold = {prompt.text: judges(artist.gold(prompt.text, s.told_seeds, prompt.radicals[0])) for prompt in GOLD}
    rate = float(prompt_hits(glyphs, each).double().mean())
    return {"rate": rate, "glyphs": len(glyphs), "gold": gold_hits(gold)}


def draw_paraphrases(artist: Artist, judges: Judges, prompts: Sequence[Prompt], first: int) -> Judged:
    """Glyphs for all paraphrases of a list, numbered from `first`."""
    texts = [prompt.text for prompt in prompts for _ in range(artist.settings.paraphrases)]
    return judges(artist.draw(texts, range(first, first + len(texts))))


def nearest_rows(pipe: GlyffuserPipeline, real: GlyphData, prompts: Sequence[Prompt]) -> np.ndarray:
    """The rows (prompts, 30) of the real characters whose definitions lie nearest to each prompt, nearest first.

    Nearness is the cosine of mean token states.
    """
    vectors, asked = mean_states(pipe, real.definitions), mean_states(pipe, [prompt.text for prompt in prompts])
    return (asked @ vectors.T).topk(min(MAJORITY, len(vectors)), dim=1).indices.numpy()


def references(real: GlyphData, nearest: np.ndarray, prompts: Sequence[Prompt]) -> list[dict[str, float]]:
    """For each prompt, what the real characters of `nearest_rows` carry.

    "nearest": the share with a fitting radical among the 4 nearest; "majority": whether the commonest radical of the
    30 nearest fits, 0 or 1.
    """
    rates = []
    for prompt, rows in zip(prompts, nearest, strict=True):
        radicals = real.radicals[rows]
        values, counts = np.unique(radicals, return_counts=True)
        near = float(np.isin(radicals[:NEAREST], prompt.radicals).mean())
        rates.append({"nearest": near, "majority": float(values[counts.argmax()] in prompt.radicals)})
    return rates


def mean_states(pipe: GlyffuserPipeline, texts: Sequence[str]) -> Tensor:
    """One vector per text (N, d), all of the same length."""
    distinct = sorted(set(texts), key=lambda text: (len(text), text))  # similar lengths share a batch: less padding
    batches = (distinct[begin : begin + 256] for begin in range(0, len(distinct), 256))
    vectors = torch.cat([sentence(*pipe.text_encoder.encode(batch, whole=True)) for batch in batches])
    place = {text: i for i, text in enumerate(distinct)}
    return vectors[[place[text] for text in texts]]


def own_ranks(
    contrastive: Contrastive, recogniser: Recogniser, encoder: TextEncoder, glyphs: Tensor, real: Tensor
) -> dict[str, dict[str, float]] | None:
    """The rank, from 1, of a glyph's own prompt among all 80 by the contrastive model: the mean, and the share first.

    For glyphs drawn for the prompts, and for the real ones with the definitions nearest to them; both as features of
    the recogniser (80 k, F), those of one prompt together. None if it was trained with another encoder or recogniser.
    """
    if not (contrastive.reads(encoder) and contrastive.sees_with(recogniser)):
        return None
    texts = contrastive.read(encoder, [prompt.text for prompt in PROMPTS])

    def summary(features: Tensor) -> dict[str, float]:
        own = torch.arange(len(PROMPTS)).repeat_interleave(len(features) // len(PROMPTS))
        with torch.no_grad():
            found = ranks(contrastive.see(features) @ texts.T, own).double()
        return {"mean": float(found.mean()), "first": float((found == 1).double().mean())}

    return {"generated": summary(glyphs), "real": summary(real)}


def shares(glyphs: Judged, per_prompt: int = 1, prompts: Sequence[Prompt] = PROMPTS) -> dict[str, float]:
    """Hit rate and flagged share of glyphs, `per_prompt` for each prompt, and, with two or more, their variety."""
    found = {
        "rate": float(prompt_hits(glyphs, per_prompt, prompts).double().mean()),
        "flagged": float(glyphs.flagged.double().mean()),
    }
    return found | ({"variety": variety(glyphs.features, per_prompt)} if per_prompt > 1 else {})
