"""`python -m glyffuser`: the command line, in the form that torchrun starts."""

import sys

from glyffuser.commands.cli import main

sys.exit(main())
