"""The command line: one file a group of commands, thin: parse, validate, call one library function, print."""
