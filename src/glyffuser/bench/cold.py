"""Cold starts: how long a command takes in a process of its own, up to its first picture."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from glyffuser.base.errors import UserError
from glyffuser.bench.table import Table
from glyffuser.bench.timing import Times

OFTEN = 0.005  # seconds between looks for the picture
COMMAND = (sys.executable, "-m", "glyffuser.commands.cli")
# The stages of a cold start, each a process that goes that far and no further.
STAGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("python alone", (sys.executable, "-c", "")),
    ("glyffuser --help", (*COMMAND, "--help")),
    ("import torch", (sys.executable, "-c", "import torch")),
    ("import diffusers' pipelines", (sys.executable, "-c", "from diffusers import DiffusionPipeline")),
    ("load the bundled model", (sys.executable, "-c", "from glyffuser import load_pipeline; load_pipeline()")),
)


class Run(NamedTuple):
    """One process: seconds until the first picture (or its end, if it makes none), until its end, and of processor
    time.
    """

    picture: float
    end: float
    processor: float


def cold(model: str, repeats: int, progress: Callable[[int, int], None] = lambda done, total: None) -> Table:
    """Seconds of `glyffuser sample -n 1` and of the stages that lead to it, each `repeats` times after one to warm up.

    "Cold" refers to the process, not the disk: files read before are in memory. Stages take turns, so that whatever
    slows the machine for a while slows them all. UserError if a command fails.
    """
    if not hasattr(os, "wait4"):
        raise UserError("cold starts can be measured only on Linux and macOS; leave out `cold`")
    folder = Path(tempfile.mkdtemp(prefix="glyffuser-bench-"))
    draw = (*COMMAND, "sample", "gold", "-n", "1", "--model", model, "--out", str(folder))
    stages = {**dict(STAGES), "sample -n 1": draw}
    runs: dict[str, list[Run]] = {name: [] for name in stages}
    try:
        for i in range(repeats + 1):
            for name, command in stages.items():
                made = run(command, folder / "gold-0-0.png" if command is draw else None)
                if i:
                    runs[name].append(made)
            progress(i + 1, repeats + 1)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    table = Table("Cold starts", ("process", "s", "spread", "s of the processor"))
    for name, found in runs.items():
        first, end, work = (Times(tuple(column)) for column in zip(*found, strict=True))
        if name == "sample -n 1":
            table.add(f"{name}: first picture", first.median, first.spread, "")
        table.add(name, end.median, end.spread, work.median)
    table.notes = ["By the clock, whatever --processor-time says; only the last column is the processor's time."]
    return table


def run(command: tuple[str, ...], picture: Path | None = None) -> Run:
    """Run a command to its end; `picture`, if given, is removed first and then waited for. UserError if it fails."""
    if picture is not None:
        picture.unlink(missing_ok=True)
    start, seen = time.perf_counter(), None
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        while True:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            now = time.perf_counter() - start
            if seen is None and picture is not None and picture.exists():
                seen = now
            if pid:
                break
            time.sleep(OFTEN)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode or (picture is not None and seen is None):
            said.seek(0)
            last = said.read().decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise UserError(f"`{' '.join(command)}` failed: {last[0]}")
    return Run(now if seen is None else seen, now, used.ru_utime + used.ru_stime)
