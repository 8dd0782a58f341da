"""The command `train`, which trains models and registers them."""

from __future__ import annotations

import gc
import sys

import click

from cli.options import TrainCommand, config_options, given_values
from cli.terminal import exit_on_errors, printing
from trainer.config import TrainConfig

_HELP = """Train models and register those that pass verification.

Each model is trained for each symbol by one procedure: purged K-fold, calibration, and a threshold
that is chosen after costs. A walk-forward of the whole procedure measures it. The model is saved,
loaded back in a fresh process, and only then registered as {model}-{symbol}. If one symbol fails,
the others go on.

\b
  barwright train --symbols EURUSD --source sample
  barwright train --symbols GOOGL --source sample --interval 1d
  barwright train --symbols BTCUSDT,ETHUSDT --source path/to/bars --fee-bps 5

Runs are written to MLFLOW_TRACKING_URI, or to sqlite:///mlflow.db in this folder.

Exit status: 0 all models are registered, 1 some or all failed, 2 wrong usage.
"""


@click.command(cls=TrainCommand, help=_HELP)
@config_options(*TrainConfig.model_fields)
@click.option("--debug", is_flag=True, help="Print the traceback of an error, too.")
def train(debug: bool, **values: str | tuple[str, ...] | None) -> None:
    """Run the command; `_HELP` is its help text."""
    with exit_on_errors(debug, status=2):
        config = TrainConfig.parse(given_values(values))
    # Imports in stages, for measured reasons. After the checks, because a wrong option ends in
    # 1.4 s of processor time, and in 4.7 s if Dask and MLflow are imported before. And MLflow only
    # when the workers have been started, because they import their libraries at the same time.
    from trainer.jobs.worker_pool import WorkerPool

    n_fits = config.n_jobs * config.n_fits
    with exit_on_errors(debug), WorkerPool(config, n_fits) as pool:
        from cli.table import wide_console
        from cli.train_view import ProgressView, print_summary
        from trainer.jobs.train import train as run

        console = wide_console()
        with ProgressView(console, config) as view:
            summary = run(config, pool, on_progress=view.on_progress, on_result=view.on_result)
    with printing(debug):
        print_summary(console, summary, config)
    if debug:
        for registration in summary.results:
            if registration.result.details:
                click.echo(registration.result.details, err=True)
    # The collector would look through all objects of a process that ends: a second for nothing.
    gc.freeze()
    sys.exit(1 if summary.failed else 0)
