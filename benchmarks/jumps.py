"""What a few-step student could reach: steps that jump to the end of the teacher's own path, then fresh noise.

    python benchmarks/jumps.py [--model FOLDER] [--steps 1 2 4] [--fine 24] [--glyphs 80]

A consistency model (Song et al. 2023) learns to jump from any noise level to where the ODE of diffusion ends; it draws
in few steps by jumping, adding noise of the next level, and jumping again. Here the teacher makes each jump itself,
with dpm++2m over those of `--fine` steps that lie below the level, so the shares are the most that such a student can
learn.

right: glyphs with a radical that was asked for; flagged: implausible ones; both as read by the selector, not by one of
the judges. evaluations: of the guided teacher, per glyph.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from glyffuser.base.noise import noise_source, seeded
from glyffuser.base.pictures import to_grey
from glyffuser.config import BUNDLED
from glyffuser.diffusion.conditions import Condition
from glyffuser.evaluate.meaning import prompt_hits
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.judge.judges import load_selector
from glyffuser.judge.prompts import PROMPTS
from glyffuser.train.distil import path

BATCH = 40


def jumped(pipe: GlyffuserPipeline, texts: list[str], first: int, steps: int, fine: int) -> tuple[np.ndarray, int]:
    """A glyph for each text, uint8 (N, H, W), in `steps` jumps, from noise number `first` on; and the evaluations."""
    cond, guided = pipe.condition(texts), pipe.denoiser(pipe.usual.guidance)
    noise = noise_source([seeded(0, first + k) for k in range(len(texts))], len(texts))
    calls = 0
    x0 = torch.zeros(len(texts), 1, pipe.size, pipe.size)

    def D(x: Tensor, sigma: Tensor, cond: Condition | None) -> Tensor:
        nonlocal calls
        calls += 1
        return guided(x, sigma, cond)

    for level in pipe.schedule.sigmas(steps)[:-1]:
        *_, (_, x0) = path(D, pipe.schedule, (x0 + level * noise(x0)).float(), level, cond, fine)
    return to_grey(x0), calls


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUNDLED)
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4], help="jumps")
    parser.add_argument("--fine", type=int, default=24, help="steps of a jump from pure noise")
    parser.add_argument("--glyphs", type=int, default=80, help="a multiple of the 80 prompts")
    options = parser.parse_args()
    if options.glyphs < len(PROMPTS) or options.glyphs % len(PROMPTS):
        parser.error(f"--glyphs must be a multiple of {len(PROMPTS)}")
    pipe, selector = load_pipeline(options.model), load_selector()
    each = options.glyphs // len(PROMPTS)
    texts = [prompt.text for prompt in PROMPTS for _ in range(each)]
    print(f"{'steps':>5s} {'right %':>9s} {'flagged %':>10s} {'evaluations':>12s}")
    for steps in options.steps:
        starts = range(0, len(texts), BATCH)
        made = [jumped(pipe, texts[i : i + BATCH], i, steps, options.fine) for i in starts]
        judged = selector(np.concatenate([glyphs for glyphs, _ in made]))
        right, flagged = prompt_hits(judged, each).double().mean(), judged.flagged.double().mean()
        print(f"{steps:5d} {100 * right:9.1f} {100 * flagged:10.1f} {made[0][1]:12d}", flush=True)


if __name__ == "__main__":
    main()
