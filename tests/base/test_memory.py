"""The allocator: freed memory stays with the process."""

import subprocess
import sys

import pytest

FREED = """
import ctypes, sys
import numpy as np
from glyffuser.base.memory import keep_freed_memory

def resident():
    pages = open("/proc/self/statm").read().split()[1]
    return int(pages) * 4096 / 2**20

agreed = sys.argv[1] == "keep" and keep_freed_memory()
block = np.ones(2**25)  # 256 MiB
del block
print(agreed, resident() > 200)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
@pytest.mark.parametrize(("how", "expected"), [("keep", "True True"), ("return", "False False")])
def test_freed_memory_is_kept(how, expected):
    assert subprocess.check_output([sys.executable, "-c", FREED, how], text=True).strip() == expected
