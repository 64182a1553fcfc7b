"""Previews: what a network draws while it trains, always for the same prompts from the same noise, and its scores."""

import json
import re
from pathlib import Path

import numpy as np
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
STEPS = 20  # at most


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
        request = Request(steps=min(STEPS, pipe.usual.steps))
        images = draw(pipe, texts, request, numbers=[*range(SEEDS)] * len(PROMPTS))
        with atomic_path(self.out / "samples" / f"step-{step:08d}.png") as temporary:
            grid([Image.fromarray(image) for image in images], SEEDS).save(temporary)
        judged = self.judges(images)
        asked = torch.tensor([prompt.radicals[0] for prompt in PROMPTS]).repeat_interleave(SEEDS)
        hits = (judged.radical.argmax(dim=1) + 1 == asked).double().mean()
        scores = {"radical_hits": float(hits), "flagged": float(judged.flagged.double().mean())}
        with (self.out / "scores.jsonl").open("a") as file:
            file.write(json.dumps({"step": step, **scores}) + "\n")
        return scores


def read_previews(run: Path) -> dict[int, np.ndarray]:
    """Step -> its preview, uint8 (prompts, seeds, H, W), of a run folder; others than PROMPTS x SEEDS are left out."""
    previews = {}
    for path in sorted((run / "samples").glob("step-*.png")):
        match = re.fullmatch(r"step-(\d+)\.png", path.name)
        if match:
            with Image.open(path) as image:
                sheet = np.asarray(image.convert("L"))
            side = sheet.shape[1] // SEEDS
            if sheet.shape == (len(PROMPTS) * side, SEEDS * side):
                previews[int(match[1])] = sheet.reshape(len(PROMPTS), side, SEEDS, side).transpose(0, 2, 1, 3)
    return previews
