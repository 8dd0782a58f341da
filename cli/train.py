"""The command `train`, which trains models and registers them."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from cli.options import (
    TrainCommand,
    config_options,
    given_values,
    json_log_option,
    typed_values,
)
from cli.terminal import exit_on_errors, printing
from trainer.config import TrainConfig
from trainer.run_file import read_run_file, run_file_text

if TYPE_CHECKING:
    from trainer.jobs.worker_pool import WorkerPool

_HELP = """Train models and register those that pass verification.

Each model is trained for each symbol by one procedure: purged K-fold, calibration, and a threshold
that is chosen after costs. A walk-forward of the whole procedure measures it. The model is saved,
loaded back in a fresh process, and only then registered as {model}-{symbol}. If one symbol fails,
the others go on.

\b
  barwright train --symbols EURUSD --source sample
  barwright train --symbols GOOGL --source sample --interval 1d
  barwright train --symbols BTCUSDT,ETHUSDT --source path/to/bars --fee-bps 5
  barwright train --symbols EURUSD --source sample --dump-config > run.yaml
  barwright train --config run.yaml --seed 43

Runs are written to MLFLOW_TRACKING_URI, or to sqlite:///mlflow.db in this folder.

Exit status: 0 all models are registered, 1 some or all failed, 2 wrong usage.
"""


@click.command(cls=TrainCommand, help=_HELP)
@config_options(*TrainConfig.model_fields)
@click.option(
    "--config",
    "run_file",
    default="",
    metavar="FILE",
    help="YAML file of options, as --dump-config prints it. Options that are given beside it win.",
)
@click.option(
    "--dump-config", is_flag=True, help="Print all options as a YAML file; train nothing."
)
@json_log_option
@click.option("--debug", is_flag=True, help="Print the traceback of an error, too.")
def train(
    debug: bool,
    json_log: bool,
    dump_config: bool,
    run_file: str,
    **values: str | tuple[str, ...] | None,
) -> None:
    """Run the command; `_HELP` is its help text."""
    with exit_on_errors(debug, status=2):
        config = TrainConfig.parse(_options(run_file, values))
    if dump_config:
        with printing(debug):
            click.echo(run_file_text(config), nl=False)
        return
    # Imports in stages, for measured reasons. After the checks, because a wrong option ends in
    # 1.4 s of processor time, and in 4.7 s if Dask and MLflow are imported before. And after the
    # start of the first verification process, which imports its libraries at the same time.
    from trainer.registry.verify import Verifier

    verifier = Verifier(os.environ, config.models)
    with exit_on_errors(debug), verifier:
        from cli.progress import JsonLog, ProgressView
        from cli.table import wide_console
        from cli.train_view import print_summary, summary_json
        from trainer.job import jobs_of
        from trainer.jobs.train import train as run

        names, console = [job.name for job in jobs_of(config)], wide_console()
        log = JsonLog(names, config.n_fits) if json_log else None
        with log or ProgressView(console, names, config.n_fits) as view:
            summary = run(
                config,
                _workers(config),
                verifier,
                on_progress=view.on_progress,
                on_result=view.on_result,
            )
    with printing(debug):
        if log is not None:
            log.write("end", **summary_json(summary))
        else:
            print_summary(console, summary, config)
    if debug:
        for registration in summary.results:
            if registration.result.details:
                click.echo(registration.result.details, err=True)
    # The collector would look through all objects of a process that ends: a second for nothing.
    gc.freeze()
    sys.exit(1 if summary.failed else 0)


@contextmanager
def _workers(config: TrainConfig) -> Iterator[WorkerPool]:
    """Open the workers, whose libraries are imported only then."""
    from trainer.jobs.worker_pool import WorkerPool

    with WorkerPool(config, config.n_jobs * config.n_fits) as pool:
        yield pool


def _options(run_file: str, values: Mapping[str, str | tuple[str, ...] | None]) -> dict[str, Any]:
    """Return the options of a run file, if any, and of the command line."""
    if not run_file:
        return dict(given_values(values))
    return {**read_run_file(run_file), **typed_values(values)}
