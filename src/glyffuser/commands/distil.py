"""`glyffuser distil`: train a student that draws with fewer evaluations of the network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import UseAppendAction, arg

from glyffuser.base.names import DISTILLATIONS
from glyffuser.commands.shared import Flag, open_pipeline
from glyffuser.commands.train import adjusted, begun, run
from glyffuser.config import DATA, STUDENTS, Config, named_model, preset, set_field


@dataclass
class Distil:
    """Train a student of a model: one that needs no guidance, or one that draws in few steps.

    Example: glyffuser distil --model runs/mine --method guidance --out runs/folded
             glyffuser distil --model runs/mine --method consistency --steps 4 --out runs/fast

    The student starts from its teacher's weights. Ctrl-C stops it cleanly; the same --out resumes it exactly, with what
    it was begun with.
    """

    model: str | None = None
    """The teacher: a model folder or run folder; default: the bundled model."""
    method: Annotated[
        str | None, arg(help=f"One of {', '.join(DISTILLATIONS)}; default: {DISTILLATIONS[0]}, or that of the run.")
    ] = None
    steps: int | None = None
    """Steps in which a student of "consistency" or "moments" is to draw; default: 4."""
    guidance: float | None = None
    """Scale of the teacher's guidance; default: the teacher's own choice."""
    adversarial: float | None = None
    """Let a discriminator, which sees real glyphs, pull on a few-step student too: a share of the teacher's pull."""
    data: Annotated[Path | None, arg(help=f"The data set; default: {DATA}.")] = None
    out: Path | None = None
    """The run folder; default: runs/<method>."""
    max_minutes: float | None = None
    """Stop after this many minutes in all."""
    max_steps: int | None = None
    """Stop after this many optimiser steps in all."""
    set: UseAppendAction[tuple[str, ...]] = ()
    """Override one setting as section.key=value, for example train.lr=1e-4; may be repeated."""
    dry_run: Flag = False
    """Train nothing and write nothing: report what the run would take and when it would end."""
    json: Flag = False
    """Print the last state as JSON."""

    def run(self) -> None:
        run(*self.settings(), self.dry_run, self.json)

    def settings(self) -> tuple[Config, Path]:
        """The complete configuration and the run folder; a run that has begun keeps what no option names."""
        out = self.out or Path("runs") / (self.method or DISTILLATIONS[0])
        named: dict[str, Any] = {
            "distil.teacher": None if self.model is None else str(named_model(self.model).resolve()),
            "distil.method": self.method,
            "distil.steps": self.steps,
            "distil.guidance": self.guidance,
            "distil.adversarial": self.adversarial,
        }
        config = begun(out, self.begin, named)
        return adjusted(config, self.set, self.data, self.max_minutes, self.max_steps), out

    def begin(self) -> Config:
        """The configuration of a new student."""
        config, model, method = preset("cpu"), self.model or "bundled", self.method or DISTILLATIONS[0]
        set_field(config, "distil.method", method)
        pipe = open_pipeline(model)
        from glyffuser.train.distil import student_config

        student_config(pipe, config)
        for key, value in STUDENTS[method].items():
            set_field(config, key, value)
        set_field(config, "distil.teacher", str(named_model(model).resolve()))
        set_field(config, "distil.guidance", pipe.usual.guidance)
        return config
