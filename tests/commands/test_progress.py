"""Progress: what it says about the time left."""

import pytest

from glyffuser.commands import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_time_left_counts_from_where_and_when_the_work_began(clock, capsys):
    """Preparation, and what a resumed run had done before, say nothing about the speed."""
    with progress.Progress("training") as shown:
        clock[0] += 60  # preparation
        shown(50, 100)
        clock[0] += 10
        shown(60, 100)
        clock[0] += 10
        shown(80, 100)
    assert capsys.readouterr().err.splitlines() == [
        "training 60/100, 60%, 40 s left",
        "training 80/100, 80%, 13 s left",
    ]
