"""The command line: parses arguments, calls a function, prints what it returns."""
