"""Finished figures on disk: one folder each, with figure.json and the pictures it names.

A figure's folder is named after a hash of everything it was made from (the versions of the package and of its drawing,
the data, networks and run, --quick, the seed), so that it is made again if and only if one of these has changed.
"""

import base64
import hashlib
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from glyffuser import __version__
from glyffuser.base.files import atomic_path
from glyffuser.guide import style
from glyffuser.guide.drawn import Animation, Drawn, Page, Sliders, Still, Tabs
from glyffuser.guide.inputs import Inputs

if TYPE_CHECKING:
    from glyffuser.guide.catalogue import FigureSpec

QUALITY = 82  # of lossy WebP, for frames


def folder_of(spec: "FigureSpec", inputs: Inputs) -> Path:
    """Where the finished figure is, or will be."""
    facts = [inputs.key(spec.needs), spec.version, __version__]
    name = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    return inputs.cache / "figures" / f"{spec.id}-{name}"


def load(folder: Path) -> dict[str, Any]:
    """The contents of figure.json."""
    return json.loads((folder / "figure.json").read_text(encoding="utf-8"))


def save(drawn: Drawn, folder: Path) -> None:
    """Write a drawn figure; being killed half-way leaves no half-written one."""
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        facts = _write(drawn, temporary, "")
        (temporary / "figure.json").write_text(json.dumps(facts, ensure_ascii=False, indent=1), encoding="utf-8")


def _write(drawn: Drawn, folder: Path, stem: str) -> dict[str, Any]:
    """Write the pictures of one drawing, with names that begin with `stem`; returns its entry in figure.json."""
    facts: dict[str, Any] = {"kind": type(drawn).__name__.lower(), "alt": drawn.alt, "caption": drawn.caption}
    match drawn:
        case Still():
            return facts | _write_figure(drawn.figure, folder, stem)
        case Page():
            (folder / f"{stem}page.html").write_text(drawn.html, encoding="utf-8")
            return facts | {"html": f"{stem}page.html"} | _write_figure(drawn.still, folder, stem)
        case Animation():
            names = [f"{stem}frame-{k:03}.webp" for k in range(len(drawn.frames))]
            for name, frame in zip(names, drawn.frames, strict=True):
                frame.convert("RGB").save(folder / name, quality=QUALITY, method=3)
            rest = drawn.rest % len(drawn.frames)
            moving = {"frames": names, "labels": drawn.labels, "fps": drawn.fps, "rest": rest}
            return facts | moving | _write_picture(drawn.frames[rest], folder, stem)
        case Sliders():
            pictures = {"-".join(map(str, at)): picture for at, picture in sorted(drawn.pictures.items())}
            for at, picture in pictures.items():
                picture.convert("RGB").save(folder / f"{stem}at-{at}.webp", quality=QUALITY + 8, method=3)
            turned = {"sliders": [asdict(slider) for slider in drawn.sliders], "positions": list(pictures)}
            return facts | turned | {"stem": f"{stem}at-"} | _write_picture(drawn.pictures[drawn.start], folder, stem)
        case Tabs():
            tabs = [{"tab": name} | _write(part, folder, f"{stem}{k}-") for k, (name, part) in enumerate(drawn.tabs)]
            return facts | {"tabs": tabs}


def _write_figure(figure: Any, folder: Path, stem: str) -> dict[str, Any]:
    picture = style.to_image(figure)
    picture.save(folder / f"{stem}still.png", optimize=True)
    with style.applied():
        figure.savefig(folder / f"{stem}still.svg", metadata={"Date": None}, dpi=style.DPI)
    return {"png": f"{stem}still.png", "svg": f"{stem}still.svg", "size": picture.size}


def _write_picture(picture: Image.Image, folder: Path, stem: str) -> dict[str, Any]:
    """Write a picture as PNG and as an SVG that holds the PNG, so that both can be had."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    (folder / f"{stem}still.png").write_bytes(buffer.getvalue())
    width, height = picture.size
    (folder / f"{stem}still.svg").write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f'<image width="{width}" height="{height}" href="data:image/png;base64,'
        f'{base64.b64encode(buffer.getvalue()).decode()}"/></svg>\n'
    )
    return {"png": f"{stem}still.png", "svg": f"{stem}still.svg", "size": picture.size}
