"""What speed-ups gain: before and after, in turns within one run, with a check that both give the same result.

python benchmarks/pairs.py [--repeats 5]
"""

import argparse
from collections.abc import Callable

import numpy as np

from glyffuser.bench.table import Table
from glyffuser.bench.timing import alternated, clock
from glyffuser.judge.novelty import BLOCK, load_ideographs, sketch

Pair = tuple[Callable[[], np.ndarray], Callable[[], np.ndarray]]


def sketches() -> Pair:
    """The sketches of all ideographs, which every `glyffuser sample` needs: all at once, and a block at a time."""
    packed = load_ideographs().packed
    blocks = range(0, len(packed), BLOCK)
    return lambda: sketch(packed), lambda: np.concatenate([sketch(packed[i : i + BLOCK]) for i in blocks])


PAIRS: dict[str, Callable[[], Pair]] = {"sketches of all ideographs, in blocks": sketches}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--processor-time", action="store_true", help="as in `glyffuser bench`")
    options = parser.parse_args()
    now = clock(options.processor_time)
    table = Table("Before and after", ("what", "before, s", "spread", "after, s", "spread", "ratio", "equal"))
    for name, make in PAIRS.items():
        before, after = make()
        first, second = alternated(before, after, options.repeats, now)
        same = "to the bit" if np.array_equal(before(), after()) else "no"
        ratio = first.median / second.median
        table.add(name, first.median, first.spread, second.median, second.spread, ratio, same)
    print("\n".join(table.lines()))


if __name__ == "__main__":
    main()
