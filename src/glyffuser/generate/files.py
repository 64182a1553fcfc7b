"""From prompts to files: one PNG per glyph, and per prompt a grid and a JSON that says how they were made."""

import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glyffuser.base.errors import UserError
from glyffuser.base.files import atomic_path, output_folder, write_text
from glyffuser.base.pictures import grid
from glyffuser.base.processes import LONE, Crew
from glyffuser.base.weights import weights_hash
from glyffuser.diffusion.samplers import SAMPLERS
from glyffuser.generate.cascade import enlarge, plan
from glyffuser.generate.choose import choose, steps_of
from glyffuser.generate.draw import BATCH, Tick, check_request, draw, quiet
from glyffuser.generate.edits import embedded
from glyffuser.generate.mixtures import read_mixture
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request
from glyffuser.judge.judges import load_selector
from glyffuser.judge.novelty import load_ideographs
from glyffuser.networks.upscaler import Upscaler

SLUG_LENGTH = 48


@dataclass(frozen=True)
class Sampled:
    """What one prompt gave: the grid, the single glyphs, the existing characters among them, the JSON, and the
    seconds it took.
    """

    prompt: str
    grid: Path
    glyphs: list[Path]
    existing: list[str]
    json: Path
    seconds: float


def sample_to_folder(
    pipe: GlyffuserPipeline,
    requests: list[Request],
    out: str | Path,
    progress: Tick = quiet,
    upscalers: Sequence[Upscaler] = (),
    crew: Crew = LONE,
) -> list[Sampled]:
    """Draw the glyphs of each request into the folder `out`: same requests, same pictures, byte for byte.

    Glyph k of a seed starts from its own noise, whatever n is; `choose` says which are kept. The bundled selector
    chooses; the judges, who score, do not. If a request wants larger glyphs, `upscalers` enlarge what is kept.
    `progress(done, total)` counts glyphs times steps. Neighbouring requests that differ only in prompt
    are drawn together. The processes of `crew` share the glyphs; the first writes, and the others get an empty list.
    Raises UserError before anything is written if a setting is out of range.
    """
    out = output_folder(out)
    requests = [embedded(replace(r, prompt=pipe.read(r.prompt))).settled(pipe.usual) for r in requests]
    for request in requests:
        check_request(pipe, request)
    selector = load_selector() if any(request.best_of > 1 for request in requests) else None
    if selector is not None and not pipe.unconditional:  # there are no texts to read where the model takes none
        selector.check(pipe.text_encoder)
    chains = [chain_of(pipe, request, upscalers) for request in requests]
    table = load_ideographs()
    works = [request.n * request.best_of * steps_of(pipe, request) for request in requests]
    model, names, results = weights_hash(pipe.unet), stems(requests), []
    for group in groups(requests, crew.size * BATCH):

        def tick(done: int, total: int, group: range = group) -> None:
            planned = sum(works[group.start : group.stop])
            progress(sum(works[: group.start]) + planned * done // total, sum(works))

        start = time.perf_counter()
        drawn = _drawn(pipe, [requests[i] for i in group], tick, crew)
        shared = (time.perf_counter() - start) / len(group)
        for i, images in zip(group, drawn, strict=True):
            request, start = requests[i], time.perf_counter()
            chosen = choose(pipe, request, table, selector, quiet, images, crew)
            large = enlarge(chains[i], chosen.images, request.seed, chosen.numbers, crew=crew)
            facts = {
                **replace(request, sampler=request.sampler or pipe.sampler_name).record(),
                "model": model,
                "engine": pipe.engine,
                **({"upscalers": [weights_hash(upscaler) for upscaler in chains[i]]} if chains[i] else {}),
                "kept": chosen.numbers,
                "nearest": [
                    {"char": match.char, "distance": round(match.distance, 3), "exists": match.exists}
                    for match in chosen.matches
                ],
                "seconds": round(shared + time.perf_counter() - start, 3),
            }
            if crew.writes:
                glyphs = [Image.fromarray(image) for image in large]
                results.append(_write(out, names[i], glyphs, facts))
    return results


def groups(requests: Sequence[Request], most: int) -> Iterator[range]:
    """Requests that can be drawn in one go, as ranges: neighbours that differ only in prompt, none of them a mixture,
    up to `most` glyphs; a single request may have more.
    """
    start = 0
    for i in range(1, len(requests) + 1):
        alike = i < len(requests) and replace(requests[i], prompt="") == replace(requests[start], prompt="")
        plain = alike and all(len(read_mixture(requests[j].prompt).texts) == 1 for j in (start, i))
        if not plain or (i + 1 - start) * requests[start].n * requests[start].best_of > most:
            yield range(start, i)
            start = i


def _drawn(pipe: GlyffuserPipeline, group: Sequence[Request], tick: Tick, crew: Crew) -> list[np.ndarray]:
    """The glyphs of each request of a group, uint8 (n * best_of, H, W), numbered from 0."""
    wanted = group[0].n * group[0].best_of
    prompts = [request.prompt for request in group for _ in range(wanted)]
    numbers = [*range(wanted)] * len(group)
    return np.split(draw(pipe, prompts, group[0], numbers=numbers, tick=tick, crew=crew), len(group))


def chain_of(pipe: GlyffuserPipeline, request: Request, upscalers: Sequence[Upscaler]) -> list[Upscaler]:
    """The upscalers that enlarge the glyphs of a request, none if it wants them as they are; UserError as `plan`."""
    size = pipe.size
    return [] if request.upscale is None else plan(size, request.upscale, upscalers)


def read_record(path: Path, pipe: GlyffuserPipeline, upscalers: Sequence[Upscaler] = ()) -> Request:
    """The request in the JSON beside a picture; UserError if it is not one, or was drawn by another model or engine,
    or enlarged by others than `upscalers`.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is not JSON'}") from error
    request = Request.from_record(facts)
    here = weights_hash(pipe.unet)
    if facts.get("model") != here:
        raise UserError(
            f"{path} was drawn by the model {facts.get('model')}, not by {here}; pass that model with --model"
        )
    engine = facts.get("engine", GlyffuserPipeline.engine)
    if engine != pipe.engine:
        raise UserError(f"{path} was drawn by the engine {engine}, not {pipe.engine}; see --engine and --onnx")
    before = facts.get("upscalers", [])
    if before != [weights_hash(upscaler) for upscaler in chain_of(pipe, request, upscalers)]:
        known = ", ".join(map(str, before)) if isinstance(before, list) else before
        raise UserError(f"{path} was enlarged by other upscalers, {known or 'unnamed ones'}; pass them with --upscaler")
    if request.sampler == pipe.sampler_name and request.sampler not in SAMPLERS:
        return replace(request, sampler=None)  # the model's own diffusers scheduler, which cannot be asked for by name
    return request


def _write(out: Path, stem: str, images: list[Image.Image], facts: dict[str, Any]) -> Sampled:
    sheet, *glyphs = (out / f"{name}.png" for name in picture_names(stem, len(images)))
    for path, image in zip([*glyphs, sheet], [*images, grid(images)], strict=True):
        with atomic_path(path) as temporary:
            image.save(temporary)
    record = out / f"{stem}.json"
    facts = facts | {"files": [path.name for path in glyphs]}
    write_text(record, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    existing = [match["char"] for match in facts["nearest"] if match["exists"]]
    return Sampled(facts["prompt"], sheet, glyphs, existing, record, facts["seconds"])


def stems(requests: Sequence[Request]) -> list[str]:
    """How the files of each request begin: slug and seed, and between them a number if any file would be taken."""
    chosen: list[str] = []
    taken: set[str] = set()
    for request in requests:
        slug, i = slug_of(request.prompt), 2
        stem = f"{slug}-{request.seed}"
        while any(name in taken for name in picture_names(stem, request.n)):
            stem, i = f"{slug}-{i}-{request.seed}", i + 1
        taken.update(picture_names(stem, request.n))
        chosen.append(stem)
    return chosen


def picture_names(stem: str, n: int) -> Iterator[str]:
    """The files of n glyphs without their endings: the grid, with which the record shares its name, and each glyph."""
    yield stem
    yield from (f"{stem}-{k}" for k in range(n))


def slug_of(prompt: str) -> str:
    """What file names call a prompt: lower-case ASCII words joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:SLUG_LENGTH].strip("-") or "glyph"
