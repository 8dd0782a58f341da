"""The command line: `barwright`, or `python -m trainer`."""

from __future__ import annotations

import gc
import os
import signal
import sys
from importlib import metadata

import click

import trader
from cli.audit import COMMANDS
from cli.options import config_options
from cli.terminal import fail, printing, wide_console
from trainer.config import TrainConfig
from trainer.errors import TrainerError

_TRAIN_HELP = """Train models and register those that are sound.

Each model is trained for each symbol by one procedure (purged K-fold, calibration, threshold
after costs), measured walk-forward, saved, loaded back in a fresh process, and only then
registered as {model}-{symbol}. A symbol that fails does not stop the others.

\b
  barwright train --symbols EURUSD --source sample
  barwright train --symbols GOOGL --source sample --interval 1d
  barwright train --symbols BTCUSDT,ETHUSDT --source path/to/bars --fee-bps 5

Runs go to MLFLOW_TRACKING_URI, or to sqlite:///mlflow.db in this folder.

Exit status: 0 all registered, 1 some or all failed, 2 wrong usage.
"""


def _version() -> str:
    try:
        return metadata.version("barwright")
    except metadata.PackageNotFoundError:  # run from a checkout, as `mlflow run` does
        return "(not installed: run from its folder)"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(_version(), prog_name="barwright")
def cli() -> None:
    """Turn price bars into trading decisions that can be trusted."""


@cli.command(help=_TRAIN_HELP)
@config_options(*TrainConfig.model_fields)
@click.option("--debug", is_flag=True, help="Show where errors come from.")
def train(debug: bool, **values: str | tuple[str, ...] | None) -> None:
    """Train models; the help text for people is `_TRAIN_HELP`."""
    # MLproject hands an empty text on where a parameter was not given.
    given = {
        name: ",".join(filter(None, value)) if isinstance(value, tuple) else value
        for name, value in values.items()
    }
    given = {name: value for name, value in given.items() if value}
    try:
        config = TrainConfig.parse(given)
    except TrainerError as error:
        fail(error, status=2, debug=debug)
    # Behind the checks: these imports take seconds, and a typing mistake should not.
    from trainer.jobs.local_cluster import Engine

    console = wide_console()
    try:
        with Engine(config) as engine:
            # MLflow is imported while the workers start.
            from cli.train_view import ProgressView, print_summary
            from trainer.jobs.train import train as run

            with ProgressView(console, config) as view:
                summary = run(config, engine, listen=view.listen, finished=view.finished)
    except TrainerError as error:
        fail(error, status=1, debug=debug)
    with printing(debug):
        print_summary(console, summary, config)
    if debug:
        for result in summary.results:
            if result.outcome.details:
                click.echo(result.outcome.details, err=True)
    gc.freeze()  # nothing to collect for a process that ends; looking takes a second
    sys.exit(1 if summary.failed else 0)


cli.add_command(trader.trade, "trade")
for name, command in COMMANDS.items():
    cli.add_command(command, name)


def main() -> None:
    """Entry point of the `barwright` script."""
    # What is traded is nobody else's business; who wants MLflow's telemetry can switch it on.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # A server that went away is asked for seconds, not for minutes, before its run is given up.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    # `kill` ends a command as Ctrl-C does: temporary files and workers go with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cli(prog_name="barwright")


if __name__ == "__main__":
    main()
