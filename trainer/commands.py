"""The commands beside `train`: each reads its arguments, asks another module, prints the answer."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from rich.console import Console

_PROMOTE_HELP = """Move an alias to a version that has earned it.

NAME is a registered model, gru-BTCUSDT. Its version must show, on its walk-forward after costs: a
net Sharpe ratio whose 95 % interval is above 0; a deflated Sharpe ratio of 0.95 against all trials
of the symbol; enough bars and 30 trades; a probability of backtest overfitting below 0.5; a gain at
twice the costs; probabilities better than the base rate's. And it may not be worse than the alias's
present version on the same bars: both are loaded, and decide the bars after their training.

\b
  barwright promote gru-BTCUSDT
  barwright promote gru-BTCUSDT --version 3 --alias staging
  barwright promote gru-BTCUSDT --force --reason "paper trading only"

Exit status: 0 the alias points to the version, 1 it was refused, 2 wrong usage.
"""

_ROLLBACK_HELP = """Serve an older version again under @latest.

Its model is proven in a fresh process and registered once more, as the newest version, with the tag
rollback_of. Other aliases stay where they are: `barwright promote` moves them.

\b
  barwright rollback gru-BTCUSDT --to 3

Exit status: 0 rolled back, 1 refused, 2 wrong usage.
"""


@click.command(help=_PROMOTE_HELP)
@click.argument("name")
@click.option("--version", default="", help="Version to promote; the newest one by default.")
@click.option("--alias", default="champion", show_default=True, help="Alias to move.")
@click.option(
    "--source",
    default="",
    help="Bars that both versions are scored on after their training; where the version was "
    "trained from by default.",
)
@click.option("--force", is_flag=True, help="Move it whatever the gate says; needs --reason.")
@click.option("--reason", default="", help="Why; written down with the move.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object.")
@click.option("--debug", is_flag=True, help="Show where errors come from.")
def promote(
    name: str,
    version: str,
    alias: str,
    source: str,
    force: bool,
    reason: str,
    as_json: bool,
    debug: bool,
) -> None:
    """Move an alias; the help text for people is `_PROMOTE_HELP`."""
    console = make_console()
    with _told(debug):
        from rich.console import Console

        from trainer.promotion import promote as move
        from trainer.store import open_store

        _, client = open_store()
        with Console(stderr=True).status("") as status:
            decision = move(
                client,
                name,
                version=version,
                alias=alias,
                source=source,
                force=force,
                reason=reason,
                tell=status.update,
            )
    refused = not decision.moved and decision.before != decision.version
    if as_json:
        click.echo(json.dumps(asdict(decision)))
    else:
        from trainer.view import print_decision

        print_decision(console, decision)
    sys.exit(1 if refused else 0)


@click.command(help=_ROLLBACK_HELP)
@click.argument("name")
@click.option("--to", required=True, help="The older version.")
@click.option("--debug", is_flag=True, help="Show where errors come from.")
def rollback(name: str, to: str, debug: bool) -> None:
    """Serve an older version again; the help text for people is `_ROLLBACK_HELP`."""
    with _told(debug):
        from trainer.promotion import rollback as roll_back
        from trainer.store import open_store
        from trainer.verify import Verifier

        uri, client = open_store()
        with Verifier(uri, os.environ, 1) as verifier:
            version = roll_back(client, name, to, verifier)
    click.echo(f"{name}: version {version} is version {to} again, and @latest serves it.")


#: Added to the command line by `trainer.__main__`, by name.
COMMANDS: dict[str, click.Command] = {"promote": promote, "rollback": rollback}


@contextmanager
def _told(debug: bool) -> Iterator[None]:
    """Turn errors that the user can mend into one line, and exit status 1."""
    from adapters.base import AdapterError
    from features.errors import InputError
    from trainer.errors import TrainerError
    from trainer.store import DEFAULT_URI, STORE_ERRORS, store_error

    try:
        yield
    except (InputError, AdapterError, TrainerError) as error:
        fail(error, status=1, debug=debug)
    except (*STORE_ERRORS, ImportError) as error:
        uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
        fail(store_error(uri, error), status=1, debug=debug)


def make_console() -> Console:
    """Return a console; without a terminal nothing says how wide a line may be."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=120)


def fail(error: Exception, *, status: int, debug: bool) -> NoReturn:
    """Print one error and leave with this exit status."""
    if debug:
        traceback.print_exception(error)
    click.echo(f"Error: {error}", err=True)
    sys.exit(status)
