"""From prompts to files: one PNG a glyph, a grid a prompt, and a JSON that says how they were made."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glyffuser.errors import UserError
from glyffuser.evaluate.judges import load_judges
from glyffuser.files import atomic_path, output_folder, write_text
from glyffuser.pictures import grid, to_output
from glyffuser.pipeline import GlyffuserPipeline, seeded, weights_hash

MAX_GLYPHS = 4096  # a prompt and call
BATCH = 16  # glyphs denoised at a time: more is not faster on a CPU and takes more memory
SLUG_LENGTH = 48


@dataclass(frozen=True)
class SampleSettings:
    """How glyphs are drawn; see GlyffuserPipeline.__call__."""

    n: int = 16
    steps: int = 30
    sampler: str | None = None  # None: the model's own choice
    guidance: float = 4.0
    negative_prompt: str | None = None
    seed: int = 0
    best_of: int = 1  # glyphs drawn for each that is kept
    radical: int | None = None  # None: drawn for each glyph by the model's prior


@dataclass(frozen=True)
class Sampled:
    """What one prompt brought: the grid, the single glyphs, the JSON, and the seconds it took."""

    prompt: str
    grid: Path
    glyphs: list[Path]
    json: Path
    seconds: float


def sample_to_folder(
    pipe: GlyffuserPipeline,
    prompts: list[str],
    settings: SampleSettings,
    out: str | Path,
    progress: Callable[[int, int], None] | None = None,
) -> list[Sampled]:
    """Draw `settings.n` glyphs for each prompt into the folder `out`; same arguments, same pictures, byte for byte.

    Glyph k of a seed starts from noise of its own, whatever n is. With `best_of` K, the first n K glyphs are drawn and
    the n that the bundled judges like best are kept. `progress(done, total)` counts denoising steps.
    Raises UserError before anything is written where a setting is out of range.
    """
    out = output_folder(out)
    prompts = [pipe.text_encoder.check(prompt) for prompt in prompts]
    check(settings)
    drawn = settings.n * settings.best_of
    expected = None
    if settings.best_of > 1:
        judges = load_judges()
        expected = judges.expect(pipe.text_encoder, prompts)
    batches = [range(first, min(first + BATCH, drawn)) for first in range(0, drawn, BATCH)]
    total, done = len(prompts) * len(batches) * settings.steps, 0
    results = []
    for i, (prompt, slug) in enumerate(zip(prompts, slugs(prompts), strict=True)):
        start = time.perf_counter()
        images: list[Image.Image] = []
        for batch in batches:
            for step in pipe.stream(
                prompt,
                settings.negative_prompt,
                num_images_per_prompt=len(batch),
                num_inference_steps=settings.steps,
                guidance_scale=settings.guidance,
                sampler=settings.sampler,
                generator=[seeded(settings.seed, k) for k in batch],
                radical=settings.radical,
            ):
                x = step.x
                done += 1
                if progress:
                    progress(done, total)
            images += to_output(x, "pil")
        kept = list(range(drawn))
        if expected is not None:
            merit = judges.merit(judges(np.stack([np.asarray(image) for image in images])), expected[i])
            kept = sorted(merit.topk(settings.n).indices.tolist())
            images = [images[k] for k in kept]
        facts = {"kept": kept, "seconds": round(time.perf_counter() - start, 3)}
        results.append(_write(out, f"{slug}-{settings.seed}", prompt, images, settings, pipe, facts))
    return results


def check(settings: SampleSettings) -> None:
    """UserError where there would be too few or too many glyphs, or for a seed out of range."""
    if not 1 <= settings.n <= MAX_GLYPHS:
        raise UserError(
            f"-n must be between 1 and {MAX_GLYPHS}, not {settings.n}; for more, run again with another --seed"
        )
    if not 1 <= settings.best_of <= MAX_GLYPHS // settings.n:
        most = MAX_GLYPHS // settings.n
        raise UserError(f"--best-of must be between 1 and {most} for {settings.n} glyphs, not {settings.best_of}")
    if not 0 <= settings.seed < 2**64:
        raise UserError(f"the seed must be between 0 and 2^64 - 1, not {settings.seed}")


def _write(
    out: Path,
    stem: str,
    prompt: str,
    images: list[Image.Image],
    settings: SampleSettings,
    pipe: GlyffuserPipeline,
    found: dict[str, Any],
) -> Sampled:
    glyphs = [out / f"{stem}-{k}.png" for k in range(len(images))]
    sheet = out / f"{stem}.png"
    for path, image in zip([*glyphs, sheet], [*images, grid(images)], strict=True):
        with atomic_path(path) as temporary:
            image.save(temporary)
    facts = {
        "prompt": prompt,
        **asdict(settings),
        "sampler": settings.sampler or pipe.sampler_name,
        "model": weights_hash(pipe.unet),
        **found,
        "files": [path.name for path in glyphs],
    }
    record = out / f"{stem}.json"
    write_text(record, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    return Sampled(prompt, sheet, glyphs, record, found["seconds"])


def slugs(prompts: list[str]) -> list[str]:
    """A file name for each prompt: lower-case ASCII words joined by hyphens, numbered where two would be alike."""
    names: list[str] = []
    for prompt in prompts:
        stem = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:SLUG_LENGTH].strip("-") or "glyph"
        name, i = stem, 2
        while name in names:
            name, i = f"{stem}-{i}", i + 1
        names.append(name)
    return names
