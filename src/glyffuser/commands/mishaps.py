"""What can go wrong with a machine rather than with the program: full disks, forbidden files, too little memory."""

import contextlib
import errno
import signal
import threading
from collections.abc import Iterator

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
REFUSED = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EISDIR, errno.ENOTDIR),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EMFILE, errno.ENFILE),
}
MEMORY = ("can't allocate memory", "out of memory", "bad allocation", "bad_alloc")  # torch says it in a RuntimeError


def in_words(error: Exception) -> str | None:
    """One line for the user about an error for which the machine is to blame; None for any other."""
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error).lower() for words in MEMORY)
    ):
        return "there is not enough memory for this; ask for less at a time, or for a smaller model"
    if not isinstance(error, OSError):
        return None
    if error.errno in FULL:
        return "the disk is full; free some space and run the same command again"
    if error.errno in REFUSED:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}; check whether that file or folder can be used, or name another"
    return None


@contextlib.contextmanager
def heeding_sigterm() -> Iterator[None]:
    """Let SIGTERM end the program like an exception, so that temporary files go; exit status 143, as without this."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
