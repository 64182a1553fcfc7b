"""Does a glyph mean what was asked: does it carry a radical that the prompt should bring, and do real glyphs?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glyffuser.data.dataset import GlyphData
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.judge.judges import Judged
from glyffuser.judge.prompts import PROMPTS, Prompt
from glyffuser.text.prior import sentence

NEAREST, MAJORITY = 4, 30  # real definitions nearest to a prompt that the reference lines look at


def meaning(glyphs: Judged, real: list[dict[str, float]], per_prompt: int) -> dict[str, Any]:
    """Radical hit rates by prompt and over all, beside the reference lines."""
    rates = prompt_hits(glyphs, per_prompt).double().mean(dim=1).tolist()
    rows = [
        {"prompt": prompt.text, "radicals": prompt.radicals, "rate": rate, **reference}
        for prompt, rate, reference in zip(PROMPTS, rates, real, strict=True)
    ]
    mean = {key: float(np.mean([row[key] for row in rows])) for key in ("rate", "nearest", "majority")}
    return {**mean, "glyphs": len(glyphs), "prompts": rows}


def prompt_hits(glyphs: Judged, per_prompt: int) -> Tensor:
    """Which glyphs carry a radical that their prompt should bring: bool (prompts, per_prompt)."""
    n = range(0, len(glyphs), per_prompt)
    hits = [glyphs.part(slice(i, i + per_prompt)).hits(prompt.radicals) for i, prompt in zip(n, PROMPTS, strict=True)]
    return torch.stack(hits)


def references(pipe: GlyffuserPipeline, real: GlyphData, prompts: Sequence[Prompt] = PROMPTS) -> list[dict[str, float]]:
    """For each prompt, what the real characters whose definitions lie nearest to it carry.

    "nearest": the share with a fitting radical among the 4 nearest; "majority": whether the commonest radical of the
    30 nearest fits, 0 or 1. Nearness is the cosine of mean token states.
    """
    vectors, asked = mean_states(pipe, real.definitions), mean_states(pipe, [prompt.text for prompt in prompts])
    order = (asked @ vectors.T).topk(min(MAJORITY, len(vectors)), dim=1).indices.numpy()
    rates = []
    for prompt, rows in zip(prompts, order, strict=True):
        radicals = real.radicals[rows]
        values, counts = np.unique(radicals, return_counts=True)
        near = float(np.isin(radicals[:NEAREST], prompt.radicals).mean())
        rates.append({"nearest": near, "majority": float(values[counts.argmax()] in prompt.radicals)})
    return rates


def mean_states(pipe: GlyffuserPipeline, texts: Sequence[str]) -> Tensor:
    """One vector a text (N, d), all of one length."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # texts of like length share a batch: less padding
    vectors = torch.empty(len(texts), pipe.text_encoder.dim)
    for begin in range(0, len(texts), 256):
        chosen = order[begin : begin + 256]
        vectors[chosen] = sentence(*pipe.text_encoder.encode([texts[i] for i in chosen]))
    return vectors


def shares(glyphs: Judged) -> dict[str, float]:
    """Hit rate and flagged share of one glyph for each prompt."""
    return {
        "rate": float(prompt_hits(glyphs, 1).double().mean()),
        "flagged": float(glyphs.flagged.double().mean()),
    }
