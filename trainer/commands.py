"""The commands beside `train`: each reads its arguments, asks another module, prints the answer."""

from __future__ import annotations

import sys
import traceback
from typing import NoReturn

import click

#: Added to the command line by `trainer.__main__`, by name.
COMMANDS: dict[str, click.Command] = {}


def fail(error: Exception, *, status: int, debug: bool) -> NoReturn:
    """Print one error and leave with this exit status."""
    if debug:
        traceback.print_exception(error)
    click.echo(f"Error: {error}", err=True)
    sys.exit(status)
