"""The command line: parse, validate, call one library function, print.

Results go to stdout, progress and complaints to stderr. Exit status: 0 for success; 2 for bad input, with one line that
says what is wrong and how to fix it; 1 for a bug of ours; 130 after Ctrl-C. Heavy imports are inside the commands, so
that `glyffuser --help` is quick.
"""

import contextlib
import io
import itertools
import os
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, get_args

import tyro
from tyro.conf import subcommand

from glyffuser.base.errors import UserError
from glyffuser.base.processes import rank, says_first, world
from glyffuser.commands.align import Align
from glyffuser.commands.animate import Animate
from glyffuser.commands.bench import Bench
from glyffuser.commands.dataset import Dataset
from glyffuser.commands.distil import Distil
from glyffuser.commands.evaluate import Evaluate
from glyffuser.commands.explorer import Explorer
from glyffuser.commands.export import Font, Svg
from glyffuser.commands.find import Find
from glyffuser.commands.guide import Figures, Guide, Map
from glyffuser.commands.inspect import Inspect
from glyffuser.commands.label import Label
from glyffuser.commands.mishaps import heeding_sigterm, in_words
from glyffuser.commands.onnx import Onnx
from glyffuser.commands.sample import Sample
from glyffuser.commands.serve import Serve
from glyffuser.commands.shared import Flag, importing, print_results
from glyffuser.commands.train import Train
from glyffuser.commands.train_judges import TrainJudges


@dataclass
class Info:
    """Show what is installed and what was found: versions, device, threads, bundled weights, data.

    Example: glyffuser info
    """

    json: Flag = False
    """Print as JSON."""

    def run(self) -> None:
        with importing():
            from glyffuser.commands.info import collect

        print_results(self.json, collect())


Command = (
    Annotated[Sample, subcommand("sample")]
    | Annotated[Dataset, subcommand("dataset")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Distil, subcommand("distil")]
    | Annotated[Label, subcommand("label")]
    | Annotated[Align, subcommand("align")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Bench, subcommand("bench")]
    | Annotated[Inspect, subcommand("inspect")]
    | Annotated[Find, subcommand("find")]
    | Annotated[TrainJudges, subcommand("train-judges")]
    | Annotated[Svg, subcommand("svg")]
    | Annotated[Font, subcommand("font")]
    | Annotated[Animate, subcommand("animate")]
    | Annotated[Onnx, subcommand("onnx")]
    | Annotated[Guide, subcommand("guide")]
    | Annotated[Figures, subcommand("figures")]
    | Annotated[Map, subcommand("map")]
    | Annotated[Serve, subcommand("serve")]
    | Annotated[Explorer, subcommand("explorer")]
    | Annotated[Info, subcommand("info")]
)

SHARING = (Sample, Train, Distil, Align, Evaluate)  # commands that several processes can share
WIDE = 10**6  # columns: more than any line that tyro writes
COMMANDS = [command.__metadata__[0].name for command in get_args(Command)]


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    warnings.showwarning = _show_warning
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that lacks a character gets its number, as on stderr
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with heeding_sigterm():
            command = _parse(sys.argv[1:] if argv is None else argv)
            if world() > 1 and not isinstance(command, SHARING):
                raise UserError(
                    "only sample, train, distil, align and evaluate can be shared by several processes; for any other "
                    "command, start it without torchrun"
                )
            command.run()
            sys.stdout.flush()
    except UserError as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        if rank() == 0:
            print("glyffuser: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `glyffuser ... | head`
        sys.stderr.close()
        return 1
    except (OSError, MemoryError, RuntimeError) as error:
        if (said := in_words(error)) is None:
            raise
        return _complain(said)
    return 0


def _parse(argv: list[str]) -> Any:
    """The command that `argv` names. tyro reports a mistake in a box; here it becomes one line."""
    if any("\ud800" <= sign <= "\udfff" for word in argv for sign in word):  # bytes that Python could not decode
        raise UserError("an argument is not valid UTF-8; write it in UTF-8, or rename the file that it names")
    box, argv = io.StringIO(), argv or ["--help"]
    wide = contextlib.nullcontext() if {"-h", "--help"} & {*argv} else _wide()  # help is for the terminal as it is
    try:
        with contextlib.redirect_stderr(box), wide:
            return tyro.cli(
                Command,
                args=argv,
                prog="glyffuser",
                description="Invent Chinese glyphs from English meanings.",
            )
    except SystemExit as end:
        if end.code:
            command = f"glyffuser {argv[0]}" if argv[0] in COMMANDS else "glyffuser"
            raise UserError(f"{_mistake(box.getvalue())}; see {command} --help") from None
        raise


@contextlib.contextmanager
def _wide() -> Iterator[None]:
    """Let tyro, which fits its box to the terminal, write each sentence on a line of its own."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(WIDE)
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def _mistake(box: str) -> str:
    """What tyro's box says first, below its title: a sentence, or one that ends in a colon and a list."""
    rows = [line.strip("│ ") for line in box.splitlines()[1:]]
    ruled = itertools.dropwhile(lambda row: not row.strip("─-"), rows)
    words, *listed = [*itertools.takewhile(lambda row: row.strip("─-"), ruled)] or ["cannot read the command"]
    return " ".join([words, ", ".join(re.sub(r" \(applied to .*\)$", "", option) for option in listed)]).strip()


def _complain(text: str) -> int:
    if says_first(text):
        print(f"glyffuser: {' '.join(text.splitlines())}", file=sys.stderr)
    return 2


def _show_warning(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """Show plain UserWarnings, such as our own, on one line each; others are not for the user."""
    if category is UserWarning and rank() == 0:
        print(f"glyffuser: warning: {' '.join(str(message).splitlines())}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
