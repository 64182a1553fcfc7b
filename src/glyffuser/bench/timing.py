"""Repeated measurements: their median, and how far apart they are."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from glyffuser.base.errors import UserError

Clock = Callable[[], float]


@dataclass(frozen=True)
class Times:
    """Seconds of repeated runs of one thing, in the order they were made."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The one in the middle."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> str:
        """From the quickest to the slowest, relative to the median: "-1 % ... +4 %"."""
        low, high = (100 * (end / self.median - 1) for end in (min(self.seconds), max(self.seconds)))
        return f"{low:+.0f} % ... {high:+.0f} %"


def clock(processor: bool) -> Clock:
    """The wall clock, or the processor time of this process, which other work on the same core does not affect.

    The latter counts every thread, so it is meaningful for one thread only: UserError for more.
    """
    if not processor:
        return time.perf_counter
    if torch.get_num_threads() > 1:
        raise UserError(
            f"--processor-time is for one thread, but this run has {torch.get_num_threads()}; set OMP_NUM_THREADS=1"
        )
    return time.process_time


def timed(work: Callable[[], object], repeats: int, now: Clock = time.perf_counter, warm: int = 1) -> Times:
    """How long `work` takes, measured `repeats` times after `warm` runs that do not count."""
    for _ in range(warm):
        work()
    seconds = []
    for _ in range(repeats):
        start = now()
        work()
        seconds.append(now() - start)
    return Times(tuple(seconds))


def alternated(one: Callable[[], object], other: Callable[[], object], repeats: int, now: Clock) -> tuple[Times, Times]:
    """Like `timed`, for two things in turn: whatever slows the machine for a while slows both."""
    one()
    other()
    pairs = [(timed(one, 1, now, 0), timed(other, 1, now, 0)) for _ in range(repeats)]
    first, second = zip(*pairs, strict=True)
    return tuple(Times(tuple(t.seconds[0] for t in side)) for side in (first, second))  # type: ignore[return-value]
