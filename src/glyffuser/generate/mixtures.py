"""Mixtures of prompts: "fire:1, water:0.5" asks for both at once, the second half as strongly.

A prompt is a mixture if it is made of at least two texts, each followed by a colon and a number, with commas between
them; any other is a plain text, colons and all. A text may hold commas, but no line breaks. Where a colon before a
number is meant literally, it is written with a backslash: "at a ratio of 2\\:1".
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from glyffuser.base.errors import UserError

WEIGHT = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)"
END = re.compile(rf"(?<!\\):\s*({WEIGHT})\s*(,|\Z)")  # of a text: its weight, and the comma before the next one
HEAVIEST = 100.0


class Mixture(NamedTuple):
    """Texts, and the weight of each; a plain prompt is one text of weight 1."""

    texts: tuple[str, ...]
    weights: tuple[float, ...]


def read_mixture(prompt: str) -> Mixture:
    """What a prompt asks for; UserError for weights that are all 0, or above 100."""
    found, start = [], 0
    for end in END.finditer(prompt):
        if text := prompt[start : end.start()].strip():  # otherwise it belongs to the next text
            found.append((text, *end.groups()))
            start = end.end()
    if len(found) < 2 or found[-1][2] or any("\n" in text for text, _, _ in found):
        return Mixture((literal(prompt),), (1.0,))
    weights = tuple(float(weight) for _, weight, _ in found)
    if not any(weights) or max(map(abs, weights)) > HEAVIEST:
        raise UserError(f"the weights in {prompt!r} must not all be 0, nor above {HEAVIEST:g}; 1 is usual")
    return Mixture(tuple(literal(text) for text, _, _ in found), weights)


def literal(text: str) -> str:
    """A text without the backslashes before its colons."""
    return text.replace("\\:", ":")


def written(texts: Sequence[str], weights: Sequence[float]) -> str:
    """The prompt that asks for these texts with these weights."""
    escaped = [re.sub(rf":(?=\s*{WEIGHT})", r"\\:", text) for text in texts]
    return ", ".join(f"{text}:{weight:.6f}" for text, weight in zip(escaped, weights, strict=True))


def together(prompts: Sequence[str]) -> tuple[list[str], Tensor]:
    """The texts of P prompts, the first of each, then the second of each and so on, and their weights (K, P).

    Where a prompt has fewer texts than others, its first stands in with a weight of 0.
    """
    mixtures = [read_mixture(prompt) for prompt in prompts]
    K = max((len(mixture.texts) for mixture in mixtures), default=1)
    texts = [m.texts[k] if k < len(m.texts) else m.texts[0] for k in range(K) for m in mixtures]
    weights = [[m.weights[k] if k < len(m.weights) else 0.0 for m in mixtures] for k in range(K)]
    return texts, torch.tensor(weights)
