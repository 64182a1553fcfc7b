"""Drawing many glyphs, a batch at a time, each from its own noise. Samples, measures and figures call this."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from glyffuser.base.noise import seeded
from glyffuser.base.pictures import to_grey
from glyffuser.generate.edits import edit_settings
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request

BATCH = 16  # glyphs denoised at a time: more is no faster on a CPU and takes more memory
USUAL = Request()

Tick = Callable[[int, int], None]  # called with (steps done, steps in all)


def quiet(done: int, total: int) -> None:
    """A Tick that does nothing."""


def taken(settings: dict[str, Any]) -> int:
    """How many steps settings of `GlyffuserPipeline.stream` take."""
    edit, steps = settings.get("edit"), settings["num_inference_steps"]
    return steps if edit is None else edit.taken(steps)


def draw(
    pipe: GlyffuserPipeline,
    prompts: Sequence[str],
    request: Request = USUAL,
    *,
    numbers: Sequence[int] | None = None,
    tick: Tick = quiet,
    finish: Callable[[Tensor], np.ndarray] = to_grey,
) -> np.ndarray:
    """One finished glyph per prompt, drawn as `request` says, uint8 (N, H, W), ink 0, paper 255.

    Glyph k starts from the noise of (request.seed, numbers[k]), by default its own k, whatever else is drawn with it.
    `tick` counts batches times steps. The prompt and n of `request` are ignored. `finish` makes something
    else of a batch of images (B, 1, H, W) in [-1, 1].
    """
    numbers = range(len(prompts)) if numbers is None else numbers
    settings = request.settled(pipe.usual).settings() | edit_settings(pipe, request)
    steps = taken(settings)
    batches = [slice(first, first + BATCH) for first in range(0, len(prompts), BATCH)]
    done = []
    for i, batch in enumerate(batches):
        generators = [seeded(request.seed, k) for k in numbers[batch]]
        for step in pipe.stream(list(prompts[batch]), generator=generators, **settings):
            x = step.x
            tick(i * steps + step.i + 1, len(batches) * steps)
        done.append(finish(pipe.decode(x)))
    return np.concatenate(done)
