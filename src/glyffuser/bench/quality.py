"""Quality against time: how many glyphs mean what was asked, and how many are flawed, by steps and by training.

The shares are those of the evaluation (evaluate/meaning.py), from fewer glyphs: one for each of its prompts in turn.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from safetensors.torch import load_file

from glyffuser.base.errors import UserError
from glyffuser.base.files import atomic_path
from glyffuser.bench.table import Table, percent
from glyffuser.evaluate.meaning import prompt_hits
from glyffuser.generate.draw import draw
from glyffuser.generate.load import load_pipeline, model_folder
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request
from glyffuser.guide.style import ACCENT, COOL, DPI, figure, styled
from glyffuser.judge.judges import Judges
from glyffuser.judge.prompts import PROMPTS, Prompt
from glyffuser.train.checkpoint import list_checkpoints

MINUTES = (15, 30, 60, 120)  # of training
NEAR = 0.1  # a checkpoint counts for a time if it misses it by no more than this share
STRIDE = 37  # from one prompt to the next, so that even a few are of all kinds; coprime to their number
PREVIEWED = 32  # glyphs that a preview of a run draws

Tick = Callable[[int, int], None]


class Point(NamedTuple):
    """Shares of `glyphs` glyphs at `x`: with a radical that the prompt calls for, and flagged as implausible."""

    x: float
    hits: float
    flagged: float
    glyphs: int
    seconds: float = 0.0

    def error(self, share: float) -> float:
        """The standard error of a share, by the binomial distribution."""
        return float(np.sqrt(share * (1 - share) / self.glyphs))


def asked(n: int) -> list[Prompt]:
    """The prompts of n glyphs."""
    return [PROMPTS[k * STRIDE % len(PROMPTS)] for k in range(n)]


def measure(pipe: GlyffuserPipeline, judges: Judges, x: float, n: int, steps: int, tick: Tick) -> Point:
    """Draw and judge n glyphs; their noise is the same at every call."""
    prompts, start = asked(n), time.perf_counter()
    images = draw(pipe, [prompt.text for prompt in prompts], Request(steps=steps), tick=tick)
    seconds = time.perf_counter() - start
    judged = judges(images)
    hits = prompt_hits(judged, 1, prompts).double().mean()
    return Point(x, float(hits), float(judged.flagged.double().mean()), n, seconds)


def by_steps(
    pipe: GlyffuserPipeline, judges: Judges, steps: Sequence[int], n: int, out: Path, progress: Tick
) -> tuple[Table, Path]:
    """The shares at each number of steps: the table, and a figure in the folder `out`."""
    points: list[Point] = []
    before, total = 0, n * sum(set(steps))
    for count in sorted(set(steps)):

        def tick(done: int, of: int, before: int = before, count: int = count) -> None:
            progress(before + n * count * done // of, total)

        points.append(measure(pipe, judges, count, n, count, tick))
        before += n * count
    table = Table("Quality against steps", ("steps", "s a glyph", "glyphs", *SHARES))
    for point in points:
        table.add(int(point.x), point.seconds / point.glyphs, point.glyphs, *shares(point))
    table.notes = [
        f"{n} glyphs, for the {len(PROMPTS)} prompts of the evaluation in turn; by the clock; errors are standard "
        "errors."
    ]
    return table, save(drawn(points, "steps of sampling"), out / "quality-steps.png")


def by_training(
    run: Path, judges: Judges, n: int, out: Path, progress: Tick, minutes: Sequence[float] = MINUTES
) -> tuple[Table, Path]:
    """The shares after given minutes of training: from the checkpoint that the run kept from about then, or else from
    the preview nearest to then, by its scores.jsonl. UserError if the run has neither.
    """
    kept, previews = checkpoints(run), scored(run)
    if not kept and not previews:
        raise UserError(f"{run} holds no checkpoints of an ended run and no scores.jsonl; name a run folder")
    table = Table("Quality against training", ("minutes", "step", "measured on", "glyphs", *SHARES))
    points: list[Point] = []
    found = {wanted: at for wanted in minutes if (at := near(kept, wanted)) is not None}
    for wanted in minutes:
        if wanted in found:
            before, at = n * [*found].index(wanted), found[wanted]

            def tick(done: int, of: int, before: int = before) -> None:
                progress(before + n * done // of, n * len(found))

            pipe = averaged(run, kept[at])
            point = measure(pipe, judges, at, n, pipe.usual.steps, tick)
            step, source = number(kept[at]), "checkpoint"
        elif previews:
            step, point = min(previews.items(), key=lambda pair: abs(pair[1].x - wanted))
            source = "its previews"
        else:
            continue
        if not points or points[-1].x < point.x:
            points.append(point)
            table.add(round(point.x, 1), step, source, point.glyphs, *shares(point))
    if not points:
        times = ", ".join(map(str, minutes))
        raise UserError(f"{run} kept no checkpoint from about {times} minutes; raise train.keep_checkpoints next time")
    table.notes = ["Minutes of the run's own machine and threads; previews draw fewer steps, of eight easy prompts."]
    return table, save(drawn(points, "minutes of training"), out / "quality-training.png")


SHARES = ("right radical", "its error", "flagged", "error of that")


def shares(point: Point) -> tuple[str, str, str, str]:
    """The cells of SHARES."""
    hits, flagged = point.hits, point.flagged
    return percent(hits), percent(point.error(hits)), percent(flagged), percent(point.error(flagged))


def checkpoints(run: Path) -> dict[float, Path]:
    """The checkpoints of a run that has left a model, by the minutes of training before them."""
    if model_folder(run) == run:
        return {}
    found = {path: json.loads((path / "state.json").read_text()) for path in list_checkpoints(run / "checkpoints")}
    return {state["minutes"]: path for path, state in found.items()}


def near(kept: Iterable[float], wanted: float) -> float | None:
    """The time nearest to the one wanted, if it counts for it."""
    at = min(kept, key=lambda at: abs(at - wanted), default=None)
    return None if at is None or abs(at - wanted) > NEAR * wanted else at


def number(checkpoint: Path) -> int:
    """The step of a checkpoint."""
    return int(checkpoint.name.removeprefix("step-"))


def averaged(run: Path, checkpoint: Path) -> GlyffuserPipeline:
    """The run's model with the averaged weights of one of its checkpoints."""
    pipe, weights = load_pipeline(run), load_file(checkpoint / "ema.safetensors")
    for parameter, name in zip(pipe.unet.parameters(), sorted(weights), strict=True):
        parameter.data.copy_(weights[name])
    return pipe


