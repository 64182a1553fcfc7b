"""`glyffuser align`: train a model to draw what was preferred."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import UseAppendAction, arg

from glyffuser.commands.shared import Flag, need_extra, open_pipeline
from glyffuser.commands.train import adjusted, begun, run
from glyffuser.config import ALIGNED, Config, named_model, preset, set_field

PAIRS = Path("pairs.parquet")  # what `label` writes if nothing else is named


@dataclass
class Align:
    """Train a model to draw what was preferred, from pairs that `glyffuser label` wrote.

    Example: glyffuser align --model runs/mine --pairs pairs.parquet --out runs/aligned

    It starts from the weights of --model and is held to that model. Ctrl-C stops it cleanly; the same --out resumes it
    exactly, with what it was begun with.
    """

    model: str | None = None
    """What to align: a model folder or run folder; default: the bundled model."""
    pairs: Annotated[
        Path | None, arg(help=f"The pairs, of which those with both glyphs bad are left out; default: {PAIRS}.")
    ] = None
    beta: float | None = None
    """How strongly the model is held to what it was: the higher, the less it moves; default: 1000."""
    out: Path = Path("runs/aligned")
    """The run folder."""
    max_minutes: float | None = None
    """Stop after this many minutes in all."""
    max_steps: int | None = None
    """Stop after this many optimiser steps in all."""
    set: UseAppendAction[tuple[str, ...]] = ()
    """Override one setting as section.key=value, for example train.lr=1e-5; may be repeated."""
    dry_run: Flag = False
    """Train nothing and write nothing: report what the run would take and when it would end."""
    json: Flag = False
    """Print the last state as JSON."""

    def run(self) -> None:
        need_extra("data", "pyarrow")
        run(*self.settings(), self.dry_run, self.json)

    def settings(self) -> tuple[Config, Path]:
        """The complete configuration and the run folder; a run that has begun keeps what no option names."""
        named: dict[str, Any] = {
            "align.reference": None if self.model is None else str(named_model(self.model).resolve()),
            "align.pairs": None if self.pairs is None else str(self.pairs.resolve()),
            "align.beta": self.beta,
        }
        config = begun(self.out, self.begin, named)
        return adjusted(config, self.set, None, self.max_minutes, self.max_steps), self.out

    def begin(self) -> Config:
        """The configuration of a new run."""
        config, model, path = preset("cpu"), self.model or "bundled", self.pairs or PAIRS
        pipe = open_pipeline(model)
        from glyffuser.data.pairs import read_pairs
        from glyffuser.train.align import digest_of, warn_of_others
        from glyffuser.train.distil import student_config

        pairs = read_pairs(path)
        warn_of_others(pairs, pipe)
        student_config(pipe, config)
        for key, value in ALIGNED.items():
            set_field(config, key, value)
        set_field(config, "align.reference", str(named_model(model).resolve()))
        set_field(config, "align.pairs", str(path.resolve()))
        set_field(config, "align.digest", digest_of(pairs))
        return config
