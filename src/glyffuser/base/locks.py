"""Locks between processes: one holder at a time, and free again when the holder ends, however it ends."""

import errno
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def take_lock(path: Path) -> int | None:
    """Take the lock of a file or folder: a descriptor that holds it until closed, or None if it is taken.

    The system releases it when its process dies (flock(2)). Raises OSError if the path does not exist, or if the
    system or the file system has no locks.
    """
    if fcntl is None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), str(path))
    # Over NFS, only what is open for writing can be locked; folders cannot be opened so.
    descriptor = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
