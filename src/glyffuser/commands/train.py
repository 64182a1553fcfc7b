"""`glyffuser train`: train a model, or go on with a run."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import UseAppendAction

from glyffuser.commands.progress import Progress
from glyffuser.commands.shared import Flag, print_results


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
        from glyffuser.train.loop import Trainer

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
