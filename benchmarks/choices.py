"""How to sample: samplers, guidance, guidance intervals and autoguidance, judged on the prompts of the evaluation.

    python benchmarks/choices.py [--model FOLDER] [--worse FOLDER] [--steps 20] [--per-prompt 1]

One table: share of glyphs with the right radical, share flagged as implausible, mean flaw score, and evaluations of the
network a glyph. Every row starts from the same noise. `--worse` names a model for autoguidance, such as an early
checkpoint's; without it those rows are left out.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from glyffuser.diffusion.guidance import Denoiser, autoguided, classifier_free, denoiser
from glyffuser.diffusion.samplers import SAMPLERS
from glyffuser.evaluate.judges import Judges, load_judges
from glyffuser.evaluate.prompts import PROMPTS
from glyffuser.pictures import to_output
from glyffuser.pipeline import BUNDLED, GlyffuserPipeline, load_pipeline, noise_source, seeded

BATCH = 16
INF = float("inf")


def draw(pipe: GlyffuserPipeline, D: Denoiser, sampler: str, steps: int, texts: list[str]) -> tuple[np.ndarray, float]:
    """One glyph a text, uint8 (N, H, W), and how often D was asked for each."""
    images: list[np.ndarray] = []
    calls = 0

    def counted(x: torch.Tensor, sigma: torch.Tensor, cond: object) -> torch.Tensor:
        nonlocal calls
        calls += len(x)
        return D(x, sigma, cond)  # type: ignore[arg-type]

    size, sigmas = pipe.unet.config.sample_size, pipe.schedule.sigmas(steps)
    for first in range(0, len(texts), BATCH):
        part = texts[first : first + BATCH]
        noise = noise_source([seeded(0, first + k) for k in range(len(part))], len(part))
        x = noise(torch.empty(len(part), 1, size, size))
        for step in SAMPLERS[sampler](counted, sigmas[0] * x, sigmas, pipe.condition(part), noise):
            x = step.x
        images += [np.asarray(image) for image in to_output(x, "pil")]
    return np.stack(images), calls / len(texts)


def row(name: str, judges: Judges, images: np.ndarray, calls: float, per_prompt: int) -> None:
    """Judge and print."""
    judged = judges(images)
    hits = [
        float(judged.part(slice(i * per_prompt, (i + 1) * per_prompt)).hits(prompt.radicals).double().mean())
        for i, prompt in enumerate(PROMPTS)
    ]
    flagged, flaws = float(judged.flagged.double().mean()), float(judged.flaws.mean())
    print(f"{name:42s} {100 * np.mean(hits):6.1f} {100 * flagged:8.1f} {flaws:7.2f} {calls:6.0f}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUNDLED)
    parser.add_argument("--worse", type=Path)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--per-prompt", type=int, default=1)
    options = parser.parse_args()
    pipe, judges = load_pipeline(options.model), load_judges()
    texts = [prompt.text for prompt in PROMPTS for _ in range(options.per_prompt)]
    plain, empty = bare(pipe), pipe.condition([""])

    def guided(scale: float, low: float = 0.0, high: float = INF) -> Denoiser:
        return classifier_free(plain, scale, empty, (low, high))

    ways: list[tuple[str, Denoiser, str]] = [
        *((f"{sampler}, guidance 4", guided(4), sampler) for sampler in SAMPLERS),
        *((f"dpm++2m, guidance {scale:g}", guided(scale), "dpm++2m") for scale in (1, 2, 3, 6, 9)),
        *(
            (f"dpm++2m, guidance {scale:g}, sigma {low:g} to {high:g}", guided(scale, low, high), "dpm++2m")
            for scale in (4, 7)
            for low, high in ((0.2, INF), (0.0, 8.0), (0.2, 8.0))
        ),
    ]
    if options.worse:
        worse = bare(load_pipeline(options.worse))
        ways += [(f"dpm++2m, autoguidance {s:g}", autoguided(plain, worse, s), "dpm++2m") for s in (1.5, 2, 3)]
        ways += [
            (f"dpm++2m, autoguidance {s:g} after guidance 4", autoguided(guided(4), worse, s), "dpm++2m")
            for s in (1.5, 2)
        ]
    print(f"{'way':42s} {'hits %':>6s} {'flagged %':>8s} {'flaws':>7s} {'calls':>6s}")
    for name, D, sampler in ways:
        row(name, judges, *draw(pipe, D, sampler, options.steps, texts), options.per_prompt)


def bare(pipe: GlyffuserPipeline) -> Denoiser:
    """The pipeline's network as a denoiser, without guidance."""
    return denoiser(pipe._network, pipe.unet.config.prediction_type, pipe.schedule)


if __name__ == "__main__":
    main()
