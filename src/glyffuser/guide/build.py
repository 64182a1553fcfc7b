"""Make figures one after another, or take them from the cache, reporting progress; and export them as files."""

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from glyffuser.base.errors import UserError
from glyffuser.base.files import atomic_path, output_folder
from glyffuser.base.films import write_film
from glyffuser.guide import store
from glyffuser.guide.catalogue import FIGURES, FigureSpec
from glyffuser.guide.inputs import Inputs

Report = Callable[[float, str], None]
KEEP_SECONDS = 7 * 24 * 3600  # how long figures made from other inputs are kept


@dataclass(frozen=True)
class Built:
    """One figure: its folder or, if it could not be made, one line saying why."""

    spec: FigureSpec
    folder: Path | None
    missing: str = ""
    seconds: float = 0.0
    cached: bool = False


def check_names(names: Iterable[str]) -> list[FigureSpec]:
    """The figures with these names, or all if there are none, in the guide's order. UserError for an unknown name."""
    names = list(names)
    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        raise UserError(f"unknown figure {unknown[0]!r}; choose among {', '.join(FIGURES)}")
    return [spec for spec in FIGURES.values() if not names or spec.id in names]


def build(specs: list[FigureSpec], inputs: Inputs, report: Report = lambda part, text: None) -> list[Built]:
    """Make every figure that is not in the cache. A missing input is reported, not raised."""
    total, before = sum(spec.cost for spec in specs), 0.0
    built = []
    for spec in specs:
        inputs.progress = lambda part, spec=spec, before=before: report(  # type: ignore[misc]
            (before + min(part, 1.0) * spec.cost) / total, f"figure {spec.id}"
        )
        inputs.progress(0.0)
        built.append(build_one(spec, inputs))
        before += spec.cost
    report(1.0, "done")
    return built


def build_one(spec: FigureSpec, inputs: Inputs) -> Built:
    """Make one figure, or take it from the cache."""
    start = time.perf_counter()
    try:
        if before := made_before(spec, inputs):
            return before
        folder = store.folder_of(spec, inputs)
        store.save(spec.build(inputs), folder)
    except UserError as error:
        return Built(spec, None, str(error), time.perf_counter() - start)
    for old in folder.parent.glob(f"{spec.id}-{'?' * 16}"):
        if old != folder and time.time() - old.stat().st_mtime > KEEP_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    return Built(spec, folder, seconds=time.perf_counter() - start)


def made_before(spec: FigureSpec, inputs: Inputs) -> Built | None:
    """The figure, if it is in the cache."""
    try:
        folder = store.folder_of(spec, inputs)
    except UserError:
        return None
    return Built(spec, folder, cached=True) if (folder / "figure.json").is_file() else None


def export(built: Built, out: Path) -> list[Path]:
    """Copy a finished figure's PNG and SVG to `out`, and write an animation as MP4, WebP and GIF; returns the files.

    A figure with sliders also yields a PNG for every position.
    """
    assert built.folder is not None
    output_folder(out)
    return _export(store.load(built.folder), built.folder, built.spec.id, out)


def _export(facts: dict[str, Any], folder: Path, name: str, out: Path) -> list[Path]:
    if facts["kind"] == "tabs":
        parts = facts["tabs"]
        names = [name if k == 0 else f"{name}-{_slug(part['tab'])}" for k, part in enumerate(parts)]
        return [path for part, n in zip(parts, names, strict=True) for path in _export(part, folder, n, out)]
    written = []
    for kind in ("png", "svg"):
        with atomic_path(out / f"{name}.{kind}") as temporary:
            shutil.copyfile(folder / facts[kind], temporary)
        written.append(out / f"{name}.{kind}")
    if facts["kind"] == "animation":
        frames = [Image.open(folder / frame).convert("RGB") for frame in facts["frames"]]
        held = [
            *frames,
            *[frames[-1]] * round(facts["fps"]),
        ]  # players do not loop an MP4: hold its end for a second
        for kind, shown in (("mp4", held), ("webp", frames), ("gif", frames)):
            write_film(shown, facts["fps"], out / f"{name}.{kind}")
            written.append(out / f"{name}.{kind}")
    if facts["kind"] == "sliders":
        for at in facts["positions"]:
            with atomic_path(out / f"{name}-{at}.png") as temporary:
                Image.open(folder / f"{facts['stem']}{at}.webp").save(temporary)
            written.append(out / f"{name}-{at}.png")
    return written


def _slug(text: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in text.lower()).split())
