"""The consumer of a registered model: print its decisions on the last bars of a source."""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from barwright import BarwrightError

if TYPE_CHECKING:
    import pandas as pd

    from trainer.serving.contract import Contract
    from trainer.serving.trading_model import TradingModel
    from trainer.tracking.model_uri import Resolved

_HELP = """Print a registered model's decisions.

The model is downloaded as data and run by the code installed here: nothing from the registry is
executed. Its digests, format and golden decisions are checked before it may decide.

\b
  python trader.py --model models:/lightgbm-EURUSD@latest --source sample --last 5
"""
_POSITIONS = {-1: "short", 0: "flat", 1: "long"}


@click.command(help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--model",
    "model_uri",
    required=True,
    help="models:/lightgbm-EURUSD@latest, models:/lightgbm-EURUSD@champion, or .../3.",
)
@click.option(
    "--source", default="data/bars", show_default=True, help="Folder of bars, or `sample`."
)
@click.option("--symbol", help="Symbol of the bars; the model's own by default.")
@click.option("--interval", help="Interval of the bars; the model's own by default.")
@click.option(
    "--last",
    default=1,
    show_default=True,
    type=click.IntRange(1, 1_000_000),
    help="Number of bars to decide, counted from the last one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--debug", is_flag=True, help="Print the traceback of an error, too.")
def trade(
    model_uri: str,
    source: str,
    symbol: str | None,
    interval: str | None,
    last: int,
    as_json: bool,
    debug: bool,
) -> None:
    """Run the command; `_HELP` is its help text."""
    try:
        decisions = decide(model_uri, source, last=last, symbol=symbol, interval=interval)
    except BarwrightError as error:
        if debug:
            traceback.print_exception(error)
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    try:
        if as_json:
            click.echo(json.dumps(decisions.to_json()))
        else:
            _print_table(decisions)
        sys.stdout.flush()
    except BrokenPipeError:  # a reader such as `head` ended; click exits quietly
        raise
    except OSError as error:
        # Python flushes the output once more at its end, which would print a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        click.echo(f"Error: the output cannot be written: {error.strerror}; give another", err=True)
        sys.exit(1)


@dataclass(frozen=True, eq=False)
class Decisions:
    """Decisions of a model on the last bars of a source.

    Attributes
    ----------
    model : str
        Model URI as it was requested.
    version : str
        Version that decided.
    symbol, interval : str
        Symbol and length of the bars.
    status, status_reason : str or None
        Verdict on the version and its reason, as the registry stores them; None for a model that
        is not registered.
    understood : str
        How the source read the bars.
    bars_late : int
        Bars that have closed since the last decided one.
    frame : pandas.DataFrame
        timestamp (UTC bar OPEN time), score, probability, position; see `TradingModel.decide`.
    """

    model: str
    version: str
    symbol: str
    interval: str
    status: str | None
    status_reason: str | None
    understood: str
    bars_late: int
    frame: pd.DataFrame

    def to_json(self) -> dict[str, Any]:
        """Return the decisions as JSON values; an undefined number is null."""
        from trainer.serving.manifest import decision_to_json

        facts = {name: value for name, value in vars(self).items() if name != "frame"}
        return {**facts, "decisions": [*map(decision_to_json, self.frame.to_dict("records"))]}


def decide(
    model_uri: str,
    source: str,
    *,
    last: int = 1,
    symbol: str | None = None,
    interval: str | None = None,
) -> Decisions:
    """Load a model and decide the last bars of a source.

    Parameters
    ----------
    model_uri : str
        MLflow model URI.
    source : str
        Folder of bars, or ``sample``.
    last : int, default 1
        Number of bars to decide.
    symbol, interval : str, optional
        Symbol and bar length that the caller expects; those of the model by default.

    Raises
    ------
    InputError, TrainerError
        If the model cannot be loaded or verified, was made for other bars than the caller expects,
        or the bars cannot be used.
    """
    # MLflow's telemetry is off unless the user sets it: what is traded is confidential.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import pandas as pd

    from features.interval import Interval
    from features.sources import open_source
    from trainer.tracking.tag_names import STATUS, STATUS_REASON

    model, resolved = _load(model_uri)
    contract = model.contract
    _check_expected(model_uri, contract, symbol, interval)
    raw = open_source(source).read(contract.symbol, contract.interval)
    now = pd.Timestamp.now("UTC")
    frame = model.decide(raw.frame, last=last, now=now)
    step = pd.Timedelta(Interval.parse(contract.interval).ns)
    return Decisions(
        model=model_uri,
        version=resolved.version,
        symbol=contract.symbol,
        interval=contract.interval,
        status=resolved.tags.get(STATUS),
        status_reason=resolved.tags.get(STATUS_REASON),
        understood=raw.understood,
        bars_late=int((now - frame["timestamp"].iloc[-1]) / step) - 1,
        frame=frame,
    )


