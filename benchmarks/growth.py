"""How time and memory grow with the data set: building it, encoding its captions, training, mapping, evaluating.

    python benchmarks/growth.py [--sizes 1000 21000 200000] [--stages build captions training map evaluation]
                                [--folder /tmp/growth]

One table: for each size and stage, each in a process of its own, the seconds taken and the peak memory, which includes
that of the libraries alone, about 500 MiB where torch is needed; "import" has a row of its own.

build       draws that many glyphs: characters spread evenly over Unihan, in one file; above one font's worth, all of
            them in several faces of the Noto Sans CJK collection (regional forms and widths, much alike), in shards
captions    encodes every caption of the `cpu` preset anew
training    sets up the `cpu` preset, except that its tower is fitted for 50 steps, and takes 3 steps
map         lays out every glyph, though `glyffuser map` itself uses only the first font
evaluation  measures the bundled model with 2 steps and few glyphs: full in what depends on the data set, not in drawing

A data set already in the folder is used, and so are its captions in training, so stages can be run one at a time. A
stage that fails says why.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from glyffuser.base.errors import UserError
from glyffuser.data.dataset import build_dataset, load_dataset, read_info
from glyffuser.data.fonts import default_font, load_font
from glyffuser.data.unihan import clean_definition, read_unihan

SHARDS = 10
Timed = Callable[[Path, int], dict[str, Any]]  # (where, size) -> what else there is to say


def data_of(folder: Path, size: int) -> Path:
    """The data set of a size: a file or, with several fonts, a folder."""
    file = folder / str(size) / "glyphs.parquet"
    return file if file.exists() else folder / str(size) / "glyphs"


def build(folder: Path, size: int) -> dict[str, Any]:
    """Draw the data set."""
    unihan, face = read_unihan(), default_font()
    drawable = [
        c for c in sorted(unihan.entries.keys() & face.covered) if clean_definition(unihan.entries[c].definition_raw)
    ]
    several = max(1, round(size / len(drawable)))
    chosen = [drawable[i] for i in np.linspace(0, len(drawable) - 1, min(size, len(drawable))).astype(int)]
    if several == 1:
        report = build_dataset([face], unihan, folder / str(size) / "glyphs.parquet", codepoints=chosen)
    else:
        faces = [load_font(f"face-{number}={face.path}:{number}") for number in range(several)]
        report = build_dataset(faces, unihan, folder / str(size) / "glyphs", codepoints=chosen, shards=SHARDS)
    return {"glyphs": report.rows, "fonts": several, "MiB on disk": round(report.bytes / 2**20, 1)}


def imports(folder: Path, size: int) -> dict[str, Any]:
    """Import what the other stages need."""
    import glyffuser.evaluate.measure
    import glyffuser.train.loop  # noqa: F401

    return {}


def captions(folder: Path, size: int) -> dict[str, Any]:
    """Encode all captions."""
    from glyffuser.config import preset
    from glyffuser.data.captions import build_captions
    from glyffuser.data.components import compositions
    from glyffuser.data.pictures import open_dataset
    from glyffuser.text.cache import encode_cached
    from glyffuser.text.encoder import TextEncoder

    t = preset("cpu").text
    characters, _ = open_dataset(data_of(folder, size), "train").characters()
    composed = [compositions(characters.chars, characters.senses)]
    found = build_captions(characters.definitions, characters.senses, composed)
    encoder, cache = TextEncoder(t.encoder, t.max_length, words_only=t.words_only), folder / str(size) / "text"
    shutil.rmtree(cache, ignore_errors=True)
    encoded = encode_cached(encoder, found.texts, cache)
    return {"texts": len(found.texts), "tokens": len(encoded.states)}


def training(folder: Path, size: int) -> dict[str, Any]:
    """Take three steps."""
    from glyffuser.config import override, preset
    from glyffuser.train.setup import setup
    from glyffuser.train.state import State
    from glyffuser.train.step import build_stepper

    config = override(preset("cpu"), [f"data.path={data_of(folder, size)}", "text.tower_steps=50"])
    parts = setup(config)
    state = State.begin(parts)
    stepper = build_stepper(parts, state)
    start = time.perf_counter()
    for step in range(3):
        stepper([parts.batch(step * config.train.batch_size)], 1e-4)
    return {"s a step": round((time.perf_counter() - start) / 3, 1)}


def lay_out(folder: Path, size: int) -> dict[str, Any]:
    """Lay out the map."""
    from glyffuser.guide.maths.map_layout import compute

    data = load_dataset(data_of(folder, size))
    return {"points": len(compute(data.images, data.codepoints).coordinates)}


def evaluation(folder: Path, size: int) -> dict[str, Any]:
    """Evaluate."""
    from dataclasses import replace

    from glyffuser.commands.shared import open_pipeline
    from glyffuser.evaluate.artist import QUICK
    from glyffuser.evaluate.measure import Measures, evaluate
    from glyffuser.judge.judges import BUNDLED_JUDGES, load_contrastive, load_judges, load_selector
    from glyffuser.judge.novelty import known_ideographs

    path = data_of(folder, size)
    learnt, held_out = load_dataset(path, "train"), load_dataset(path, "test")
    drawn = min(len(held_out), 200)
    settings = replace(QUICK, steps=2, definitions=drawn, references=len(learnt))
    known = known_ideographs(learnt, held_out)
    measures = Measures(load_judges(BUNDLED_JUDGES), load_selector(), known, load_contrastive(BUNDLED_JUDGES)[0])
    evaluate(open_pipeline("bundled"), measures, learnt, held_out, settings)
    return {"held out": len(held_out), "texts compared": len(learnt)}


STAGES: dict[str, Timed] = {
    "import": imports,
    "build": build,
    "captions": captions,
    "training": training,
    "map": lay_out,
    "evaluation": evaluation,
}


def run_stage(name: str, folder: Path, size: int) -> None:
    """Do the work, in a process of its own, and print time and memory as JSON."""
    start = time.perf_counter()
    try:
        told = STAGES[name](folder, size)
    except UserError as error:
        print(json.dumps({"failed": str(error)}))
        return
    (peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    used = {"seconds": time.perf_counter() - start, "cpu": time.process_time(), "MiB": int(peak.split()[1]) / 1024}
    print(json.dumps(used | {"besides": told}))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 21_000, 200_000])
    parser.add_argument("--stages", choices=STAGES, nargs="+", default=list(STAGES))
    parser.add_argument("--folder", type=Path, default=Path("/tmp/growth"), help="for data sets and caches")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)  # one, in a process of its own
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.stage:
        return run_stage(options.stage, options.folder, options.sizes[0])
    print(f"{'glyphs':>8} {'stage':11} {'seconds':>9} {'of them CPU':>12} {'peak MiB':>9}  besides")
    for size in options.sizes:
        for stage in options.stages:
            if stage == "build" and data_of(options.folder, size).exists():
                print(f"{size:8} {stage:11} there is one: {read_info(data_of(options.folder, size))['rows']} glyphs")
                continue
            command = [
                sys.executable,
                __file__,
                "--stage",
                stage,
                "--sizes",
                str(size),
                "--folder",
                str(options.folder),
            ]
            done = subprocess.run(command, capture_output=True, text=True)
            lines = done.stdout.splitlines() or [json.dumps({"failed": done.stderr.strip()[-200:] or done.returncode})]
            told = json.loads(lines[-1])
            if "failed" in told:
                print(f"{size:8} {stage:11} failed: {told['failed']}", flush=True)
                continue
            besides = ", ".join(f"{key} {value}" for key, value in told["besides"].items())
            figures = f"{told['seconds']:9.1f} {told['cpu']:12.1f} {told['MiB']:9.0f}"
            print(f"{size:8} {stage:11} {figures}  {besides}", flush=True)


if __name__ == "__main__":
    main()
