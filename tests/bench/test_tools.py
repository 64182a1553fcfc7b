"""What benchmarks are made of: timing, tables, counted operations."""

import pytest
import torch
import torch.nn.functional as F

from glyffuser.base.errors import UserError
from glyffuser.bench.peaks import measure_peaks, operations
from glyffuser.bench.table import Table
from glyffuser.bench.timing import Times, alternated, clock, timed


def test_the_median_and_how_far_the_others_lie():
    times = Times((3.0, 1.0, 2.0))
    assert times.median == 2
    assert times.spread == "-50 % ... +50 %"


def test_work_is_timed_by_the_given_clock_after_it_has_warmed_up():
    ticks, calls = iter(range(100)), []
    times = timed(lambda: calls.append(next(ticks)), 3, lambda: float(next(ticks)), warm=2)
    assert len(calls) == 5
    assert times.seconds == (2.0, 2.0, 2.0)  # each run takes one tick of its own


def test_two_things_are_timed_in_turns():
    order: list[str] = []
    first, second = alternated(lambda: order.append("a"), lambda: order.append("b"), 2, lambda: float(len(order)))
    assert order == ["a", "b"] * 3
    assert first.seconds == second.seconds == (1.0, 1.0)


def test_the_processors_time_is_for_one_thread(monkeypatch):
    assert clock(True)() <= clock(True)()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.raises(UserError, match="OMP_NUM_THREADS=1"):
        clock(True)
    clock(False)


def test_operations_of_a_convolution_and_a_product_are_counted():
    x, kernel = torch.randn(2, 3, 8, 8), torch.randn(5, 3, 3, 3, requires_grad=True)
    forward = 2 * 2 * 5 * 8 * 8 * 3 * 3 * 3
    assert operations(lambda: F.conv2d(x, kernel, padding=1)) == forward
    # Backwards, the kernel's gradient costs as much again; the picture needs none.
    assert operations(lambda: F.conv2d(x, kernel, padding=1).sum().backward()) == 2 * forward
    assert operations(lambda: torch.randn(4, 5) @ torch.randn(5, 6)) == 2 * 4 * 5 * 6


def test_the_peak_is_the_best_of_the_sizes_by_the_clock(monkeypatch):
    monkeypatch.setattr("glyffuser.bench.peaks.MATRICES", (16, 32))
    monkeypatch.setattr("glyffuser.bench.peaks.CONVOLUTIONS", ((2, 8, 4), (1, 8, 4)))
    ticks = iter(range(100))
    found = measure_peaks(lambda: float(next(ticks)), torch.device("cpu"))  # everything takes a second
    assert found.matrix == 2 * 32**3
    assert found.convolution == 2 * 2 * 8 * 4 * 4 * 8 * 9


def test_a_table_is_aligned_markdown_and_refuses_a_row_of_another_width():
    table = Table("Speed", ("what", "glyphs/s"), notes=["Alone."])
    table.add("slow", 0.123456)
    table.add("quick", 12345.6)
    with pytest.raises(ValueError, match="1 values for 2 columns"):
        table.add("half")
    assert table.lines() == [
        "Speed",
        "",
        "| what  | glyphs/s |",
        "|-------|----------|",
        "| slow  | 0.123    |",
        "| quick | 12,346   |",
        "",
        "Alone.",
    ]
