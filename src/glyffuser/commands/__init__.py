"""Commands of the command line that are too long for cli.py; each parses, validates, calls one function and prints."""
