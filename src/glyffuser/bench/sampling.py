"""Sampling: what 16 glyphs take at the default settings, and at fewer and more steps."""

from collections.abc import Callable, Sequence

from glyffuser.bench.peaks import measure_peaks, operations
from glyffuser.bench.table import Table, percent
from glyffuser.bench.timing import Clock, timed
from glyffuser.bench.training import told
from glyffuser.generate.draw import BATCH, draw
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request

PROMPT = "a kind of fish"


def sampling(
    pipe: GlyffuserPipeline,
    steps: Sequence[int],
    repeats: int,
    now: Clock,
    glyphs: int = BATCH,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Table:
    """Seconds for some glyphs of one prompt, one row per number of steps; ratios are to the model's default.

    Everything from the prompt to pictures in memory counts; loading the model and writing files do not.
    """
    usual, peaks = pipe.usual.steps, measure_peaks(now, pipe.device)
    rows = []
    for i, n in enumerate(sorted({*steps, usual})):

        def work(n: int = n) -> None:
            draw(pipe, [PROMPT] * glyphs, Request(steps=n))

        count = operations(work)
        rows.append((n, count, timed(work, repeats, now, warm=0)))
        progress(i + 1, len({*steps, usual}))
    whole = next(times.median for n, _, times in rows if n == usual)
    columns = ("steps", f"s for {glyphs} glyphs", "spread", "glyphs/s", "times as fast as usual", "G operations/glyph")
    table = Table(f"Sampling: {glyphs} glyphs, guidance {pipe.usual.guidance:g}", (*columns, "of convolution peak"))
    for n, count, times in rows:
        share = percent(count / times.median / peaks.convolution)
        speed, each = glyphs / times.median, count / glyphs / 1e9
        table.add(n, times.median, times.spread, speed, whole / times.median, each, share)
    table.notes = [told(peaks), f"The default is {usual} steps of {pipe.sampler_name}."]
    return table
