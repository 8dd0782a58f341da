"""The command `compare`, which ranks candidates."""

from __future__ import annotations

import json

import click

from cli.options import split_names
from cli.table import wide_console
from cli.terminal import exit_on_errors, printing
from features.sources import check_symbol
from trainer.errors import TrainerError

_HELP = """Rank the candidates of symbols, with their registered versions.

One table a symbol, with the best net Sharpe ratio of the walk-forward first. Only candidates with
the most common contract have a place: equal costs, horizon, interval, label kind (task), calendar,
shorts, features, bars and walk-forward blocks. All others have the mark *, and the lines below the
table list how their contracts differ.

\b
  barwright compare --symbols EURUSD
  barwright compare --symbols BTCUSDT,ETHUSDT --models gru,lightgbm
  barwright compare --symbols EURUSD --json

Candidates are read from MLFLOW_TRACKING_URI, or from sqlite:///mlflow.db in this folder.

Exit status: 0 compared, 1 nothing to compare or no such store, 2 wrong usage.
"""


@click.command(help=_HELP)
@click.option("--symbols", required=True, metavar="LIST", help="Symbols, comma-separated.")
@click.option(
    "--models", default="", metavar="LIST", help="Models, comma-separated; all by default."
)
@click.option("--experiment", default="barwright", show_default=True, help="MLflow experiment.")
@click.option("--all", "everything", is_flag=True, help="List more than the 20 best.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--debug", is_flag=True, help="Print the traceback of an error, too.")
def compare(
    symbols: str, models: str, experiment: str, everything: bool, as_json: bool, debug: bool
) -> None:
    """Run the command; `_HELP` is its help text."""
    chosen_symbols, chosen_models = split_names(symbols), split_names(models)
    with exit_on_errors(debug, status=2):
        if not chosen_symbols:
            raise TrainerError(
                "`--symbols` must name at least one, got none; for example --symbols EURUSD"
            )
        for symbol in chosen_symbols:
            check_symbol(symbol)
    # MLflow takes three seconds to import: the checks above and the help text do not need it.
    from cli.compare_view import print_comparison
    from trainer.tracking import ranking

    with exit_on_errors(debug):
        comparison = ranking.compare(
            chosen_symbols, chosen_models, experiment=experiment, everything=everything
        )
    with printing(debug):
        if as_json:
            click.echo(json.dumps(comparison.to_json(), indent=2))
        else:
            # Without a terminal the table has room for every column.
            print_comparison(wide_console(200), comparison)
