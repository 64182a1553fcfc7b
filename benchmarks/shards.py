"""Training data in shards: how well their order mixes, how fast they are read, and in how much memory.

    python benchmarks/shards.py [--data data/ten] [--source data/glyphs.parquet] [--fonts 10] [--shards 10] [--cap 256]

Makes the data set first if it does not exist: every glyph of the source under ten font names. Their pictures are alike,
which matters neither to order nor to memory; `glyffuser dataset build --font ... --shards 10 --out data/ten` makes one
of real fonts. Two tables. Mixing: how often two glyphs of a batch share a row group, radical, character or font, and
how far apart in the shards successive glyphs lie, as a share of their number; in stored order, with only row groups
permuted, in the order of training, and for a permutation of all glyphs. Reading: one pass, batch by batch, as a
training step asks for it, in a process that may not take more than `--cap` MiB beyond what it has once the data set is
open; and how reading everything at once fares under the same limit.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from glyffuser.base.files import atomic_path
from glyffuser.config import DATA
from glyffuser.data.dataset import load_dataset, opened
from glyffuser.data.drawing import Tally
from glyffuser.data.order import WINDOW, GlyphOrder, alike
from glyffuser.data.pictures import GlyphStream, open_stream
from glyffuser.data.shards import ROW_GROUP, SHARED, ShardWriter, write_manifest

BATCH = 64


def repeat(source: Path, out: Path, fonts: int, shards: int) -> None:
    """Write a data set in shards, in which every glyph of the source occurs `fonts` times."""
    start = time.perf_counter()
    info, ((_, file),) = opened(source, None)
    rows = file.read().to_pylist()
    names = [f"font-{number}" for number in range(fonts)]
    told = info | {"fonts": names, "styles": names}
    facts = {key: told[key] for key in SHARED}
    training, tally = fonts * sum(row["split"] == "train" for row in rows), Tally()
    with atomic_path(out) as temporary:
        temporary.mkdir()
        writer = ShardWriter(temporary, facts, -(-training // shards))
        for place in np.random.default_rng(0).permutation(fonts * len(rows)).tolist():
            name = names[place % fonts]
            writer.add(tally.note({**rows[place // fonts], "font": name, "style": name}))
        write_manifest(temporary, facts | tally.facts(), writer.close())
    size = sum(shard.stat().st_size for shard in out.glob("*.parquet"))
    print(f"{fonts} times {len(rows)} glyphs in {size / 2**20:.0f} MiB, written in {time.perf_counter() - start:.0f} s")


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
    """MiB of this process's memory, from Linux: VmHWM, the most that was resident; VmData, what it may write to."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def read_pass(path: Path, cap: int, everything: bool) -> None:
    """Go through one pass within the cap, in a process of its own, and print what that took, as JSON."""
    stream = open_stream(path, "train")
    order = GlyphOrder(stream.radicals, 0, 0, stream.pictures.blocks)
    order(np.arange(1))
    limit, resident = int(mebibytes("VmData") + cap) * 2**20, mebibytes("VmHWM")
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    if everything:
        load_dataset(path, "train")
    times, used = [], time.process_time()
    for first in range(0, len(stream) - BATCH, BATCH):
        start = time.perf_counter()
        np.stack([stream.pictures[row] for row in order(np.arange(first, first + BATCH)).tolist()])
        times.append(time.perf_counter() - start)
    facts = {
        "glyphs a second": round(BATCH * len(times) / sum(times)),
        "glyphs a second of CPU": round(BATCH * len(times) / (time.process_time() - used)),
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
    parser.add_argument("--source", type=Path, default=DATA, help="one Parquet file, which to repeat")
    parser.add_argument("--fonts", type=int, default=10, help="how many times")
    parser.add_argument("--shards", type=int, default=10)
    parser.add_argument("--cap", type=int, default=256, help="MiB")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--read", choices=("piecewise", "everything"), help=argparse.SUPPRESS)  # a process of its own
    options = parser.parse_args()
    if options.read:
        return read_pass(options.data, options.cap, options.read == "everything")
    if not options.data.exists():
        repeat(options.source, options.data, options.fonts, options.shards)
    mixing(open_stream(options.data, "train"), options.seed)
    print(f"\nOne pass within {options.cap} MiB")
    for how in ("piecewise", "everything"):
        command = [sys.executable, __file__, "--data", str(options.data), "--cap", str(options.cap), "--read", how]
        done = subprocess.run(command, capture_output=True, text=True)
        told = json.loads(done.stdout) if done.returncode == 0 else {"refused": done.stderr.strip().splitlines()[-1]}
        print(f"{how}: " + ", ".join(f"{key} {value}" for key, value in told.items()), flush=True)


if __name__ == "__main__":
    main()
