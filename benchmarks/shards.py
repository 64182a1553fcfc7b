"""Training data in shards: how well their order mixes, how fast they are read, and in how much memory.

    python benchmarks/shards.py [--data data/ten] [--fonts 10] [--shards 10] [--characters 100000] [--cap 256]

Builds the data set first if it is not there: the faces of the Noto Sans CJK collection, five regional forms and as many
of another width, so that ten of them are ten fonts, but alike. Two tables. Mixing: how often two glyphs of a batch are
of one row group, radical, character or font, and how far apart in the shards successive glyphs lie, as a share of their
number; as they stand there, with row groups permuted alone, as training takes them, and for a permutation of all
glyphs. Reading: one pass, batch by batch, as a training step asks for it, by a process that may not take more than
`--cap` MiB beyond what it has once the data set is open; and what the same limit says to whoever reads everything.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from glyffuser.data.dataset import build_dataset, load_dataset
from glyffuser.data.fonts import default_font, load_font
from glyffuser.data.order import WINDOW, GlyphOrder, alike
from glyffuser.data.pictures import GlyphStream, open_stream
from glyffuser.data.shards import ROW_GROUP
from glyffuser.data.unihan import read_unihan

BATCH = 64


def build(out: Path, fonts: int, shards: int, characters: int) -> None:
    """Draw a data set with so many faces."""
    path = default_font().path
    faces = [load_font(f"face-{number}={path}:{number}") for number in range(fonts)]
    unihan = read_unihan()
    report = build_dataset(faces, unihan, out, codepoints=sorted(unihan.entries)[:characters], shards=shards)
    print(
        f"built {report.rows} glyphs in {report.shards} files, {report.bytes / 2**20:.0f} MiB, {report.seconds:.0f} s"
    )


def mixing(stream: GlyphStream, seed: int) -> None:
    """Print the first table."""
    blocks, n = stream.pictures.blocks, len(stream)
    orders = {
        "as they stand": np.arange(n),
        "groups alone": GlyphOrder(stream.radicals, 0, seed, blocks, window=1).whole_pass(0),
        "as trained": GlyphOrder(stream.radicals, 0, seed, blocks).whole_pass(0),
        "permutation": GlyphOrder(stream.radicals, 0, seed).whole_pass(0),
    }
    assert blocks is not None
    of_group = np.repeat(np.arange(len(blocks) - 1), np.diff(blocks))
    groups = {
        "of one row group": of_group,
        "of one radical": stream.radicals.astype(np.int64),
        "of one character": stream.codepoints.astype(np.int64),
        "of one font": np.unique(stream.fonts, return_inverse=True)[1],
    }
    print(f"\n{n} glyphs in {len(blocks) - 1} row groups of {ROW_GROUP} at most, {WINDOW} mixed; batches of {BATCH}")
    print(f"{'pairs in a batch, %':22}" + "".join(f"{name:>16}" for name in orders))
    for name, numbers in groups.items():
        print(f"{name:22}" + "".join(f"{100 * alike(order, numbers, BATCH)[0]:16.3f}" for order in orders.values()))
    far = [np.abs(np.diff(order)).mean() / n for order in orders.values()]
    print(f"{'distance, of all':22}" + "".join(f"{value:16.3f}" for value in far))


def mebibytes(field: str) -> float:
    """What Linux says of this process's memory: VmHWM, most that was resident; VmData, what it may write to."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def read_pass(path: Path, cap: int, everything: bool) -> None:
    """In a process of its own: go through one pass within the cap, and print what that took, as JSON."""
    stream = open_stream(path, "train")
    order = GlyphOrder(stream.radicals, 0, 0, stream.pictures.blocks)
    order(np.arange(1))
    limit, resident = int(mebibytes("VmData") + cap) * 2**20, mebibytes("VmHWM")
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    if everything:
        load_dataset(path, "train")
    times = []
    for first in range(0, len(stream) - BATCH, BATCH):
        start = time.perf_counter()
        np.stack([stream.pictures[row] for row in order(np.arange(first, first + BATCH)).tolist()])
        times.append(time.perf_counter() - start)
    facts = {
        "glyphs a second": round(BATCH * len(times) / sum(times)),
        "median batch, ms": round(1000 * float(np.median(times)), 1),
        "longest batch, ms": round(1000 * max(times), 1),
        "resident once open, MiB": round(resident),
        "resident at most, MiB": round(mebibytes("VmHWM")),
        "pictures decoded, MiB": round(len(stream) * stream.info["size"] ** 2 / 2**20),
    }
    print(json.dumps(facts))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/ten"), help="the folder of shards")
    parser.add_argument("--fonts", type=int, default=10, help="faces to draw with, 1 to 10")
    parser.add_argument("--shards", type=int, default=10)
    parser.add_argument("--characters", type=int, default=100_000, help="at most so many code points")
    parser.add_argument("--cap", type=int, default=256, help="MiB")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--read", choices=("piecewise", "everything"), help=argparse.SUPPRESS)  # a process of its own
    options = parser.parse_args()
    if options.read:
        return read_pass(options.data, options.cap, options.read == "everything")
    if not options.data.exists():
        build(options.data, options.fonts, options.shards, options.characters)
    mixing(open_stream(options.data, "train"), options.seed)
    print(f"\nOne pass within {options.cap} MiB")
    for how in ("piecewise", "everything"):
        command = [sys.executable, __file__, "--data", str(options.data), "--cap", str(options.cap), "--read", how]
        done = subprocess.run(command, capture_output=True, text=True)
        told = json.loads(done.stdout) if done.returncode == 0 else {"refused": done.stderr.strip().splitlines()[-1]}
        print(f"{how}: " + ", ".join(f"{key} {value}" for key, value in told.items()), flush=True)


if __name__ == "__main__":
    main()
