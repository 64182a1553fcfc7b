"""Drawing glyphs for figures with every step kept, and choosing definitions to draw them for."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from glyffuser.base.noise import noise_source, seeded
from glyffuser.data.dataset import GlyphData, split_of
from glyffuser.generate.draw import Tick, quiet
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.schedulers import GlyphStep


class Moment(NamedTuple):
    """What there is at timestep t on the way out of noise: the noised images xt, and the clean ones x0 that the network
    sees in them; both (B, C, H, W).
    """

    t: float
    xt: Tensor
    x0: Tensor


def steps_of(
    pipe: GlyffuserPipeline,
    prompts: Sequence[str],
    steps: int,
    sampler: str | None = None,
    seed: int = 0,
    tick: Tick = quiet,
) -> Iterator[GlyphStep]:
    """Denoise one glyph per prompt, all together, with the model's own guidance, and yield every step; its tensors are
    copies. Glyph k starts from noise k of the seed.
    """
    generators = [seeded(seed, k) for k in range(len(prompts))]
    settings = {"num_inference_steps": steps, "sampler": sampler}
    for step in pipe.stream(list(prompts), generator=generators, **settings):  # type: ignore[arg-type]
        tick(step.i + 1, steps)
        yield step._replace(x=step.x.clone(), x0=step.x0.clone())


def start_of(pipe: GlyffuserPipeline, count: int, seed: int) -> Tensor:
    """The noised images, next to nothing but noise, that the glyphs of `steps_of` start from: xt (count, C, H, W)."""
    config = pipe.unet.config
    noise = noise_source([seeded(seed, k) for k in range(count)], count)
    highest = torch.tensor(pipe.schedule.sigma_max())
    eps = noise(torch.empty(count, config.in_channels, config.sample_size, config.sample_size))
    return float(pipe.schedule.alpha(highest) * highest) * eps


def moments_of(
    pipe: GlyffuserPipeline, prompts: Sequence[str], steps: int, seed: int = 0, tick: Tick = quiet
) -> Iterator[Moment]:
    """As `steps_of`, but each noised image with what the network sees in that very one: steps + 1 moments, from the
    noise to the finished glyphs, in which nothing is left to be seen but themselves.
    """
    t, xt = pipe.schedule.T - 1.0, start_of(pipe, len(prompts), seed)
    for step in steps_of(pipe, prompts, steps, seed=seed, tick=tick):
        yield Moment(t, xt, step.x0)  # a step holds what was predicted before it, and the state after it
        t, xt = step.t, step.xt
    yield Moment(t, xt, xt)


def unseen_definitions(data: GlyphData, n: int, seed: int) -> list[str]:
    """n random definitions of characters the model was not trained on, or of any if there are none."""
    test = [i for i, codepoint in enumerate(data.codepoints) if split_of(int(codepoint)) == "test"]
    rows = np.random.default_rng(seed).choice(test or len(data), n, replace=n > len(test or data.chars))
    return [data.definitions[row] for row in rows]
