"""The command `prune`, which removes old versions and runs that nothing needs."""

from __future__ import annotations

import json
import re
import sys
from datetime import timedelta

import click
from rich.console import Console

from cli.options import chosen_names
from cli.table import wide_console
from cli.terminal import exit_on_errors, exit_on_store_errors, printing
from trainer.config import ALL
from trainer.errors import UsageError

_HELP = """Remove old versions and runs that nothing needs.

Without --apply nothing is removed: what would be is listed. Versions are old if they are not among
the --keep newest ones of their name, and older than --older-than. An old version stays all the same
if

\b
  an alias points to it, or it is the newest one (@latest),
  its tags are the record of a promotion or a rollback,
  an alias moved from it to a version that stays,
  a version that stays is a rollback of it.

--runs also removes runs of --experiment that ended before: jobs that failed, candidates that
repeat the walk-forward of a later one, and commands of which no run is left. Every other candidate,
and every trial of a search, stays: the deflated Sharpe ratio counts them.

What is removed is marked as deleted in MLflow; `mlflow gc` frees the files. A removed version
cannot be restored.

\b
  barwright prune
  barwright prune --names gru-BTCUSDT,gru-ETHUSDT --keep 3 --older-than 30d
  barwright prune --runs --apply

Exit status: 0 listed or removed, 1 something that was to be removed stays or an error, 2 wrong
usage.
"""
_HOURS = {"h": 1, "d": 24, "w": 168}


@click.command(help=_HELP)
@click.option(
    "--keep",
    default=5,
    show_default=True,
    type=click.IntRange(min=1),
    help="Newest versions of each name that stay.",
)
@click.option(
    "--older-than",
    default="90d",
    show_default=True,
    metavar="AGE",
    help="Age of what may be removed: a count and one of h, d, w; 0d for any age.",
)
@click.option(
    "--names",
    default=ALL,
    show_default=True,
    metavar="LIST",
    help="Registered models, comma-separated.",
)
@click.option(
    "--runs",
    is_flag=False,
    flag_value="on",
    default="off",
    show_default=True,
    type=click.Choice(["on", "off"]),
    help="Remove runs, too.",
)
@click.option(
    "--experiment", default="barwright", show_default=True, help="Experiment of these runs."
)
@click.option(
    "--apply",
    is_flag=False,
    flag_value="on",
    default="off",
    show_default=True,
    type=click.Choice(["on", "off"]),
    help="Remove what is listed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--debug", is_flag=True, help="Print the traceback of an error, too.")
def prune(
    keep: int,
    older_than: str,
    names: str,
    runs: str,
    experiment: str,
    apply: str,
    as_json: bool,
    debug: bool,
) -> None:
    """Run the command; `_HELP` is its help text."""
    with exit_on_errors(debug):
        age, chosen = _age(older_than), chosen_names("names", names)
    from cli.prune_view import print_plan, print_removal
    from trainer.registry import prune as pruning
    from trainer.tracking.store import open_store

    with exit_on_store_errors(debug), Console(stderr=True).status("") as status:
        uri, client = open_store()
        policy = pruning.Policy(keep, age, tuple(chosen), runs == "on")
        planned = pruning.plan(
            client, policy, uri=uri, experiment=experiment, on_progress=status.update
        )
        removal = (
            pruning.remove(client, planned, on_progress=status.update) if apply == "on" else None
        )
    with printing(debug):
        if as_json:
            removed = None if removal is None else removal.to_json()
            click.echo(json.dumps({**planned.to_json(), "removed": removed}))
        else:
            console = wide_console()
            print_plan(console, planned)
            print_removal(console, planned, removal)
    sys.exit(1 if removal is not None and removal.skipped else 0)


def _age(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,5})([hdw])", text)
    if match is None:
        raise UsageError(
            f"`--older-than` must be a count and one of h, d, w, got {text!r}; write for example "
            "90d, or 0d for any age"
        )
    return timedelta(hours=int(match[1]) * _HOURS[match[2]])
