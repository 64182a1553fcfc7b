"""The one exception that means "the user, not the program, can fix this", and those that damaged files raise."""

import lzma
import struct
import zipfile
import zlib


class UserError(ValueError):
    """Bad input. The message is one line that says what is wrong and how to fix it.

    The command line prints the message and exits with 2; any other exception is our fault and exits with 1.
    It is a ValueError so that library callers can catch it without importing this module.
    """


# What reading a damaged file can raise, in the standard library or in those for fonts, pictures, tables and models.
# UserError, a ValueError, is included: code that catches these must let it through first.
DAMAGED = (
    *(OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError),
    *(RuntimeError, SyntaxError, struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile),
)


def in_one_line(error: object) -> str:
    """Another library's error message, in one line of readable length."""
    return " ".join(str(error).split())[:160] or type(error).__name__
