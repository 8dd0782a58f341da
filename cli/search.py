"""The command `search`, which searches settings and trains models with the best ones."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator

import click

from cli.options import TrainCommand, config_options, given_values
from cli.terminal import exit_on_errors, printing
from trainer.config import TrainConfig
from trainer.search.space import SEARCHED_OPTIONS
from trainer.search.study import BATCH
from trainer.startup import work_for_long

_HELP = """Search settings, then train models with the best ones.

For each model and symbol a study tries settings by a walk-forward on the first part of the bars,
before the first block of every headline. The settings with the highest net Sharpe ratio are then
trained as `train` does it, on all bars: the headline has not been searched on. Varied are task,
horizon, position, smooth, features and hyperparameters of the model; what you give keeps its
value. The first trial has the settings of the command itself.

\b
  barwright search --symbols EURUSD --source sample --models lightgbm
  barwright search --symbols BTCUSDT --budget 100 --horizon 24 --params lightgbm.num_leaves=15

Every trial is a run, and counts in the deflated Sharpe ratio of all models of its symbol. A search
that was stopped goes on when the same command is given again; a larger budget adds trials.

Exit status: 0 all studies ended, 1 some or all failed, 2 wrong usage.
"""

#: Options of `train` that a search sets itself.
_FIELDS = tuple(name for name in TrainConfig.model_fields if name != "search")


@click.command(cls=TrainCommand, help=_HELP)
@config_options(*_FIELDS, without_default=SEARCHED_OPTIONS)
@click.option(
    "--budget",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Trials of each study.",
)
@click.option("--debug", is_flag=True, help="Print the traceback of an error, too.")
def search(debug: bool, budget: int, **values: str | tuple[str, ...] | None) -> None:
    """Run the command; `_HELP` is its help text."""
    given = given_values(values)
    with exit_on_errors(debug, status=2):
        config = TrainConfig.parse(given)
    # Imported late, and MLflow only when the workers have been started: as in `train`.
    from trainer.jobs.worker_pool import WorkerPool

    n_trials = config.n_jobs * BATCH
    with exit_on_errors(debug), WorkerPool(config, n_trials) as pool:
        from cli.search_view import SearchView, print_search
        from cli.table import wide_console
        from trainer.jobs.search import search as run

        work_for_long()
        console = wide_console()
        with SearchView(console, config, budget) as view, _saying_that_it_goes_on():
            summary = run(
                config,
                given,
                budget,
                pool,
                on_progress=view.on_progress,
                on_trial=view.on_trial,
                on_result=view.on_result,
            )
    with printing(debug):
        print_search(console, summary, config)
    # The collector would look through all objects of a process that ends: a second for nothing.
    gc.freeze()
    sys.exit(1 if summary.failed else 0)


@contextlib.contextmanager
def _saying_that_it_goes_on() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        text = "Stopped. The same command goes on with the trials that have ended."
        click.echo(text, err=True)
        raise
