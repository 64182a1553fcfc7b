"""Previews: what a network draws while it trains, always for the same prompts from the same noise, and its scores."""

import json
from pathlib import Path

import torch
from PIL import Image

from glyffuser.base.files import atomic_path
from glyffuser.base.pictures import grid
from glyffuser.generate.draw import draw
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request
from glyffuser.judge.judges import Judges, load_judges
from glyffuser.judge.prompts import Prompt

PROMPTS = (
    Prompt("gold", (167,)),
    Prompt("a kind of fish", (195,)),
    Prompt("tree", (75,)),
    Prompt("illness", (104,)),
    Prompt("water", (85,)),
    Prompt("bamboo basket", (118,)),
    Prompt("silk", (120,)),
    Prompt("horse", (187,)),
)
SEEDS = 4
STEPS = 20


class Previews:
    """Writes samples/step-<step>.png, a row a prompt, and a line of scores.jsonl in a run folder."""

    def __init__(self, out: Path):
        self.out = out
        self.judges: Judges | None = None  # loaded at the first preview: a short run needs none

    def __call__(self, pipe: GlyffuserPipeline, step: int) -> dict[str, float]:
        """Draw, write, and return the scores: `radical_hits`, glyphs with the right radical, and `flagged`, implausible
        ones; both as shares.
        """
        self.judges = self.judges or load_judges()
        texts = [prompt.text for prompt in PROMPTS for _ in range(SEEDS)]
        images = draw(pipe, texts, Request(steps=STEPS), numbers=[*range(SEEDS)] * len(PROMPTS))
        with atomic_path(self.out / "samples" / f"step-{step:08d}.png") as temporary:
            grid([Image.fromarray(image) for image in images], SEEDS).save(temporary)
        judged = self.judges(images)
        asked = torch.tensor([prompt.radicals[0] for prompt in PROMPTS]).repeat_interleave(SEEDS)
        hits = (judged.radical.argmax(dim=1) + 1 == asked).double().mean()
        scores = {"radical_hits": float(hits), "flagged": float(judged.flagged.double().mean())}
        with (self.out / "scores.jsonl").open("a") as file:
            file.write(json.dumps({"step": step, **scores}) + "\n")
        return scores
