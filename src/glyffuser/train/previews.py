"""Previews: what a network draws while it trains, always for the same prompts from the same noise, and its scores."""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from glyffuser.base.files import atomic_path
from glyffuser.base.pictures import from_grey, grey, grid
from glyffuser.data.pictures import read_pictures
from glyffuser.generate.cascade import enlarge
from glyffuser.generate.draw import draw
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request
from glyffuser.judge.judges import Judges, load_judges
from glyffuser.judge.prompts import Prompt
from glyffuser.networks.autoencoder import Autoencoder
from glyffuser.networks.conditioned import ConditionedNetwork
from glyffuser.networks.upscaler import Upscaler, enlarged
from glyffuser.train.crops import smaller
from glyffuser.train.parts import Parts

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
    """Writes samples/step-<step>.png, one row per prompt, and a line of scores.jsonl in a run folder.

    examine: returns further scores of a network, if any.
    """

    def __init__(self, out: Path, examine: Callable[[ConditionedNetwork], dict[str, float]] = lambda network: {}):
        self.out, self.examine = out, examine
        self.judges: Judges | None = None  # loaded at the first preview: a short run needs none

    def __call__(self, pipe: GlyffuserPipeline, step: int) -> dict[str, float]:
        """Draw, write, and return the scores: `radical_hits`, glyphs with the right radical, and `flagged`, implausible
        ones; both as shares. A model that takes no text draws as many glyphs, and hits by chance. A network that learns
        from pairs also has the scores that `train/align.py: PairBatches` examines.
        """
        self.judges = self.judges or load_judges()
        texts = ["" if pipe.unconditional else prompt.text for prompt in PROMPTS for _ in range(SEEDS)]
        numbers = [*range(len(texts))] if pipe.unconditional else [*range(SEEDS)] * len(PROMPTS)
        images = draw(pipe, texts, Request(steps=min(STEPS, pipe.usual.steps)), numbers=numbers)
        judged = self.judges(images)
        asked = torch.tensor([prompt.radicals[0] for prompt in PROMPTS]).repeat_interleave(SEEDS)
        hits = (judged.radical.argmax(dim=1) + 1 == asked).double().mean()
        scores = {"radical_hits": float(hits), "flagged": float(judged.flagged.double().mean())}
        return _write(self.out, step, images, scores | self.examine(pipe.unet))


class Comparisons:
    """Writes samples/step-<step>.png of a companion, with glyphs that it has not seen.

    For an upscaler, one row per glyph: small, bicubic, drawn, real; the line of scores.jsonl holds `error`, the mean
    distance in grey, 0 to 1, from the real picture, and `bicubic`, that of the small one enlarged by a bicubic curve.
    For an autoencoder, two glyphs per row, each real and decoded; `error` is that of the decoded one.
    """

    def __init__(self, out: Path, data: str):
        self.out = out
        held_out = read_pictures(data, "test")
        self.real = np.stack([held_out[row] for row in range(min(SEEDS, len(held_out)))])  # uint8 (N, S, S)

    def __call__(self, network: Upscaler | Autoencoder, step: int) -> dict[str, float]:
        """Draw, write, and return the scores."""
        real = from_grey(self.real).to(network.device)
        if isinstance(network, Autoencoder):
            made = grey(network.eval().to_images(network.to_latents(real)))
            columns = np.stack([self.real, made], axis=1).reshape(-1, *self.real.shape[1:])
            return _write(self.out, step, columns, {"error": distance(made, self.real)})
        return self._enlarged(network, real.cpu(), step)

    def _enlarged(self, upscaler: Upscaler, real: torch.Tensor, step: int) -> dict[str, float]:
        small = smaller(real, upscaler.scale)
        bicubic = grey(enlarged(small, upscaler.scale))
        drawn = enlarge([upscaler.eval()], grey(small))
        blocks = grey(small).repeat(upscaler.scale, axis=1).repeat(upscaler.scale, axis=2)
        columns = np.stack([blocks, bicubic, drawn, self.real], axis=1).reshape(-1, *self.real.shape[1:])
        scores = {"error": distance(drawn, self.real), "bicubic": distance(bicubic, self.real)}
        return _write(self.out, step, columns, scores)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean distance in grey, 0 to 1, between pictures uint8."""
    return float(np.abs(one.astype(int) - other).mean() / 255)


def _write(out: Path, step: int, pictures: np.ndarray, scores: dict[str, float]) -> dict[str, float]:
    """Write one preview into a run folder: its sheet, four pictures a row, and a line of scores. Return the scores."""
    with atomic_path(out / "samples" / f"step-{step:08d}.png") as temporary:
        grid([Image.fromarray(picture) for picture in pictures], SEEDS).save(temporary)
    with (out / "scores.jsonl").open("a") as file:
        file.write(json.dumps({"step": step, **scores}) + "\n")
    return scores


def build_previews(parts: Parts, out: Path) -> Previews | Comparisons:
    """The previews of a run, by what it trains."""
    if parts.encoder is None:
        return Comparisons(out, parts.config.data.path)
    if parts.reference is None:
        return Previews(out)
    return Previews(out, partial(parts.batches.examine, reference=parts.reference.network))


def read_previews(run: Path) -> dict[int, np.ndarray]:
    """Step -> preview, uint8 (prompts, seeds, H, W), in a run folder; sheets not of PROMPTS x SEEDS are left out."""
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
