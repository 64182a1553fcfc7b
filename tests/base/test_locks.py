"""Locks on file systems that are particular; tests/base/test_files.py kills their holders."""

import errno
import fcntl
import os

import pytest

from glyffuser.base.locks import take_lock


def test_a_file_is_locked_where_that_needs_it_open_for_writing(tmp_path, monkeypatch):
    """As over NFS, where the kernel turns flock into a lock of bytes (flock(2))."""
    lock = fcntl.flock

    def nfs(descriptor: int, operation: int) -> None:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", nfs)
    (tmp_path / "lock").touch()
    mine = take_lock(tmp_path / "lock")
    assert mine is not None
    assert take_lock(tmp_path / "lock") is None
    os.close(mine)
    with pytest.raises(OSError, match="Bad file"):
        take_lock(tmp_path)  # no folder can be opened for writing
