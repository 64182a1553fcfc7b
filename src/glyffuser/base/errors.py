"""The one exception that means "the user, not the program, can fix this"."""


class UserError(ValueError):
    """Bad input. The message is one line that says what is wrong and how to fix it.

    The command line prints the message and exits with 2; any other exception is our fault and exits with 1.
    It is a ValueError so that library callers can catch it without importing this module.
    """
