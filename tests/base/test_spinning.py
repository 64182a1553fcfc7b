"""Threads spin long only where no other thread is running."""

import os
import subprocess
import sys

import pytest

from glyffuser.base.spinning import BRIEF, LONG, spins


class Load:
    """A stand-in for /proc/loadavg: what it says at each look."""

    def __init__(self, *running: int):
        self.running = list(running)

    def read_text(self) -> str:
        return f"0.42 0.30 0.20 {self.running.pop(0)}/310 4711\n"


@pytest.mark.parametrize(
    ("running", "found"), [((1,), LONG), ((3, 1), LONG), ((2, 2, 1), LONG), ((2, 3, 2), BRIEF), ((0, 0, 0), BRIEF)]
)
def test_one_quiet_look_is_enough(running, found):
    load = Load(*running)
    assert spins(load) == found  # type: ignore[arg-type]  # it is only read
    assert not load.running


def test_where_the_system_does_not_say_threads_spin_briefly(tmp_path):
    assert spins(tmp_path / "none") == BRIEF


@pytest.mark.parametrize(
    ("running", "given", "found"), [(1, None, str(LONG)), (2, None, str(BRIEF)), (1, "123", "123")]
)
def test_the_package_sets_it_unless_it_is_set(running, given, found):
    env = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    load = f"pathlib.Path.read_text = lambda *args, **more: '0 0 0 {running}/9 9'"
    asked = f"import os, pathlib; {load}; import glyffuser; print(os.environ['GOMP_SPINCOUNT'])"
    env |= {"GOMP_SPINCOUNT": given} if given else {}
    out = subprocess.run([sys.executable, "-c", asked], env=env, capture_output=True, text=True, check=True).stdout
    assert out.strip() == found