def _load(model_uri: str) -> tuple[TradingModel, Resolved]:
    """Pin a model URI to a version, and load that version as data."""
    from trainer.errors import TrainerError
    from trainer.flavor import load_model
    from trainer.serving.manifest import MANIFEST_TAG
    from trainer.tracking.model_uri import resolve
    from trainer.tracking.store import STORE_ERRORS, open_store, redacted

    if not model_uri.startswith(("models:/", "runs:/", "file:", "/")):
        raise TrainerError(
            f"`--model` must be a model URI, got {model_uri!r}; write for example "
            f"models:/{model_uri}@latest"
        )
    uri, _ = open_store()

    def not_loaded(error: Exception) -> TrainerError:
        reason = str(error).splitlines()[0].rstrip(".")
        return TrainerError(
            f"{model_uri} cannot be loaded from {redacted(uri)}: {reason}; train it first, give a "
            "version or alias that exists, or set MLFLOW_TRACKING_URI"
        )

    try:
        resolved = resolve(model_uri)
    except (TrainerError, *STORE_ERRORS, ImportError) as error:
        raise not_loaded(error) from error
    try:
        model = load_model(resolved.uri, manifest_sha256=resolved.tags.get(MANIFEST_TAG))
    except (*STORE_ERRORS, ImportError) as error:
        raise not_loaded(error) from error
    return model, resolved


def _check_expected(
    model_uri: str, contract: Contract, symbol: str | None, interval: str | None
) -> None:
    """Raise if the model was made for another symbol or interval than the caller expects."""
    from trainer.errors import TrainerError

    for name, expected, own in (
        ("symbol", symbol, contract.symbol),
        ("interval", interval, contract.interval),
    ):
        if expected is not None and expected != own:
            raise TrainerError(
                f"{model_uri} decides on {contract.symbol} at {contract.interval}, not on "
                f"{name} {expected!r}; load the model of that {name}"
            )


def _print_table(decisions: Decisions) -> None:
    """Print one row for each bar, and what the user must know about model and bars."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=escape(
            f"{decisions.model} (version {decisions.version}), "
            f"{decisions.symbol} {decisions.interval}"
        ),
        title_justify="left",
    )
    for heading in ("bar opened (UTC)", "score", "probability", "position from next open"):
        table.add_column(heading, justify="right", no_wrap=True)
    rows = decisions.frame.to_dict("records")
    for row in rows:
        table.add_row(
            f"{row['timestamp']:%Y-%m-%d %H:%M}",
            f"{row['score']:.4f}",
            f"{row['probability']:.4f}",
            _POSITIONS[row["position"]],
        )
    console = Console()
    console.print(table)
    if any(math.isnan(row["score"]) for row in rows):
        console.print("nan: no decision, the features are undefined or span a gap; flat.")
    if decisions.status in ("flat", "unproven"):
        console.print(
            f"[yellow]{decisions.status}[/yellow]: {escape(str(decisions.status_reason))} "
            "(status at training).",
            highlight=False,
        )
    console.print(decisions.understood, highlight=False, markup=False)
    if decisions.bars_late > 0:
        console.print(
            f"[yellow]old bars[/yellow]: {decisions.bars_late:,} bar lengths have passed since the "
            "last of them closed; these decisions are history."
        )


if __name__ == "__main__":
    trade()
