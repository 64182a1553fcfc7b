"""`glyffuser bench`: measure how fast this machine trains and draws."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, UseAppendAction, arg

from glyffuser.base.errors import UserError
from glyffuser.commands.progress import Progress
from glyffuser.commands.shared import Flag, importing, need_extra, open_pipeline, print_results
from glyffuser.config import preset

if TYPE_CHECKING:
    from glyffuser.bench.table import Table

NAMES = ("training", "sampling", "cold", "quality")
USUAL = ("cpu", "transformer", "cascade", "latent", "upscale128", "autoencoder", "gpu", "article")
STEPS = {"sampling": (1, 4, 8, 16, 40), "quality": (1, 2, 4, 8, 16, 40, 100)}
# The facts of `glyffuser info` that one needs to read a table.
SHOWN = (
    "processor",
    "instructions",
    "cores",
    "threads",
    "spins",
    "device",
    "bf16",
    "python",
    "torch",
    "diffusers",
    "glyffuser",
)


@dataclass
class Bench:
    """Measure how fast this machine trains and draws, one table each for training, sampling, cold, quality.

    Example: glyffuser bench training sampling

    Reports medians of repeated runs, and the spread from quickest to slowest; ratios are within one run. Give it the
    machine to itself, or one core and --processor-time. docs/BENCHMARKS.md explains the columns.
    """

    names: Positional[tuple[str, ...]] = ()
    """Any of training, sampling, cold, quality; default: all but quality."""
    model: str = "bundled"
    """For all but training: a model folder or run folder; default: the bundled model."""
    preset: Annotated[UseAppendAction[tuple[str, ...]], arg(help=f"For training; default: {', '.join(USUAL)}.")] = ()
    batch: int | None = None
    """For training: glyphs per step; default: the preset's own, or fewer where a step would take very long."""
    steps: tuple[int, ...] = ()
    """For sampling and quality: numbers of steps."""
    repeats: int = 5
    """How often each thing is timed."""
    n: int = 160
    """For quality: glyphs per row, taking the 80 prompts in turn; a few are enough to try it."""
    run_folder: Annotated[Path | None, arg(name="run")] = None
    """For quality: a run folder, measured after 15, 30, 60 and 120 minutes of its training."""
    out: Path = Path("bench")
    """For quality: folder for the figures."""
    processor_time: Flag = False
    """Count the processor's time, not the clock's: for a core shared with other work, with one thread."""
    json: Flag = False
    """Print the results as JSON."""

    def run(self) -> None:
        names = self.names or NAMES[:-1]
        self._check(names)
        if "quality" in names:
            need_extra("guide", "matplotlib", "pyarrow")
            from glyffuser.base.files import output_folder

            output_folder(self.out)  # which must be of use before hours are spent
        with importing():
            from glyffuser.bench.timing import clock
            from glyffuser.commands.info import collect

        clock(self.processor_time)  # raises before anything is measured
        machine, tables, figures = collect(), [], []
        for name in names:
            with Progress(name) as progress:
                found, made = getattr(self, f"_{name}")(progress)
            tables += found
            figures += made
        timed = "the processor's time" if self.processor_time else "the clock"
        facts = {"machine": machine, "timed_by": timed, "figures": figures}
        lines = [f"{key.replace('_', ' ')}: {machine[key]}" for key in SHOWN if key in machine]
        lines += [f"timed by {timed}"]
        for table in tables:
            lines += ["", *table.lines()]
        lines += ["", *(f"figure: {path}" for path in figures)] if figures else []
        print_results(self.json, facts | {"tables": [dataclasses.asdict(table) for table in tables]}, lines)

    def _check(self, names: Sequence[str]) -> None:
        """UserError for a name or a number that cannot be measured."""
        for name in names:
            if name not in NAMES:
                raise UserError(f"unknown benchmark {name!r}; choose one of {', '.join(NAMES)}")
        for name in self.preset:
            preset(name)  # raises for an unknown one
        given = {"repeats": (self.repeats,), "n": (self.n,), "batch": (self.batch,), "steps": self.steps}
        for option, values in given.items():
            for value in values:
                if value is not None and value < 1:
                    raise UserError(f"--{option} must be 1 or more, not {value}")
        by_steps = ("quality",) if self.run_folder is None else ()  # of a run, its own checkpoints are measured
        used = {
            "run": (self.run_folder is not None, ("quality",)),
            "n": (self.n != Bench.n, ("quality",)),
            "out": (self.out != Bench.out, ("quality",)),
            "preset": (bool(self.preset), ("training",)),
            "batch": (self.batch is not None, ("training",)),
            "steps": (bool(self.steps), ("sampling", *by_steps)),
            "model": (self.model != Bench.model, ("sampling", "cold", *by_steps)),
        }
        for option, (named, by) in used.items():
            if named and not {*by} & {*names}:
                raise UserError(f"--{option} is for {' and '.join(by)}; name that too, or leave the option out")

    def _training(self, progress: Progress) -> "tuple[list[Table], list[Path]]":
        from glyffuser.bench.timing import clock
        from glyffuser.bench.training import training

        now = clock(self.processor_time)
        return [training(self.preset or USUAL, self.repeats, now, self.batch, progress)], []

    def _sampling(self, progress: Progress) -> "tuple[list[Table], list[Path]]":
        from glyffuser.bench.sampling import sampling
        from glyffuser.bench.timing import clock

        steps, now = self.steps or STEPS["sampling"], clock(self.processor_time)
        return [sampling(open_pipeline(self.model), steps, self.repeats, now, progress=progress)], []

    def _cold(self, progress: Progress) -> "tuple[list[Table], list[Path]]":
        from glyffuser.bench.cold import cold

        return [cold(self.model, self.repeats, progress)], []

    def _quality(self, progress: Progress) -> "tuple[list[Table], list[Path]]":
        from glyffuser.bench.quality import by_steps, by_training
        from glyffuser.judge.judges import load_judges

        judges, steps = load_judges(), self.steps or STEPS["quality"]
        if self.run_folder is not None:
            table, picture = by_training(self.run_folder, judges, self.n, self.out, progress)
        else:
            table, picture = by_steps(open_pipeline(self.model), judges, steps, self.n, self.out, progress)
        return [table], [picture]
