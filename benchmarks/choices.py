"""How to sample: samplers, guidance, steps, noise levels and autoguidance, judged on the evaluation's prompts.

    python benchmarks/choices.py [--model FOLDER] [--worse FOLDER] [--steps 40] [--per-prompt 2] [--only TEXT]

One table: share of glyphs with the right radical, share flagged as implausible, mean flaw score, and network
evaluations per glyph. Every row starts from the same noise. `--worse` names a model for autoguidance, such as an early
checkpoint's; without it those rows are left out. `--only` keeps the rows whose name contains TEXT.
"""

import argparse
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from glyffuser.base.noise import noise_source, seeded
from glyffuser.base.pictures import to_grey
from glyffuser.config import BUNDLED, GUIDANCE, INTERVAL, SAMPLER, STEPS
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.guidance import Denoiser, autoguided, classifier_free
from glyffuser.diffusion.samplers import SAMPLERS
from glyffuser.diffusion.schedules import karras_sigmas
from glyffuser.evaluate.meaning import prompt_hits
from glyffuser.generate.draw import BATCH
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.judge.judges import Judges, load_judges
from glyffuser.judge.prompts import PROMPTS


class Way(NamedTuple):
    """One row: what draws, and the falling noise levels it draws along."""

    name: str
    D: Denoiser
    sampler: str
    sigmas: torch.Tensor


def sample(pipe: GlyffuserPipeline, way: Way, texts: list[str]) -> tuple[np.ndarray, int]:
    """One glyph per text, uint8 (N, H, W), and the evaluations of D that each took."""
    images: list[np.ndarray] = []
    size = pipe.unet.config.sample_size
    for first in range(0, len(texts), BATCH):
        part = texts[first : first + BATCH]
        calls = 0

        def counted(x: torch.Tensor, sigma: torch.Tensor, cond: Condition | None) -> torch.Tensor:
            nonlocal calls
            calls += 1
            return way.D(x, sigma, cond)

        noise = noise_source([seeded(0, first + k) for k in range(len(part))], len(part))
        x = noise(torch.empty(len(part), 1, size, size))
        for step in SAMPLERS[way.sampler](counted, way.sigmas[0] * x, way.sigmas, pipe.condition(part), noise):
            x = step.x
        images.append(to_grey(x))
    return np.concatenate(images), calls


def row(name: str, judges: Judges, images: np.ndarray, calls: int, per_prompt: int) -> None:
    """Judge glyphs and print a row."""
    judged = judges(images)
    hits, flagged = prompt_hits(judged, per_prompt).double().mean(), judged.flagged.double().mean()
    print(f"{name:44s} {100 * hits:6.1f} {100 * flagged:9.1f} {judged.flaws.mean():7.2f} {calls:6d}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUNDLED)
    parser.add_argument("--worse", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--per-prompt", type=int, default=2)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    pipe, judges = load_pipeline(options.model), load_judges()
    texts = [prompt.text for prompt in PROMPTS for _ in range(options.per_prompt)]
    plain, empty = pipe.denoiser(), pipe.condition([""])

    def guided(scale: float, low: float = INTERVAL[0], high: float = inf) -> Denoiser:
        return classifier_free(plain, scale, empty, (low, high))

    def shifted(shift: float) -> torch.Tensor:
        return replace(pipe.schedule, shift=shift).sigmas(options.steps)

    grid = pipe.schedule.sigmas
    usual = grid(options.steps)
    ways = [
        *(Way(f"{sampler}, guidance {GUIDANCE:g}", guided(GUIDANCE), sampler, usual) for sampler in SAMPLERS),
        *(Way(f"{SAMPLER}, guidance {scale:g}", guided(scale), SAMPLER, usual) for scale in (1, 3, 4, 6)),
        *(Way(f"{SAMPLER}, {n} steps", guided(GUIDANCE), SAMPLER, grid(n)) for n in (10, 20, 60, 100)),
        *(Way(f"{SAMPLER}, shift {s:g}", guided(GUIDANCE), SAMPLER, shifted(s)) for s in (1, 2, 5, 8)),
        Way(f"{SAMPLER}, Karras", guided(GUIDANCE), SAMPLER, karras_sigmas(options.steps, 0.02, float(usual[0]))),
        *(
            Way(f"{SAMPLER}, sigma {low:g} to {high:g}", guided(GUIDANCE, low, high), SAMPLER, usual)
            for low, high in ((0.0, inf), (1.0, inf), (0.3, 10.0))
        ),
    ]
    if options.worse:
        worse = load_pipeline(options.worse).denoiser()
        ways += [
            Way(f"{SAMPLER}, autoguidance {s:g} on guidance {g:g}", autoguided(guided(g), worse, s), SAMPLER, usual)
            for g in (1, GUIDANCE)
            for s in (1.5, 2)
        ]
    print(f"{'way':44s} {'hits %':>6s} {'flagged %':>9s} {'flaws':>7s} {'calls':>6s}")
    for way in ways:
        if options.only in way.name:
            row(way.name, judges, *sample(pipe, way, texts), options.per_prompt)


if __name__ == "__main__":
    main()
