"""ONNX files against torch: their sizes, how long drawing takes, and what the judges say of the glyphs.

    python benchmarks/onnx_engine.py [--model FOLDER] [--onnx FOLDER] [--only torch int8] [--n 80] [--pairs 3]

Exports the model in every precision into a folder in `--onnx`, unless it is there, then prints one table. Size: of the
denoiser and the text encoder. Difference: the largest of the denoiser from torch in float32, on random inputs. Seconds:
processor time for 16 glyphs on one thread, the median of runs in which the engines take turns. Rate, flagged: the share
of glyphs with a right radical and of implausible ones, one glyph per prompt of the evaluation, from the same noise;
`--n` takes fewer prompts, evenly from their list, for a trial.

`torch` is what `glyffuser sample` does: bfloat16 where that is fast; `torch float32` is what it does elsewhere. With
`--pairs 0` or `--steps 0`, half of the table is left out.
"""

import argparse
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from glyffuser.config import BUNDLED, STEPS
from glyffuser.evaluate.meaning import shares
from glyffuser.export.engine import with_onnx
from glyffuser.export.onnx import SETTINGS, difference, export_onnx, open_session, parts
from glyffuser.export.precision import PRECISIONS
from glyffuser.generate import pipeline
from glyffuser.generate.draw import draw
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request
from glyffuser.judge.judges import load_judges
from glyffuser.judge.prompts import PROMPTS

TORCH = ("torch", "torch float32")


def by_onnx(model: Path, folder: Path) -> GlyffuserPipeline:
    """The model with denoiser and text encoder run by onnxruntime, on one thread."""
    pipe = with_onnx(load_pipeline(model), folder)
    encoder = open_session(folder / "text_encoder.onnx", 1)

    def read(input_ids: Tensor, attention_mask: Tensor, whole: bool = False) -> tuple[Tensor, ...]:
        fed = {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()}
        return tuple(map(torch.from_numpy, encoder.run(["states", "mask"], fed)))

    pipe.text_encoder.forward = read
    return pipe


def exported(pipe: GlyffuserPipeline, folder: Path, precision: str) -> dict[str, Any]:
    """What the table says of the files of one precision; missing files are made first."""
    if not (folder / SETTINGS).is_file():
        export_onnx(pipe, folder, precision)
    sizes = {name: (folder / f"{name}.onnx").stat().st_size / 1e6 for name in ("denoiser", "text_encoder")}
    return sizes | {"difference": difference(parts(pipe)[-1], folder / "denoiser.onnx")}


def single(name: str) -> contextlib.AbstractContextManager:
    """A context with torch in float32, if the row is about that."""
    plain = mock.patch.object(pipeline, "fast_matmul", return_value=contextlib.nullcontext())
    return plain if name == "torch float32" else contextlib.nullcontext()


def timed(engines: dict[str, GlyffuserPipeline], pairs: int, steps: int) -> dict[str, float]:
    """Median processor seconds of each for 16 glyphs in `steps` steps; the engines take turns."""
    taken: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(pairs):
        for name, pipe in engines.items():
            start = time.process_time()
            with single(name):
                draw(pipe, ["gold"] * 16, Request(steps=steps))
            taken[name].append(time.process_time() - start)
    return {name: float(np.median(seconds)) for name, seconds in taken.items()} if pairs else {}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUNDLED)
    parser.add_argument("--onnx", type=Path, default=Path("onnx"), help="where the files of each precision are kept")
    parser.add_argument("--only", nargs="+", default=[*TORCH, *PRECISIONS], choices=[*TORCH, *PRECISIONS])
    parser.add_argument(
        "--n", type=int, default=len(PROMPTS), help="glyphs that are judged, each of a prompt of its own"
    )
    parser.add_argument("--steps", type=int, default=STEPS, help="of the glyphs that are judged")
    parser.add_argument("--pairs", type=int, default=3, help="rounds of timed runs")
    parser.add_argument("--timed-steps", type=int, default=STEPS, help="of the glyphs that are timed")
    options = parser.parse_args()
    if not 1 <= options.n <= len(PROMPTS):
        parser.error(f"--n must be between 1 and {len(PROMPTS)}")
    prompts = [PROMPTS[i * len(PROMPTS) // options.n] for i in range(options.n)]
    torch.set_num_threads(1)
    pipe, judges = load_pipeline(options.model), load_judges()
    engines: dict[str, GlyffuserPipeline] = {}
    files: dict[str, dict[str, float]] = {}
    for name in options.only:
        if name in TORCH:
            engines[name] = pipe
        else:
            files[name] = exported(pipe, options.onnx / name, name)
            engines[name] = by_onnx(options.model, options.onnx / name)
    seconds = timed(engines, options.pairs, options.timed_steps)
    columns: list[tuple[str, Callable[[float], str]]] = [
        *((name, lambda size: f"{size:.1f} MB") for name in ("denoiser", "text_encoder")),
        ("difference", lambda far: f"{far:.2g}"),
        ("seconds", lambda s: f"{s:.1f}"),
        *((name, lambda share: f"{100 * share:.1f} %") for name in ("rate", "flagged")),
    ]
    print(f"{'engine':16s}" + "".join(f"{name:>14s}" for name, _ in columns))
    for name, engine in engines.items():
        facts = files.get(name, {}) | ({"seconds": seconds[name]} if seconds else {})
        if options.steps:
            with single(name):
                glyphs = draw(engine, [prompt.text for prompt in prompts], Request(steps=options.steps))
            facts |= shares(judges(glyphs), prompts=prompts)
        told = [show(facts[column]) if column in facts else "" for column, show in columns]
        print(f"{name:16s}" + "".join(f"{text:>14s}" for text in told), flush=True)


if __name__ == "__main__":
    main()
