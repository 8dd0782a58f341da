"""The command line: every command, and what it prints."""
