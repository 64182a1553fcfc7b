"""Memory on Linux: keep freed memory for the next step."""

import ctypes
import sys

# mallopt(3)
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Ask glibc's allocator to keep freed memory for the next step instead of returning it; returns whether it will.

    A training step on a CPU frees and requests the same large tensors again and again. The system would clear the pages
    each time, which costs about a sixth of the step (docs/LOG.md). Without glibc, nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
