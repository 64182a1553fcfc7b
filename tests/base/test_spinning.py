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


@pytest.mark.parametrize(("running", "found"), [((1,), LONG), ((3, 1), LONG), ((2, 2, 1), LONG), ((2, 3, 2), BRIEF)])
def test_one_quiet_look_is_enough(running, found):
    load = Load(*running)
    assert spins(load) == found  # type: ignore[arg-type]  # it is only read
    assert not load.running


def test_where_the_system_does_not_say_threads_spin_briefly(tmp_path):
    assert spins(tmp_path / "none") == BRIEF


@pytest.mark.parametrize("given", [None, "123"])
def test_the_package_sets_it_unless_it_is_set(given):
    env = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    asked = "import os, glyffuser; print(os.environ['GOMP_SPINCOUNT'])"
    env |= {"GOMP_SPINCOUNT": given} if given else {}
    out = subprocess.run([sys.executable, "-c", asked], env=env, capture_output=True, text=True, check=True).stdout
    assert out.strip() in ({given} if given else {str(BRIEF), str(LONG)})
