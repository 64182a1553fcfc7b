"""From prompts to files: one PNG a glyph, a grid a prompt, and a JSON that says how they were made."""

import json
import math
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from glyffuser.base.errors import UserError
from glyffuser.base.files import atomic_path, output_folder, write_text
from glyffuser.base.pictures import grid
from glyffuser.base.weights import weights_hash
from glyffuser.config import GUIDANCE, STEPS
from glyffuser.generate.draw import BATCH, Tick, draw, quiet
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.judge.judges import load_judges

MAX_GLYPHS = 4096  # a prompt and call
SLUG_LENGTH = 48


@dataclass(frozen=True)
class SampleSettings:
    """How glyphs are drawn; see GlyffuserPipeline.__call__."""

    n: int = 16
    steps: int = STEPS
    sampler: str | None = None  # None: the model's own choice
    guidance: float = GUIDANCE
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
    progress: Tick = quiet,
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
    each = math.ceil(drawn / BATCH) * settings.steps  # denoising steps a prompt
    results = []
    for i, (prompt, slug) in enumerate(zip(prompts, slugs(prompts), strict=True)):

        def tick(done: int, _: int, before: int = i * each) -> None:
            progress(before + done, len(prompts) * each)

        start = time.perf_counter()
        images = draw(
            pipe,
            [prompt] * drawn,
            settings.steps,
            settings.guidance,
            settings.sampler,
            negative_prompt=settings.negative_prompt,
            radical=settings.radical,
            seed=settings.seed,
            tick=tick,
        )
        kept = list(range(drawn))
        if expected is not None:
            merit = judges.merit(judges(images), expected[i])
            kept = sorted(merit.topk(settings.n).indices.tolist())
        glyphs = [Image.fromarray(images[k]) for k in kept]
        facts = {"kept": kept, "seconds": round(time.perf_counter() - start, 3)}
        results.append(_write(out, f"{slug}-{settings.seed}", prompt, glyphs, settings, pipe, facts))
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
