"""The explorer: a folder that runs the model in a browser with nothing behind it, and a small server to open it with.

The page is built from TypeScript (web/) and kept in static/; this file puts the model beside it. Data travels as
scripts of gzip in base64 text, since scripts are the only data that a page opened from the file system may load.
Threads need a page that is isolated from others, which takes headers and therefore a server.
"""

import base64
import gzip
import json
import lzma
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from glyffuser.base.errors import UserError
from glyffuser.base.files import atomic_path, scratch_path
from glyffuser.diffusion.schedules import Schedule
from glyffuser.export.onnx import SETTINGS, TOKENIZER, export_onnx
from glyffuser.guide.figures.data.glyph_map import pack, radical_name
from glyffuser.guide.inputs import Inputs
from glyffuser.guide.maths.map_layout import Atlas
from glyffuser.guide.site.lettering import font_css
from glyffuser.guide.site.template import render
from glyffuser.serve.local import listen

CHUNK = 3 * 2**20  # bytes per text; a multiple of three, so that texts can be joined
SIDE = 64  # pixels of a character on the map, and of the picture to noise when it is clicked
STEPS = (8, 12, 16, 24, 40)  # that the page offers
USUAL = 16  # a glyph then takes seconds in one thread, where 40 take a quarter of a minute
LEVELS = 100  # positions of the noise slider
MARK = "explorer.json"  # names the files of a folder that was written here, which may be overwritten

Report = Callable[[float, str], None]


@dataclass(frozen=True)
class Page:
    """What was written: the page, the bytes of the whole folder, and those of each file."""

    index: Path
    bytes: int
    files: dict[str, int]


def write_explorer(inputs: Inputs, out: str | Path, report: Report = lambda part, text: None) -> Page:
    """Write the folder `out`: the page, the runtime, the model in int8, and the map of all glyphs.

    `report(fraction, text)` is told the progress. The folder appears whole, at the end, in place of an older one.
    Raises UserError for a folder that holds anything else.
    """
    out = Path(out)
    check_folder(out)
    static = files("glyffuser.serve") / "static"
    with atomic_path(out) as folder, scratch_path(out) as model:
        (folder / "assets").mkdir(parents=True)
        (folder / "data").mkdir()
        export_onnx(inputs.pipe, model, "int8", lambda part, text: report(0.4 * part, text))
        facts = page_facts(json.loads((model / SETTINGS).read_text(encoding="utf-8")), inputs)
        parts = {name: (model / told["file"]).read_bytes() for name, told in facts["parts"].items()}
        parts["tokenizer"] = (model / TOKENIZER).read_bytes()
        parts["facts"] = json.dumps(facts).encode()
        parts["wasm"] = lzma.decompress((static / "ort.wasm.xz").read_bytes())
        report(0.4, "laying out the map")
        nothing = np.empty((0, 1, 1), np.uint8)
        parts["atlas"] = pack(inputs, inputs.atlas.points, nothing, [], SIDE).encode()
        parts["projection"], parts["features"] = projection(inputs.atlas)
        for i, (name, data) in enumerate(parts.items()):
            report(0.6 + 0.4 * i / len(parts), f"packing the {name.replace('_', ' ')}")
            (folder / "data" / f"{name}.js").write_text(script(name, data), encoding="ascii")
        write_page(folder, inputs, facts)
        written = {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    report(1.0, "done")
    return Page(out / "index.html", sum(written.values()), written)


def check_folder(out: Path) -> None:
    """Raise UserError if `out` holds anything but the files of an explorer: nothing else is ever replaced."""
    if not out.is_dir() or not any(out.iterdir()):
        return
    try:
        ours = {MARK, *json.loads((out / MARK).read_text(encoding="utf-8"))["files"]}
    except (OSError, ValueError, LookupError, TypeError):  # there is none, it is not ours, or of an earlier version
        raise UserError(
            f"{out} holds other files, or the page of an earlier version; remove it, or choose another --out"
        ) from None
    there = (path for path in out.rglob("*") if path.is_symlink() or not path.is_dir())
    other = next((name for path in there if (name := path.relative_to(out).as_posix()) not in ours), None)
    if other is not None:
        raise UserError(f"{out} holds other files, such as {other}, which would be lost; choose another --out")


def page_facts(facts: dict[str, Any], inputs: Inputs) -> dict[str, Any]:
    """What the page knows of the model: glyffuser.json, noise levels per number of steps, names of radicals."""
    schedule: Schedule = inputs.pipe.schedule
    usual = min(USUAL, facts["steps"])
    offered = sorted({*STEPS, usual, facts["steps"]})
    return facts | {
        "grids": {steps: schedule.sigmas(steps).tolist() for steps in offered},
        "slider": schedule.sigmas(LEVELS)[:-1].flip(0).tolist(),
        "steps": usual,
        "radicals": [radical_name(k) for k in range(1, 215)],
    }


def projection(atlas: Atlas) -> tuple[bytes, bytes]:
    """What places a picture on the map: float32 numbers, and the features of the map's glyphs as int8 (N, K).

    The numbers are the mean picture (1024), the step of each feature (K), and the components (1024, K).
    """
    steps = np.maximum(np.abs(atlas.features).max(axis=0), 1e-6) / 127
    numbers = [atlas.mean, steps, atlas.components.ravel()]
    return np.concatenate(numbers).astype("<f4").tobytes(), np.round(atlas.features / steps).astype(np.int8).tobytes()


def script(name: str, data: bytes) -> str:
    """A part of the page's data as a script that hands it over; see web/src/parts.ts."""
    packed = gzip.compress(data, 9, mtime=0)
    chunks = [base64.b64encode(packed[i : i + CHUNK]).decode("ascii") for i in range(0, len(packed), CHUNK)]
    return f"glyffuserPart({json.dumps(name)}, {json.dumps(chunks)});\n"


def write_page(folder: Path, inputs: Inputs, facts: dict[str, Any]) -> None:
    """Write the page itself, its style sheet and its scripts, in the guide's look."""
    static, guide = files("glyffuser.serve") / "static", files("glyffuser.guide.site") / "static"
    atlas = render("map.html", count=f"{len(inputs.data):,}", invented=False, data="")
    atlas = atlas.replace("data-atlas>", "data-atlas hidden>", 1)
    source = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    model = f"A model of {inputs.parameters / 1e6:.1f} million parameters, {facts['model']}, in int8"
    html = source.from_string((static / "explorer.html").read_text(encoding="utf-8")).render(map=atlas, model=model)
    css = [(guide / name).read_text(encoding="utf-8") for name in ("site.css", "map.css")]
    css = [font_css(html), *css, (static / "explorer.css").read_text(encoding="utf-8")]
    (folder / "assets" / "explorer.css").write_text("".join(css), encoding="utf-8")
    for name, source_folder in {"explorer.js": static, "site.js": guide, "map.js": guide}.items():
        (folder / "assets" / name).write_bytes((source_folder / name).read_bytes())
    (folder / "index.html").write_text(html, encoding="utf-8")
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    mark = {"glyffuser": facts["glyffuser"], "model": facts["model"], "files": names}
    (folder / MARK).write_text(json.dumps(mark), encoding="utf-8")


class Isolated(SimpleHTTPRequestHandler):
    """Serves a folder with its page isolated from others, so that it may use threads."""

    def end_headers(self) -> None:
        """Add the headers of cross-origin isolation (HTML standard, section 7.1.4)."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the terminal is the user's."""


def server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server for the folder on 127.0.0.1, on any free port for 0; call its `serve_forever`."""
    return listen(partial(Isolated, directory=str(folder)), port)
