"""The command `retrain`, which trains models again whose bars end long ago."""

from __future__ import annotations

import gc
import os
import sys

import click

from cli.options import (
    chosen_names,
    config_options,
    json_log_option,
    split_names,
    typed_values,
)
from cli.terminal import exit_on_errors, exit_on_store_errors, printing
from features.errors import InputError
from features.interval import Interval
from trainer.config import ALL, CLUSTER_OPTIONS
from trainer.errors import UsageError

_HELP = """Train models again whose bars end long ago.

A name is stale if the last bar of its newest version is older than --stale-after, or if its tag
retrain.requested asks for it. Stale names are trained with the settings of their newest version on
all bars that there are now, those that are asked for first, then the oldest. A version is
registered as `barwright train` registers it, and counts as a trial of its symbol. If the name has
the alias (--alias champion), the new version takes it over if it passes the gate of `barwright
promote` against the present one on the same bars. A name without newer bars keeps its version.

Several machines may run this at the same time: one of them trains a name. A command that was killed
leaves its names to the next one.

\b
  barwright retrain --stale-after 7d
  barwright retrain --only gru-BTCUSDT,lightgbm-BTCUSDT --stale-after 1d
  barwright retrain --stale-after 7d --except gru-OLD
  barwright retrain --stale-after 7d --dry-run        what would be trained, and why

Exit status: 0 no stale model failed, 1 some failed, 2 wrong usage.
"""

#: Options of `train` that say where this machine finds bars, caches and workers.
_PLACES = ("source", "cache_folder", "fit_cache_folder", "max_workers", *CLUSTER_OPTIONS)


@click.command(help=_HELP)
@click.option(
    "--stale-after",
    default="7d",
    show_default=True,
    metavar="AGE",
    help="Age of the last bar beyond which a version is stale: 12h, 7d, 2w.",
)
@click.option(
    "--only",
    default=ALL,
    show_default=True,
    metavar="NAMES",
    help="Registered models, comma-separated.",
)
@click.option(
    "--except",
    "left_out",
    default="",
    metavar="NAMES",
    help="Registered models that are left out, as one whose bars are gone.",
)
@click.option(
    "--alias", default="champion", show_default=True, help="Alias that a better version takes over."
)
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Names to train at most; 0 for all.",
)
@click.option(
    "--dry-run",
    is_flag=False,
    flag_value="on",
    default="off",
    show_default=True,
    type=click.Choice(["on", "off"]),
    help="List the stale names; train nothing.",
)
@config_options(*_PLACES, without_default=_PLACES)
@json_log_option
@click.option("--debug", is_flag=True, help="Print the traceback of an error, too.")
def retrain(
    stale_after: str,
    only: str,
    left_out: str,
    alias: str,
    limit: int,
    dry_run: str,
    json_log: bool,
    debug: bool,
    **values: str | tuple[str, ...] | None,
) -> None:
    """Run the command; `_HELP` is its help text."""
    with exit_on_errors(debug, status=2):
        age_ns = _age_ns(stale_after)
        wanted, unwanted = chosen_names("only", only), split_names(left_out)

    # What imports MLflow is imported late: it takes three seconds, and help needs none of it.
    import pandas as pd

    from cli.progress import JsonLog, ProgressView
    from cli.retrain_view import outcome_json, print_outcomes, print_stale
    from cli.table import wide_console
    from trainer.registry.promotion import check_alias
    from trainer.registry.stale import StaleNames
    from trainer.registry.verify import Verifier
    from trainer.tracking.store import open_store

    console, now = wide_console(), pd.Timestamp.now("UTC")
    with exit_on_store_errors(debug):
        check_alias(alias)
        uri, client = open_store()
        registry = StaleNames(client)
        age = pd.Timedelta(age_ns, unit="ns")
        stale = registry.find(age, now, wanted, unwanted)
        stale = stale[:limit] if limit else stale
        if dry_run == "on" or not stale:
            with printing(debug):
                print_stale(None if json_log else console, stale, now, stale_after)
            return
        from trainer.jobs.retrain import Retraining

        log = JsonLog([one.name for one in stale], n_fits=0) if json_log else None
        view = log or ProgressView(console, [one.name for one in stale], n_fits=0)
        models = {one.name.partition("-")[0] for one in stale}
        with Verifier(os.environ, sorted(models)) as verifier, view:
            outcomes = Retraining(
                registry, uri, alias, typed_values(values), view.on_progress, view.on_result
            ).run(stale, verifier)
    with printing(debug):
        if log is not None:
            log.write("end", names=[outcome_json(one) for one in outcomes])
        else:
            print_outcomes(console, outcomes, alias)
    gc.freeze()
    sys.exit(1 if any(one.failed for one in outcomes) else 0)


def _age_ns(text: str) -> int:
    try:
        return Interval.parse(text).ns
    except InputError as error:
        raise UsageError(
            f"`--stale-after` must be a count from 1 to 9999 and one of m, h, d, w, got {text!r}; "
            "write for example 12h or 7d"
        ) from error
