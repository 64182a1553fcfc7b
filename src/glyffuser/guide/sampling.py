"""Drawing glyphs for figures: every step kept, each glyph from noise of its own, batches as large as a CPU likes."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from glyffuser.data.dataset import GlyphData, split_of
from glyffuser.diffusion.guidance import Denoiser, denoiser
from glyffuser.pictures import to_output
from glyffuser.pipeline import GlyffuserPipeline, seeded
from glyffuser.sample import BATCH
from glyffuser.schedulers import GlyphStep

Tick = Callable[[int, int], None]  # told (steps done, steps in all)
GUIDANCE = 4.0  # what `glyffuser sample` uses


def quiet(done: int, total: int) -> None:
    """A Tick that says nothing."""


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
    """Denoise one glyph a prompt, all at once, and yield every step; its tensors are copies.

    Glyph k starts from noise k of the seed, or all start from noise 0 where `same_noise`.
    """
    generators = [seeded(seed, 0 if same_noise else k) for k in range(len(prompts))]
    settings = {"num_inference_steps": steps, "guidance_scale": guidance, "sampler": sampler}
    for step in pipe.stream(list(prompts), generator=generators, **settings):  # type: ignore[arg-type]
        tick(step.i + 1, steps)
        yield step._replace(x=step.x.clone(), x0=step.x0.clone())


def draw(
    pipe: GlyffuserPipeline,
    prompts: Sequence[str],
    steps: int,
    guidance: float = GUIDANCE,
    sampler: str | None = None,
    seed: int = 0,
    tick: Tick = quiet,
) -> np.ndarray:
    """One finished glyph a prompt, uint8 (N, H, W), in batches."""
    done = []
    batches = [prompts[first : first + BATCH] for first in range(0, len(prompts), BATCH)]
    for i, batch in enumerate(batches):
        first = i * BATCH
        generators = [seeded(seed, first + k) for k in range(len(batch))]
        for step in pipe.stream(
            list(batch), num_inference_steps=steps, guidance_scale=guidance, sampler=sampler, generator=generators
        ):
            x = step.x
            tick(i * steps + step.i + 1, len(batches) * steps)
        done.append(pictures(x))
    return np.concatenate(done)


def pictures(images: Tensor) -> np.ndarray:
    """Images (B, 1, H, W) in [-1, 1] as `glyffuser sample` would save them: uint8 (B, H, W)."""
    return np.stack([np.asarray(picture) for picture in to_output(images, "pil")])


def grey(images: Tensor) -> np.ndarray:
    """Noised images (B, 1, H, W) as they are, uint8 (B, H, W): what lies beyond [-1, 1] is black or white."""
    return ((images[:, 0].float().clamp(-1, 1) / 2 + 0.5) * 255).round().to(torch.uint8).cpu().numpy()


def denoiser_of(pipe: GlyffuserPipeline) -> Denoiser:
    """The pipeline's network as a denoiser D(x, sigma, cond), without guidance."""
    return denoiser(pipe._network, pipe.unet.config.prediction_type, pipe.schedule)


def unseen_definitions(data: GlyphData, n: int, seed: int) -> list[str]:
    """n definitions, at random, of characters the model was not trained on; of any where there are none."""
    test = [i for i, codepoint in enumerate(data.codepoints) if split_of(int(codepoint)) == "test"]
    rows = np.random.default_rng(seed).choice(test or len(data), n, replace=n > len(test or data.chars))
    return [data.definitions[row] for row in rows]


def sheet(images: np.ndarray, columns: int, gap: int = 6, paper: int = 255) -> np.ndarray:
    """Pictures uint8 (N, H, W) in rows of `columns`, with a gap of pixels between: uint8 (rows, width)."""
    n, height, width = images.shape
    rows = -(-n // columns)
    whole = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), paper, np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        whole[top : top + height, left : left + width] = image
    return whole
