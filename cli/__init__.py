"""The command line: every command, with what it prints."""
