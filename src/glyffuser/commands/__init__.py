"""The command line, one thin file per group of commands: parse, validate, call one library function, print."""
