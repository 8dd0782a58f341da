"""Errors at the edge of a command: one line on the terminal and an exit status."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

from barwright import BarwrightError
from trainer.errors import UsageError


@contextmanager
def exit_on_errors(debug: bool, *, status: int = 1) -> Iterator[None]:
    """End the command with one line if an error is raised that the user can mend.

    Parameters
    ----------
    debug : bool
        Whether the traceback is printed, too.
    status : int, default 1
        Exit status; a `UsageError` always ends with 2.
    """
    try:
        yield
    except BarwrightError as error:
        fail(error, status=2 if isinstance(error, UsageError) else status, debug=debug)


@contextmanager
def exit_on_store_errors(debug: bool, uri: str = "") -> Iterator[None]:
    """Do the same as `exit_on_errors`, for errors of the store behind MLflow, too.

    Parameters
    ----------
    debug : bool
        As in `exit_on_errors`.
    uri : str
        Address of the store that is used; by default the one of all commands.
    """
    # MLflow takes three seconds to import; a help text does not need it.
    from trainer.tracking.store import STORE_ERRORS, store_error, tracking_uri

    with exit_on_errors(debug):
        try:
            yield
        except (*STORE_ERRORS, ImportError) as error:
            raise store_error(uri or tracking_uri(), error) from error


@contextmanager
def printing(debug: bool) -> Iterator[None]:
    """End the command with one line and exit status 1 if its output cannot be written."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # a reader such as `head` ended; click exits quietly
        raise
    except OSError as error:
        reason = give_up_output(error)
        text = f"the output cannot be written: {reason}; the work of the command itself is done"
        fail(OSError(text), status=1, debug=debug)


def give_up_output(error: OSError) -> str:
    """Send all further output nowhere, and return why it cannot be written."""
    # Python flushes the output once more at its end, which would print a traceback.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return error.strerror or type(error).__name__


def fail(error: Exception, *, status: int, debug: bool) -> NoReturn:
    """Print an error and exit."""
    print_error(error, debug=debug)
    sys.exit(status)


def print_error(error: Exception, *, debug: bool) -> None:
    """Print an error on one line of the standard error; with `debug` after its traceback."""
    if debug:
        traceback.print_exception(error)
    click.echo(f"Error: {error}", err=True)
