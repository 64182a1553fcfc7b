"""Drawing many glyphs, a batch at a time, each from its own noise, by one process or by several that share them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from glyffuser.base.noise import seeded
from glyffuser.base.pictures import to_grey
from glyffuser.base.processes import LONE, Crew
from glyffuser.generate.edits import edit_settings
from glyffuser.generate.hands import shares_of
from glyffuser.generate.mixtures import together
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request
from glyffuser.generate.schedulers import check_sampler
from glyffuser.generate.steady import in_calls
from glyffuser.generate.told import check_told

BATCH = 16  # glyphs denoised at a time: more is no faster on a CPU and takes more memory
USUAL = Request()

Tick = Callable[[int, int], None]  # called with (steps done, steps in all)


def quiet(done: int, total: int) -> None:
    """A Tick that does nothing."""


def taken(settings: dict[str, Any]) -> int:
    """How many steps these settings of `GlyffuserPipeline.stream` take."""
    edit, steps = settings.get("edit"), settings["num_inference_steps"]
    return steps if edit is None else edit.taken(steps)


def check_request(pipe: GlyffuserPipeline, request: Request) -> None:
    """UserError, before anything is drawn, for a request with a setting out of range or unknown to the model."""
    request.check()
    asked, edit = request.settled(pipe.usual), edit_settings(pipe, request)
    pipe.check(together([asked.prompt])[0], asked.n, asked.steps or 0, asked.guidance or 0.0, asked.negative)
    check_sampler(asked.sampler, pipe.sampler_name, asked.spacing, asked.eta, "edit" in edit)
    check_told(pipe.unet.config, shares_of(asked.style, 1)[0], asked.radical or 0, edit.get("parts", ()))


def decoded(pipe: GlyffuserPipeline, x: Tensor) -> Tensor:
    """The images of a batch that `stream` made, decoded if the model is latent; a row is the same in any batch."""
    return in_calls(lambda rows: pipe.decode(x[rows]), len(x), x.device)


def draw(
    pipe: GlyffuserPipeline,
    prompts: Sequence[str],
    request: Request = USUAL,
    *,
    numbers: Sequence[int] | None = None,
    tick: Tick = quiet,
    finish: Callable[[Tensor], np.ndarray] = to_grey,
    crew: Crew = LONE,
) -> np.ndarray:
    """One finished glyph per prompt, drawn as `request` says, uint8 (N, H, W), ink 0, paper 255.

    Glyph k starts from the noise of (request.seed, numbers[k]), by default (request.seed, k), and is the same whatever
    else is drawn with it, and whichever process of `crew` draws it; they share the glyphs, and each gets all of them.
    `tick` counts this process's batches times steps. The prompt and n of `request` are ignored. `finish` turns a batch
    of images (B, 1, H, W) in [-1, 1] into the result, uint8.
    """
    numbers = range(len(prompts)) if numbers is None else numbers
    settings = request.settled(pipe.usual).settings() | edit_settings(pipe, request)
    steps = taken(settings)

    def work(rows: slice) -> np.ndarray:
        batches = [slice(first, min(first + BATCH, rows.stop)) for first in range(rows.start, rows.stop, BATCH)]
        done = []
        for i, batch in enumerate(batches):
            generators = [seeded(request.seed, k) for k in numbers[batch]]
            for step in pipe.stream(list(prompts[batch]), generator=generators, alike=True, **settings):
                x = step.x
                tick(i * steps + step.i + 1, len(batches) * steps)
            done.append(finish(decoded(pipe, x)))
        return np.concatenate(done)

    return crew.shared(len(prompts), work)
