"""Lists of meanings: text files with one on each line."""

from pathlib import Path

from glyffuser.base.errors import UserError


def read_list(path: Path) -> dict[int, str]:
    """The meanings in a text file (UTF-8), by the numbers of their lines, from 1.

    Empty lines and those that begin with # are left out. UserError for a file that cannot be read or holds none.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()  # as some editors write it, with a mark at the start
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text in UTF-8"
        raise UserError(f"cannot read the list {path}: {reason}") from error
    found = {number: line.strip() for number, line in enumerate(lines, 1)}
    meanings = {number: text for number, text in found.items() if text and not text.startswith("#")}
    if not meanings:
        raise UserError(f"the list {path} holds no meanings; write one a line")
    return meanings