def scored(run: Path) -> dict[int, Point]:
    """The scores of a run's previews, by their steps; `x` is the minutes of training."""
    scores, log = (read_lines(run / name) for name in ("scores.jsonl", "metrics.jsonl"))
    lines = [line for line in scores if "radical_hits" in line]
    if not lines or not log:
        return {}
    steps, minutes = ([line[key] for line in log] for key in ("step", "minutes"))
    return {
        line["step"]: Point(
            float(np.interp(line["step"], steps, minutes)), line["radical_hits"], line["flagged"], PREVIEWED
        )
        for line in lines
    }


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSONL file, none if there is no such file; UserError for one that is not JSON."""
    if not path.is_file():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); `glyffuser train` with the same --out mends it") from error


@styled
def drawn(points: Sequence[Point], axis: str) -> Figure:
    """Both shares in per cent over a logarithmic axis, with one standard error on either side."""
    made = figure(3.6, 7.0)
    ax, x = made.add_subplot(), [point.x for point in points]
    for name, colour, values in (
        ("the right radical", COOL, [point.hits for point in points]),
        ("flagged as flawed", ACCENT, [point.flagged for point in points]),
    ):
        errors = [100 * point.error(value) for point, value in zip(points, values, strict=True)]
        ax.errorbar(x, [100 * v for v in values], errors, color=colour, marker="o", capsize=3, label=name)
    ax.set_xscale("log")
    ax.set_xticks(x, [f"{value:.0f}" for value in x])
    ax.minorticks_off()
    ax.set_ylim(-3, 103)  # so that marks at either end show whole
    ax.set_xlabel(axis)
    ax.set_ylabel("of glyphs, %")
    ax.legend()
    return made


def save(made: Figure, path: Path) -> Path:
    """Write a figure as PNG; returns its path."""
    with atomic_path(path) as temporary:
        made.savefig(temporary, dpi=DPI)
    return path
