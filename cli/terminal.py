"""What commands share: where tables go, and how errors end a command."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from rich.console import Console


@contextmanager
def told(debug: bool) -> Iterator[None]:
    """Turn errors that the user can mend into one line, and exit status 1; 2 for wrong usage."""
    from adapters.base import AdapterError
    from features.errors import InputError
    from trainer.errors import TrainerError, UsageError
    from trainer.tracking.store import DEFAULT_URI, STORE_ERRORS, store_error

    try:
        yield
    except (InputError, AdapterError, TrainerError) as error:
        fail(error, status=2 if isinstance(error, UsageError) else 1, debug=debug)
    except (*STORE_ERRORS, ImportError) as error:
        uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
        fail(store_error(uri, error), status=1, debug=debug)


@contextmanager
def printing(debug: bool) -> Iterator[None]:
    """Turn output that cannot be written, to a full disk, into one line and exit status 1."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        raise
    except OSError as error:
        # Or Python would try again at its end, and print a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        why = error.strerror or type(error).__name__
        text = f"the output cannot be written: {why}; what it would have told is done all the same"
        fail(OSError(text), status=1, debug=debug)


def wide_console(width: int = 120) -> Console:
    """Where tables are printed: without a terminal nothing says how wide a line may be."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=width)


def fail(error: Exception, *, status: int, debug: bool) -> NoReturn:
    """Print one error and leave with this exit status."""
    say(error, debug=debug)
    sys.exit(status)


def say(error: Exception, *, debug: bool) -> None:
    """Print one error."""
    if debug:
        traceback.print_exception(error)
    click.echo(f"Error: {error}", err=True)
