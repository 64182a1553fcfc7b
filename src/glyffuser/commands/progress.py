"""Progress on stderr: a bar with the time left on a terminal, plain lines elsewhere."""

import sys
import time
from typing import Any

from glyffuser.base.processes import rank

PLAIN_SECONDS = 5.0  # between lines of progress if stderr is not a terminal


class Progress:
    """A context in which work reports its progress, by calls (done, total). Of several processes, only one shows it."""

    def __init__(self, what: str):
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self.what, self.start, self.told = what, time.monotonic(), time.monotonic()
        # Where the work began, and when: what was done before, and getting ready, say nothing about the speed.
        self.first: float | None = None
        self.bar: Any = None
        if sys.stderr.isatty() and rank() == 0:
            self.bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self.task = self.bar.add_task(what, total=1.0)

    def __enter__(self) -> "Progress":
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def __call__(self, done: int, total: int) -> None:
        self.at(done / total if total else 1.0, f"{self.what} {done}/{total}")

    def at(self, fraction: float, text: str) -> None:
        """Show that `fraction` of the work is done."""
        if self.bar is not None:
            self.bar.update(self.task, completed=fraction, description=text)
            return
        now = time.monotonic()
        if self.first is None:
            self.first, self.start = fraction, now
        if rank() == 0 and now - self.told >= PLAIN_SECONDS and fraction > self.first:
            left = (now - self.start) * (1 - fraction) / (fraction - self.first)
            print(f"{text}, {fraction:.0%}, {left:.0f} s left", file=sys.stderr, flush=True)
            self.told = now
