"""Drawing many glyphs: a batch at a time, each from noise of its own. What samples, measures and figures call."""

from collections.abc import Callable, Sequence

import numpy as np

from glyffuser.base.noise import seeded
from glyffuser.base.pictures import to_grey
from glyffuser.config import GUIDANCE, STEPS
from glyffuser.generate.pipeline import GlyffuserPipeline

BATCH = 16  # glyphs denoised at a time: more is not faster on a CPU and takes more memory

Tick = Callable[[int, int], None]  # told (steps done, steps in all)


def quiet(done: int, total: int) -> None:
    """A Tick that says nothing."""


def draw(
    pipe: GlyffuserPipeline,
    prompts: Sequence[str],
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    sampler: str | None = None,
    *,
    negative_prompt: str | None = None,
    radical: int | None = None,
    seed: int = 0,
    numbers: Sequence[int] | None = None,
    tick: Tick = quiet,
) -> np.ndarray:
    """One finished glyph a prompt, uint8 (N, H, W), ink 0, paper 255.

    Glyph k starts from the noise of (seed, numbers[k]), by default its own k, whatever else is drawn with it. `tick`
    counts batches times steps; the other arguments are those of GlyffuserPipeline.__call__.
    """
    numbers = range(len(prompts)) if numbers is None else numbers
    batches = [slice(first, first + BATCH) for first in range(0, len(prompts), BATCH)]
    done = []
    for i, batch in enumerate(batches):
        for step in pipe.stream(
            list(prompts[batch]),
            negative_prompt,
            num_inference_steps=steps,
            guidance_scale=guidance,
            sampler=sampler,
            generator=[seeded(seed, k) for k in numbers[batch]],
            radical=radical,
        ):
            x = step.x
            tick(i * steps + step.i + 1, len(batches) * steps)
        done.append(to_grey(x))
    return np.concatenate(done)
