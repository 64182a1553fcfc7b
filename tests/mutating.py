"""Bad input: files with damaged bytes, JSON with other values, and processes in which commands read it.

Cases run in a forked process with limited memory, whose parent sees which case is running and kills the process if the
case takes too long; a case that kills its process costs that process alone.
"""

import contextlib
import io
import json
import mmap
import os
import resource
import shutil
import signal
import struct
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from killing import leftovers

CHARS = "金銀水湖"  # the characters of small fonts and Unihan files
MEMORY = 3 * 2**30  # bytes that a case may take beyond what the process already has
SECONDS = 20.0  # of processor time that a case may take
NUMBERS = (b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0" * 4, b"\x80\0\0\0", b"\0\0\0\x80", b"\0\1\0\0")
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.5, 1e308, 1e-308),
    *(float("nan"), float("inf"), "", "x", "../../etc/passwd", "\0", "金" * 50, "gold", [], {}, [None], [[]], {"x": 1}),
    *([1] * 40, "9" * 5000, [1, 2], [0.0, -1.0]),
)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """The bytes with one to four changes: bits, numbers, and pieces cut out, doubled or overwritten."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        n = max(len(changed), 1)
        # Half of all changes are near the beginning, where headers are.
        at = int(rng.integers(0, n) if rng.random() < 0.5 else rng.integers(0, min(n, 256)))
        length = int(rng.integers(1, 1 + min(64, n)))
        match int(rng.integers(0, 8)):
            case 0:
                changed[at : at + 1] = bytes([changed[at] ^ (1 << int(rng.integers(8)))]) if changed else b"\1"
            case 1:
                changed[at : at + 4] = NUMBERS[int(rng.integers(len(NUMBERS)))]
            case 2:
                changed[at : at + 2] = struct.pack(">H", int(rng.integers(65536)))
            case 3:
                del changed[at:]
            case 4:
                del changed[at : at + length]
            case 5:
                changed[at:at] = changed[at : at + length]
            case 6:
                changed[at : at + length] = rng.bytes(length)
            case 7:
                to = int(rng.integers(0, n))
                changed[at : at + length] = changed[to : to + length]
    return bytes(changed)


def mutated_json(text: str, rng: np.random.Generator) -> str:
    """JSON with some values replaced or removed; sometimes with damaged bytes."""
    if rng.random() < 0.15:
        return mutated(text.encode(), rng).decode("utf-8", "replace")
    facts = json.loads(text)
    for _ in range(int(rng.integers(1, 4))):
        facts = _with_change(facts, rng)
    return json.dumps(facts, ensure_ascii=False)


def _with_change(value: Any, rng: np.random.Generator) -> Any:
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not keys or rng.random() < 0.1:
        return deepcopy(VALUES[int(rng.integers(len(VALUES)))])  # a later change may alter it
    key = keys[int(rng.integers(len(keys)))]
    if rng.random() < 0.1:
        del value[key]
    else:
        value[key] = _with_change(value[key], rng)
    return value


@dataclass
class Found:
    """What became of the cases: how many were accepted, refused, or ran out of memory; and the defects."""

    counts: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)  # how messages begin
    slowest: float = 0.0
    defects: list[str] = field(default_factory=list)


def attacked(case: Callable[[np.random.Generator, Path], int], folder: Path, seeds: range) -> Found:
    """Run a case for every seed: it makes its input and reads it in `folder`, which is emptied before each.

    A case returns an exit status. It is a defect if it raises, takes too long, kills the process, complains in more
    than one line, leaves temporary files, or is refused and leaves files in out/; the folder's contents are then kept
    beside it, in kept/.
    """
    found, seed, keep = Found(), seeds.start, folder.parent / "kept"
    board = mmap.mmap(-1, 4096)  # shared with the forked processes
    while seed < seeds.stop:
        board.seek(0)
        board.write(struct.pack("qd", seed, 0.0))
        outcomes = folder.with_suffix(".jsonl")
        outcomes.unlink(missing_ok=True)
        if (child := os.fork()) == 0:
            _run(case, folder, range(seed, seeds.stop), board, outcomes)
        status = _watched(child, board)
        lines = [json.loads(line) for line in outcomes.read_text().splitlines()] if outcomes.exists() else []
        for line in lines:
            found.counts[line["kind"]] += 1
            found.said[line["what"][:60]] += 1
            found.slowest = max(found.slowest, line["seconds"])
            if line["kind"] == "defect":
                found.defects.append(f"seed {line['seed']}: {line['what']}")
        seed = lines[-1]["seed"] + 1 if lines else seed
        if status != 0:
            found.counts["defect"] += 1
            found.defects.append(f"seed {seed}: the process ended by signal {-status}")
            shutil.copytree(folder, keep / f"{folder.name}-{seed}", dirs_exist_ok=True)
            seed += 1
    return found


def _watched(child: int, board: mmap.mmap) -> int:
    """Wait for a process, and kill it if a case takes more than SECONDS of its time; returns its exit status."""
    clock, at, since = (~child << 3) | 2, -1, 0.0  # the child's clock: clock_getcpuclockid(3)
    try:
        while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            now, seed = time.clock_gettime(clock), struct.unpack("q", board[:8])[0]
            if seed != at:
                at, since = seed, now
            elif now - since > SECONDS:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.05)
    except KeyboardInterrupt:
        os.kill(child, signal.SIGKILL)
        raise
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run(case: Callable, folder: Path, seeds: range, board: mmap.mmap, outcomes: Path) -> None:
    """Run the cases of a process; never returns."""
    status = 1
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        with outcomes.open("a") as file:
            for seed in seeds:
                board[:8] = struct.pack("q", seed)
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                start = time.process_time()
                kind, what = _outcome(case, folder, seed)
                if kind == "defect":
                    shutil.copytree(folder, outcomes.parent / "kept" / f"{folder.name}-{seed}", dirs_exist_ok=True)
                facts = {"seed": seed, "kind": kind, "what": what, "seconds": time.process_time() - start}
                file.write(json.dumps(facts) + "\n")
                file.flush()
        status = 0
    finally:
        os._exit(status)


def _outcome(case: Callable, folder: Path, seed: int) -> tuple[str, str]:
    """Run a case; returns accepted, refused, memory or defect, and the message."""
    said, told = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(told):
            status = case(np.random.default_rng(seed), folder)
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        places = [f"{Path(f.filename).name}:{f.lineno}" for f in frames if "/glyffuser/" in f.filename]
        return "defect", f"{type(error).__name__}: {str(error)[:200]} at {' '.join(places[-3:])}"
    lines = [line for line in said.getvalue().splitlines() if not line.startswith("glyffuser: warning: ")]
    if left := leftovers(folder):
        return "defect", f"left {left[0].name}"
    if status == 0:
        return "accepted", ""
    if written := [path for path in (folder / "out").rglob("*") if path.is_file()]:
        return "defect", f"status {status}, but it wrote {written[0].name}"
    if status != 2 or len(lines) != 1 or not lines[0].startswith("glyffuser: "):
        return "defect", f"status {status} and said {said.getvalue()[:300]!r}"
    return ("memory" if "not enough memory" in lines[0] else "refused"), lines[0]


assert sys.platform != "win32"  # os.fork is needed
