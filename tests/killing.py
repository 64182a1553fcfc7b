"""Commands in processes of their own that are killed at a chosen moment, and what they leave behind.

A process is forked from one that has imported everything, so that a trial takes a fraction of a second. It is killed by
SIGKILL either before its n-th file change or after a given processor time, which also catches what libraries write
without Python's knowledge.
"""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from glyffuser.base.files import LEFTOVER
from glyffuser.commands import cli

Tree = dict[str, bytes]
CHANGES = {"os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.truncate", "shutil.rmtree", "tempfile.mkdtemp"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
LIMIT = 300.0  # seconds that a process may live
TIMES = re.compile(rb'"(seconds|seconds_for_16_glyphs)": [0-9.]+|figures? made in [0-9]+ s')


class Ended(NamedTuple):
    """How a process ended: exit status, or minus the signal; processor time in seconds; file changes; what it said."""

    status: int
    seconds: float
    changes: int
    said: str


class Moment(NamedTuple):
    """When to kill: before a file change, counted from 1, or after seconds of processor time; the other is 0."""

    change: int = 0
    seconds: float = 0.0


NEVER = Moment()


def forked(work: Callable[[], int | None], root: Path, moment: Moment = NEVER) -> Ended:
    """Do `work` in a forked process whose files lie below `root`, and kill it at `moment`."""
    said, counted = root / "said.txt", root / "changes.txt"
    if (child := os.fork()) == 0:
        status = 1
        try:
            os.environ["TMPDIR"] = str(root)
            with said.open("wb") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
            seen = _watch(str(root), moment.change)
            status = work() or 0
            counted.write_text(str(seen[0]))
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            try:
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(status)  # whatever happens, or two processes would go on with the tests
    seconds = _wait(child, moment.seconds)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    changes = int(counted.read_text()) if counted.exists() else 0
    text = said.read_text(errors="replace") if said.exists() else ""
    for path in (said, counted):
        path.unlink(missing_ok=True)
    return Ended(status, seconds, changes, text)


def _watch(root: str, fatal: int) -> list[int]:
    """Count the file changes below `root` in this process, and die before the `fatal`-th."""
    count = [0]

    def hook(event: str, arguments: tuple) -> None:
        changing = event in CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING)
        if not changing or not any(str(argument).startswith(root) for argument in arguments if argument):
            return
        count[0] += 1
        if count[0] == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return count


def _wait(child: int, fatal: float) -> float:
    """Wait for a process to end, killing it after `fatal` seconds of processor time; returns how many it used."""
    clock, seconds, start = (~child << 3) | 2, 0.0, time.monotonic()  # the child's clock: clock_getcpuclockid(3)
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        seconds = time.clock_gettime(clock)
        if (fatal and seconds >= fatal) or time.monotonic() - start > LIMIT:
            os.kill(child, signal.SIGKILL)
            break
        time.sleep(0.002)
    return seconds


def command(*argv: object) -> Callable[[], int]:
    """A command of glyffuser as work for `forked`."""
    return lambda: cli.main([str(word) for word in argv])


def complaining(work: Callable[[], object]) -> int:
    """Do work that is not itself a command, with the command line's error messages; returns the exit status."""
    before, cli._parse = cli._parse, lambda argv: SimpleNamespace(run=work)
    try:
        return cli.main([])
    finally:
        cli._parse = before


def tree(folder: Path) -> Tree:
    """The visible files below a folder, without the times that they report: path -> content."""
    return {
        str(path.relative_to(folder)): TIMES.sub(b"", path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def leftovers(folder: Path) -> list[Path]:
    """The temporary folders below a folder, however deep."""
    return [path for path in folder.rglob("*") if path.name.startswith(".") and path.name.endswith(LEFTOVER)]


@dataclass
class Victim:
    """A command in two versions that write the same files with different contents: each file must be one or the other.

    `versions` make the work from the folder that it writes in; `prepare` fills `trees` and `runs`, one per version.
    """

    name: str
    versions: tuple[Callable[[Path], Callable[[], int | None]], Callable[[Path], Callable[[], int | None]]]
    trees: list[Tree] = field(default_factory=list)
    runs: list[Ended] = field(default_factory=list)

    def prepare(self, root: Path) -> None:
        """Run both versions to the end, each in a folder of its own."""
        for number, version in enumerate(self.versions):
            folder = root / f"{self.name}-{number}"
            folder.mkdir()
            run = forked(version(folder), folder)
            assert run.status == 0, f"{self.name}: {run.said}"
            self.runs.append(run)
            self.trees.append(tree(folder))
        one, other = self.trees
        assert [name for name in one.keys() & other.keys() if one[name] != other[name]], "both versions write the same"

    def check(self, folder: Path) -> None:
        """Raise AssertionError unless every file is old or new, with no more temporary files than one run makes."""
        for name, content in tree(folder).items():
            assert content in [known.get(name) for known in self.trees], f"{self.name}: {name} is neither old nor new"
        assert len(leftovers(folder)) <= 2, leftovers(folder)


def moments(run: Ended, rng, count: int) -> list[Moment]:
    """Random moments of a run: half of them file changes, half processor times."""
    return [
        Moment(change=int(rng.integers(1, run.changes + 1)))
        if k % 2 == 0
        else Moment(seconds=float(rng.uniform(0.01, max(run.seconds, 0.02))))
        for k in range(count)
    ]


def assault(victim: Victim, folder: Path, rng, count: int) -> tuple[int, int]:
    """Kill `count` runs in one folder, the versions in turn, then let one finish; returns how many died and ended.

    After every kill each file must be whole, and after the last run no temporary file may be left.
    """
    folder.mkdir()
    died = 0
    for k, moment in enumerate(moments(victim.runs[0], rng, count)):
        run = forked(victim.versions[k % 2](folder), folder, moment)
        assert run.status in (0, -signal.SIGKILL), run.said
        died += run.status == -signal.SIGKILL
        victim.check(folder)
    run = forked(victim.versions[0](folder), folder)
    assert run.status == 0, run.said
    found = tree(folder)
    assert {name: found[name] for name in victim.trees[0]} == victim.trees[0]
    assert leftovers(folder) == []
    return died, count - died


def log_lines(path: Path) -> list[dict]:
    """The lines of a JSONL log without times and speeds."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("minutes", "glyphs_per_second")} for line in lines]
