"""Drawing glyphs for figures with every step kept, and choosing definitions to draw them for."""

from collections.abc import Iterator, Sequence

import numpy as np

from glyffuser.base.noise import seeded
from glyffuser.config import GUIDANCE
from glyffuser.data.dataset import GlyphData, split_of
from glyffuser.generate.draw import Tick, quiet
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.schedulers import GlyphStep


def steps_of(
    pipe: GlyffuserPipeline,
    prompts: Sequence[str],
    steps: int,
    guidance: float = GUIDANCE,
    sampler: str | None = None,
    seed: int = 0,
    same_noise: bool = False,
    tick: Tick = quiet,
) -> Iterator[GlyphStep]:
    """Denoise one glyph per prompt, all together, and yield every step; its tensors are copies.

    Glyph k starts from noise k of the seed or, with `same_noise`, from its noise 0.
    """
    generators = [seeded(seed, 0 if same_noise else k) for k in range(len(prompts))]
    settings = {"num_inference_steps": steps, "guidance_scale": guidance, "sampler": sampler}
    for step in pipe.stream(list(prompts), generator=generators, **settings):  # type: ignore[arg-type]
        tick(step.i + 1, steps)
        yield step._replace(x=step.x.clone(), x0=step.x0.clone())


def unseen_definitions(data: GlyphData, n: int, seed: int) -> list[str]:
    """n random definitions of characters the model was not trained on, or of any if there are none."""
    test = [i for i, codepoint in enumerate(data.codepoints) if split_of(int(codepoint)) == "test"]
    rows = np.random.default_rng(seed).choice(test or len(data), n, replace=n > len(test or data.chars))
    return [data.definitions[row] for row in rows]
