"""`glyffuser train`: train a model, or go on with a run."""

import contextlib
import dataclasses
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import UseAppendAction, arg

from glyffuser.base.errors import UserError
from glyffuser.base.processes import rank
from glyffuser.commands.progress import Progress
from glyffuser.commands.shared import Flag, importing, need_extra, print_results
from glyffuser.config import DATA, PRESETS, Config, load_config, override, preset, set_field

if TYPE_CHECKING:
    from glyffuser.train.folder import RunFolder
    from glyffuser.train.loop import Stop
    from glyffuser.train.parts import Parts
    from glyffuser.train.state import State


USUAL = next(iter(PRESETS))  # the preset if none is named


@dataclass
class Train:
    """Train a model, or continue a run that was stopped: the same --out resumes it exactly.

    Example: glyffuser train --preset cpu --out runs/mine --max-minutes 120

    Ctrl-C stops it cleanly after the current step, with a checkpoint and a usable model in <out>/model.
    """

    preset: Annotated[str | None, arg(help=f"One of {', '.join(PRESETS)}; default: {USUAL}.")] = None
    config: Path | None = None
    """A TOML file, such as another run's config.toml; applied over the preset."""
    data: Annotated[Path | None, arg(help=f"The data set; default: {DATA}.")] = None
    out: Path | None = None
    """The run folder; default: runs/<preset>."""
    max_minutes: float | None = None
    """Stop after this many minutes in all."""
    max_steps: int | None = None
    """Stop after this many steps in all."""
    set: UseAppendAction[tuple[str, ...]] = ()
    """Override one setting as section.key=value, for example train.lr=1e-4; may be repeated."""
    dry_run: Flag = False
    """Train nothing and write nothing: report how large the network is, what it takes and when the run would end."""
    json: Flag = False
    """Print the last state as JSON."""

    def run(self) -> None:
        run(*self.settings(), self.dry_run, self.json)

    def settings(self) -> tuple[Config, Path]:
        """The complete configuration and the run folder."""
        out = self.out or Path("runs") / (self.preset or USUAL)
        resumed = out / "config.toml"
        if self.preset is None and self.config is None and resumed.is_file():
            config = load_config(resumed)
        else:
            config = preset(self.preset or USUAL)
            if self.config is not None:
                config = load_config(self.config, config)
        return adjusted(config, self.set, self.data, self.max_minutes, self.max_steps), out


def begun(out: Path, begin: Callable[[], Config], named: Mapping[str, Any]) -> Config:
    """The configuration of the run in the folder `out`, or the one that `begin` makes if there is none; in either case
    with the settings that options named, of which the first makes the run what it is. UserError for a run of another
    kind; `RunFolder` refuses settings that a run which has begun cannot change.
    """
    path, kind = out / "config.toml", next(iter(named))
    if not path.is_file():
        return _changed(begin(), named)
    config = load_config(path)
    section, _, name = kind.partition(".")
    if not getattr(getattr(config, section), name):
        raise UserError(f"{out} holds a run of another kind, without {kind}; choose another --out")
    return _changed(config, named)


def adjusted(
    config: Config, assignments: tuple[str, ...], data: Path | None, max_minutes: float | None, max_steps: int | None
) -> Config:
    """The configuration as changed by the options --set, --data, --max-minutes and --max-steps."""
    override(config, list(assignments))
    path = None if data is None else str(data)
    return _changed(config, {"data.path": path, "train.max_minutes": max_minutes, "train.max_steps": max_steps})


def _changed(config: Config, named: Mapping[str, Any]) -> Config:
    """The configuration with some settings changed; None leaves one as it is."""
    for key, value in named.items():
        if value is not None:
            set_field(config, key, value)
    return config


def run(config: Config, out: Path, dry_run: bool, as_json: bool) -> None:
    """Train in the folder `out` as the settings say, or report what that would take."""
    if config.train.tensorboard:
        need_extra("train", "tensorboard")
    with importing():
        from glyffuser.base.files import output_folder
        from glyffuser.train.folder import RunFolder
        from glyffuser.train.setup import setup
        from glyffuser.train.state import State

    def begin() -> "tuple[Parts, State]":
        with Progress("reading captions, fitting the tower") as progress:
            parts = setup(config, progress, folder.tower(), folder.autoencoder())
        return parts, State.begin(parts, folder.checkpoints)

    folder = RunFolder(out if dry_run else output_folder(out), config)
    if dry_run:
        foretell(*begin(), as_json)
        return
    with contextlib.closing(folder):
        if os.environ.get("RANK", "0") == "0":  # of several processes (torchrun), the one that writes
            folder.claim()
        train(*begin(), folder, as_json)


def foretell(parts: "Parts", state: "State", as_json: bool) -> None:
    """Print what the run would take."""
    from glyffuser.train.forecast import forecast

    first = state.step
    told = forecast(parts, state)
    ends = datetime.now() + timedelta(minutes=told.end.minutes_left)
    facts = {"at_step": first, **dataclasses.asdict(told), "if_started_now": ends.isoformat(timespec="minutes")}
    memory, end = told.memory, told.end
    total = sum(dataclasses.asdict(memory).values())
    lines = [
        f"network: {told.parameters / 1e6:.1f} M parameters, "
        f"{told.multiply_adds / 1e6:,.0f} M multiply-adds per glyph and pass",
        f"memory: {megabytes(total)}: weights {megabytes(memory.weights)}, averages {megabytes(memory.averages)}, "
        f"optimiser {megabytes(memory.optimizer)}, a step {megabytes(memory.step)}; the data set comes on top",
        f"speed: {told.glyphs_per_second:.3g} glyphs/s, {told.seconds_a_step:.3g} s per step, without previews",
        f"end: from step {first} to step {end.steps} ({end.by}), {end.passes:.1f} passes over the data, "
        f"{end.minutes_left:.0f} minutes from now: {ends:%Y-%m-%d %H:%M}",
    ]
    print_results(as_json, facts, lines)


def train(parts: "Parts", state: "State", folder: "RunFolder", as_json: bool) -> None:
    """Train to the end or until Ctrl-C, and print where that is."""
    from glyffuser.train.loop import Stop, loop

    first, last, stop = state.step, None, Stop()
    with _stopping(stop), Progress("training") as progress:
        for last in loop(parts, state, folder, stop):
            text = f"step {last.step}, loss {last.loss:.4f}, {last.glyphs_per_second:.0f} glyphs/s"
            progress.at(last.done, text)
    facts = {
        "run": folder.path,
        "steps": state.step,
        "resumed_at": first,
        "minutes": round(state.minutes, 2),
        "loss": last.loss if last else None,
        "model": folder.path / "model",
    }
    print_results(as_json, facts)


@contextlib.contextmanager
def _stopping(stop: "Stop") -> Iterator[None]:
    """Let Ctrl-C or SIGTERM end training after the current step, and a second one at once."""

    def ask(number: int, frame: object) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.requested = True
        if rank() == 0:
            again = "press Ctrl-C" if number == signal.SIGINT else "send SIGTERM"
            print(f"stopping after this step, with a checkpoint; {again} again to stop at once", file=sys.stderr)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def megabytes(count: int) -> str:
    """Bytes as a person would write them."""
    return f"{count / 2**20:.0f} MiB"
