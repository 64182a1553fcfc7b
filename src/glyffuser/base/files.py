"""Writing files so that an interruption leaves the old one or the new one, never half a file."""

import ctypes
import errno
import hashlib
import lzma
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from glyffuser.base.errors import UserError
from glyffuser.base.locks import take_lock

LEFTOVER = ".part"  # how the names of temporary folders end
_HOLDER = re.compile(rf"\.(.+)\.[a-z0-9_]{{8}}{re.escape(LEFTOVER)}")  # name of a temporary folder for group 1
_OLD = "old"  # in such a folder: what it is about to replace
_SWAP = 2  # RENAME_EXCHANGE of renameat2(2)
_HERE = -100  # AT_FDCWD: relative paths start from the working directory


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; on success it replaces `path`, on error it is removed.

    Works for a file, which is replaced in one step, and for a folder, see `replace_folder`.
    Raises UserError if the parent folder cannot be made or written to, or if a file would replace a folder or a folder
    a file; OSError if the disk is full.
    """
    path = Path(path)
    try:
        with scratch_path(path) as temporary:
            yield temporary
            _settle(temporary)
            if temporary.is_dir():
                replace_folder(temporary, path)
            elif path.is_dir():
                raise UserError(f"{path} is a folder, not a file; choose another name")
            else:
                os.replace(temporary, path)
    except Exception as error:
        if f"os error {errno.ENOSPC}" in str(error):  # safetensors raises its own exception for a full disk
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise


@contextmanager
def scratch_path(path: Path) -> Iterator[Path]:
    """Yield a path for a temporary file or folder on the file system of `path`; it is removed afterwards.

    If the process is killed, the next one that writes into that folder removes it; see `remove_leftovers`.
    """
    output_folder(path.parent)
    holder, lock = _holder(path)
    try:
        yield holder / path.name
    finally:
        shutil.rmtree(holder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _holder(path: Path) -> tuple[Path, int | None]:
    """A hidden, unique sibling of `path` (the same file system, so that os.replace is atomic), and its lock."""
    while True:
        try:
            holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=LEFTOVER, dir=path.parent))
        except OSError as error:
            raise UserError(f"cannot write in {path.parent}: {error.strerror}; choose another --out") from error
        try:
            lock = take_lock(holder)
        except OSError:
            if holder.exists():
                return holder, None  # no locks here, so no process takes it for a leftover
            continue
        if lock is None:
            continue  # another process took it for a leftover before it was locked, and is removing it
        if holder.exists():
            return holder, lock
        os.close(lock)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8."""
    write_bytes(path, text.encode())


def unpacked(path: Path, most: int) -> bytes:
    """The contents of an .xz file. LZMAError if damaged or larger than `most` bytes: a small file can hold a lot."""
    reader = lzma.LZMADecompressor()
    data = reader.decompress(path.read_bytes(), most)
    if not reader.eof:
        raise lzma.LZMAError(f"it is cut off, or holds more than {most} bytes")
    return data


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def replace_folder(new: Path, path: Path) -> None:
    """Put the folder `new` in the place of `path`, which may exist. Both must be on the same file system.

    On Linux the two are swapped in one step, if the file system can. Otherwise `path` is missing for an instant between
    two renames; a process killed then leaves the old folder beside `new`, and `remove_leftovers` puts it back.
    """
    if path.is_file():
        raise UserError(f"{path} is a file, not a folder; choose another name")
    if not path.exists():
        os.replace(new, path)
        return
    if _swap(new, path):
        return
    old = new.with_name(_OLD)
    os.replace(path, old)
    try:
        os.replace(new, path)
    except BaseException:
        os.replace(old, path)
        raise


def _swap(one: Path, other: Path) -> bool:
    """Exchange two folders in one step, if the system and the file system can; Python has no such call."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    return rename is not None and rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _SWAP) == 0


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half-written in `folder`, and put back a folder that one was replacing.

    What a living process is writing stays, as does anything not of the form that `scratch_path` makes.
    """
    for leftover in folder.glob(f".*{LEFTOVER}"):
        made = _HOLDER.fullmatch(leftover.name)
        if not made or not leftover.is_dir() or leftover.is_symlink():
            continue
        try:
            lock = take_lock(leftover)
        except OSError:
            continue  # it is gone, or locks cannot tell whether anyone writes there
        if lock is None:
            continue
        if {entry.name for entry in leftover.iterdir()} <= {made[1], _OLD}:
            if (leftover / _OLD).exists() and not (folder / made[1]).exists():
                os.replace(leftover / _OLD, folder / made[1])
            shutil.rmtree(leftover, ignore_errors=True)
        os.close(lock)


@cache
def _sweep_once(folder: Path) -> None:
    """Call `remove_leftovers`, once per process and folder: it may hold many files, and get many more."""
    remove_leftovers(folder)


def output_folder(path: str | Path) -> Path:
    """Make the folder `path` if it is missing, and remove what killed processes left in it.

    Returns its path. Raises UserError, saying why, if it cannot be used.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{error.filename or path} is a file, not a folder; choose another --out") from error
    except OSError as error:
        raise UserError(f"cannot make the folder {path}: {error.strerror}; choose another --out") from error
    if not os.access(path, os.W_OK):
        raise UserError(f"the folder {path} is not writable; choose another --out")
    _sweep_once(path.resolve())
    return path


def _settle(path: Path) -> None:
    """Force the bytes to disk before the rename, so that a power cut cannot leave an empty new file; and let everyone
    read it who can read new files: safetensors, for one, writes for the owner alone.
    """
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_file():
            with open(file, "rb") as handle:
                os.fsync(handle.fileno())
            mode = file.stat().st_mode
            if mode | _usual_rights() != mode:  # some file systems know no rights, and refuse to change them
                file.chmod(mode | _usual_rights())


@cache
def _usual_rights() -> int:
    """The rights of new files in this process. Asking needs a change of the mask for an instant, so it is done once."""
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask
