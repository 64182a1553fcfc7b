"""Writing files so that an interruption leaves the old one or the new one, never half a file."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glyffuser.base.errors import UserError

LEFTOVER = ".part"  # how the names of temporary folders end


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; on success it replaces `path`, on error it is removed.

    Works for a file, which is replaced in one step, and for a folder, see `replace_folder`.
    Raises UserError if the parent folder cannot be made or written, or if a file would replace a folder or a folder a
    file; OSError if the disk is full.
    """
    path = Path(path)
    output_folder(path.parent)
    try:
        # One hidden, unique sibling: same file system, so that os.replace is atomic.
        holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=LEFTOVER, dir=path.parent))
    except OSError as error:
        raise UserError(f"cannot write in {path.parent}: {error.strerror}; choose another --out") from error
    try:
        temporary = holder / path.name
        yield temporary
        _flush(temporary)
        if temporary.is_dir():
            replace_folder(temporary, path)
        elif path.is_dir():
            raise UserError(f"{path} is a folder, not a file; choose another name")
        else:
            os.replace(temporary, path)
    except Exception as error:
        if f"os error {errno.ENOSPC}" in str(error):  # safetensors has an exception of its own for a full disk
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8."""
    write_bytes(path, text.encode())


def replace_folder(new: Path, path: Path) -> None:
    """Put the folder `new` in the place of `path`, which may exist. Both are on one file system.

    No system call that Python offers swaps two folders; between the two renames, for an instant, there is neither.
    """
    if path.is_file():
        raise UserError(f"{path} is a file, not a folder; choose another name")
    if not path.exists():
        os.replace(new, path)
        return
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=LEFTOVER, dir=path.parent) as trash:
        old = Path(trash) / path.name
        os.replace(path, old)
        try:
            os.replace(new, path)
        except BaseException:
            os.replace(old, path)
            raise


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left half written in `folder`; nobody else may be writing there."""
    for leftover in folder.glob(f".*{LEFTOVER}"):
        shutil.rmtree(leftover, ignore_errors=True)


def output_folder(path: str | Path) -> Path:
    """Make the folder `path` if it is missing and return it; a UserError says why it cannot be used."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{error.filename or path} is a file, not a folder; choose another --out") from error
    except OSError as error:
        raise UserError(f"cannot make the folder {path}: {error.strerror}; choose another --out") from error
    if not os.access(path, os.W_OK):
        raise UserError(f"the folder {path} is not writable; choose another --out")
    return path


def _flush(path: Path) -> None:
    """Force the bytes to disk before the rename, so that a power cut cannot leave an empty new file."""
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_file():
            with open(file, "rb") as handle:
                os.fsync(handle.fileno())
