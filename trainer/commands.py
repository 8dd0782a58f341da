"""The commands beside `train`: each reads its arguments, asks another module, prints the answer."""

from __future__ import annotations

import json
import sys
import traceback
from typing import NoReturn

import click

from features.errors import InputError
from features.sources import check_symbol
from trainer.errors import TrainerError

#: Added to the command line by `trainer.__main__`, by name.
COMMANDS: dict[str, click.Command] = {}


def fail(error: Exception, *, status: int, debug: bool) -> NoReturn:
    """Print one error and leave with this exit status."""
    if debug:
        traceback.print_exception(error)
    click.echo(f"Error: {error}", err=True)
    sys.exit(status)


_COMPARE_HELP = """Rank the candidates of symbols, with their registered versions.

One table a symbol, best walk-forward net Sharpe ratio first. Only candidates of one contract
(costs, horizon, interval, task, calendar, shorts, features, bars, walk-forward blocks) are given a
place: the most common one. Others are marked *, and below the table is said how they differ.

\b
  barwright compare --symbols EURUSD
  barwright compare --symbols BTCUSDT,ETHUSDT --models gru,lightgbm
  barwright compare --symbols EURUSD --json

Read from MLFLOW_TRACKING_URI, or from sqlite:///mlflow.db in this folder.

Exit status: 0 compared, 1 nothing to compare or no such store, 2 wrong usage.
"""


@click.command(help=_COMPARE_HELP)
@click.option("--symbols", required=True, metavar="LIST", help="Symbols, comma-separated.")
@click.option("--models", default="", metavar="LIST", help="Models, comma-separated; or all.")
@click.option("--experiment", default="barwright", show_default=True, help="MLflow experiment.")
@click.option("--all", "everything", is_flag=True, help="List more than the 20 best.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object.")
@click.option("--debug", is_flag=True, help="Show where errors come from.")
def compare(
    symbols: str, models: str, experiment: str, everything: bool, as_json: bool, debug: bool
) -> None:
    """Compare candidates; the help text for people is `_COMPARE_HELP`."""
    chosen_symbols, chosen_models = _names(symbols), _names(models)
    try:
        if not chosen_symbols:
            raise TrainerError(
                "`--symbols` must name at least one, got none; for example --symbols EURUSD"
            )
        for symbol in chosen_symbols:
            check_symbol(symbol)
    except (InputError, TrainerError) as error:
        fail(error, status=2, debug=debug)
    # Behind the checks: these imports take seconds, and a typing mistake should not.
    from rich.console import Console

    from trainer.compare import compare as compare_candidates
    from trainer.compare_view import print_comparison

    try:
        found = compare_candidates(
            chosen_symbols, chosen_models, experiment=experiment, everything=everything
        )
    except TrainerError as error:
        fail(error, status=1, debug=debug)
    if as_json:
        click.echo(json.dumps(found.plain(), indent=2))
        return
    console = Console()
    # Without a terminal nothing says how wide a line may be: then every column is shown.
    print_comparison(console if console.is_terminal else Console(width=200), found)


def _names(text: str) -> list[str]:
    """Return the names of a comma-separated list, each once."""
    return list(dict.fromkeys(filter(None, (part.strip() for part in text.split(",")))))


COMMANDS["compare"] = compare
