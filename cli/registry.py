"""The commands that look at what was trained, or move it: compare, promote, rollback, report."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import click

from cli.terminal import fail, printing, told, wide_console
from features.errors import InputError
from features.sources import check_symbol
from trainer.errors import TrainerError

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
@click.option(
    "--force",
    is_flag=False,
    flag_value="on",
    default="off",
    show_default=True,
    type=click.Choice(["on", "off"]),
    help="Move it whatever the gate says; needs --reason.",
)
@click.option("--reason", default="", help="Why; written down with the move.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object.")
@click.option("--debug", is_flag=True, help="Show where errors come from.")
def promote(
    name: str,
    version: str,
    alias: str,
    source: str,
    force: str,
    reason: str,
    as_json: bool,
    debug: bool,
) -> None:
    """Move an alias; the help text for people is `_PROMOTE_HELP`."""
    console = wide_console()
    with told(debug):
        from rich.console import Console

        from trainer.registry.promotion import promote as move
        from trainer.tracking.store import open_store

        _, client = open_store()
        with Console(stderr=True).status("") as status:
            decision = move(
                client,
                name,
                version=version,
                alias=alias,
                source=source,
                force=force == "on",
                reason=reason,
                tell=status.update,
            )
    refused = not decision.moved and decision.before != decision.version
    with printing(debug):
        if as_json:
            click.echo(json.dumps(asdict(decision)))
        else:
            from cli.train_view import print_decision

            print_decision(console, decision)
    sys.exit(1 if refused else 0)


@click.command(help=_ROLLBACK_HELP)
@click.argument("name")
@click.option("--to", required=True, help="The older version.")
@click.option("--debug", is_flag=True, help="Show where errors come from.")
def rollback(name: str, to: str, debug: bool) -> None:
    """Serve an older version again; the help text for people is `_ROLLBACK_HELP`."""
    with told(debug):
        from trainer.registry.promotion import rollback as roll_back
        from trainer.registry.verify import Verifier
        from trainer.tracking.store import open_store

        uri, client = open_store()
        # None waits: whether there is anything to verify is looked at first.
        with Verifier(uri, os.environ, 0) as verifier:
            version = roll_back(client, name, to, verifier)
    with printing(debug):
        click.echo(f"{name}: version {version} is version {to} again, and @latest serves it.")


_REPORT_HELP = """Write the report of a model: one page with its evidence, figures included.

MODEL is a registered version, models:/gru-BTCUSDT@latest or models:/gru-BTCUSDT/3. Trials are
counted as of now, so its verdict may be another than when it was trained.

\b
  barwright report models:/gru-BTCUSDT@latest
  barwright report models:/gru-BTCUSDT/3 --output gru.html

Exit status: 0 written, 1 it could not be, 2 wrong usage.
"""


@click.command(help=_REPORT_HELP)
@click.argument("model")
@click.option(
    "--output", default="", help="File to write; {model}-{symbol}-{version}.html by default."
)
@click.option("--debug", is_flag=True, help="Show where errors come from.")
def report(model: str, output: str, debug: bool) -> None:
    """Write a report; the help text for people is `_REPORT_HELP`."""
    with told(debug):
        from trainer.registry.versions import report as write
        from trainer.tracking.store import open_store

        _, client = open_store()
        name, text = write(client, model)
        path = Path(output or name)
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            reason = error.strerror or type(error).__name__
            fail(
                OSError(f"`--output` {str(path)!r} cannot be written: {reason}; give another file"),
                status=1,
                debug=debug,
            )
    with printing(debug):
        click.echo(f"{path}: open it in a browser.")


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
    with told(debug):
        from cli.compare_view import print_comparison
        from trainer.tracking.ranking import compare as compare_candidates

        found = compare_candidates(
            chosen_symbols, chosen_models, experiment=experiment, everything=everything
        )
    with printing(debug):
        if as_json:
            click.echo(json.dumps(found.plain(), indent=2))
        else:
            # Wide enough for every column.
            print_comparison(wide_console(200), found)


def _names(text: str) -> list[str]:
    """Return the names of a comma-separated list, each once."""
    return list(dict.fromkeys(filter(None, (part.strip() for part in text.split(",")))))
