"""The consumer: load a registered model as data, prove it, decide on bars, print the decisions."""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pandas as pd


_HELP = """Print a registered model's decisions.

The model is downloaded as data and run by the code installed here: nothing from the registry is
executed. Its digests, format and golden decisions are checked before it may decide.

\b
  python trader.py --model models:/lightgbm-EURUSD@latest --source sample --last 5
"""


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
    help="Decide the last so many bars.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object.")
@click.option("--debug", is_flag=True, help="Show where errors come from.")
def trade(
    model_uri: str,
    source: str,
    symbol: str | None,
    interval: str | None,
    last: int,
    as_json: bool,
    debug: bool,
) -> None:
    """Print a registered model's decisions; the help text for people is `_HELP`."""
    from adapters.base import AdapterError
    from features.errors import InputError
    from trainer.errors import TrainerError

    try:
        decided, facts = decide(model_uri, source, last=last, symbol=symbol, interval=interval)
    except (InputError, AdapterError, TrainerError) as error:
        if debug:
            traceback.print_exception(error)
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    if as_json:
        rows = [_plain(row) for row in decided.to_dict("records")]
        click.echo(json.dumps({**facts, "decisions": rows}))
    else:
        _print_table(decided, facts)


def decide(
    model_uri: str,
    source: str,
    *,
    last: int = 1,
    symbol: str | None = None,
    interval: str | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Load a model and decide the last bars of a source.

    Parameters
    ----------
    model_uri : str
        MLflow model URI.
    source : str
        Folder of bars, or ``sample``.
    last : int, default 1
        Bars to decide.
    symbol, interval : str, optional
        What the caller believes the model decides on; another than the model's is refused.

    Returns
    -------
    decided : pandas.DataFrame
        timestamp (UTC bar OPEN time), score, probability, position.
    facts : dict
        Which model (uri, version, symbol, interval), what training said of it (status, reason;
        None for what is not registered), how the bars were understood, and how many bars have
        closed since the last one that was decided.

    Raises
    ------
    InputError, TrainerError
        If the model cannot be loaded or proven, or the bars are not the ones it was made for.
    """
    # As for training: what is traded is nobody else's business.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import pandas as pd

    from features.interval import Interval
    from features.sources import open_source
    from trainer.errors import TrainerError
    from trainer.flavor import load_model
    from trainer.serving.manifest import MANIFEST_TAG
    from trainer.tracking.store import STORE_ERRORS, open_store, shown

    if not model_uri.startswith(("models:/", "runs:/", "file:", "/")):
        raise TrainerError(
            f"`--model` must be a model URI, got {model_uri!r}; write for example "
            f"models:/{model_uri}@latest"
        )
    uri, _ = open_store()
    try:
        resolved, version, tags = resolve(model_uri)
        model = load_model(resolved, manifest_sha256=tags.get(MANIFEST_TAG))
    except (*STORE_ERRORS, ImportError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise TrainerError(
            f"{model_uri} cannot be loaded from {shown(uri)}: {reason}; train it first, give a "
            "version or alias that is there, or set MLFLOW_TRACKING_URI"
        ) from error
    contract = model.contract
    for name, given, own in (
        ("symbol", symbol, contract.symbol),
        ("interval", interval, contract.interval),
    ):
        if given is not None and given != own:
            raise TrainerError(
                f"{model_uri} decides on {contract.symbol} at {contract.interval}, not on "
                f"{name} {given!r}; load the model of that {name}"
            )
    raw = open_source(source).read(contract.symbol, contract.interval)
    now = pd.Timestamp.now("UTC")
    decided = model.decide(raw.frame, last=last, now=now)
    step = pd.Timedelta(Interval.parse(contract.interval).ns)
    facts = {
        "model": model_uri,
        "version": version,
        "symbol": contract.symbol,
        "interval": contract.interval,
        "status": tags.get("status"),
        "status_reason": tags.get("status_reason"),
        "understood": raw.understood,
        "bars_late": int((now - decided["timestamp"].iloc[-1]) / step) - 1,
    }
    return decided, facts


def resolve(model_uri: str) -> tuple[str, str, dict[str, str]]:
    """Pin an alias to the version it names now, so that what is printed is what was loaded.

    Returns
    -------
    uri, version : str
    tags : dict of str to str
        What the registry says of the version; empty for what is not registered.
    """
    from mlflow import MlflowClient

    path = model_uri.removeprefix("models:/")
    if not model_uri.startswith("models:/") or ("@" not in path and "/" not in path):
        return model_uri, model_uri.rpartition("/")[2], {}
    client = MlflowClient()
    name, at, alias = path.partition("@")
    if at or path.endswith("/latest"):
        name = name.removesuffix("/latest")
        found = client.get_model_version_by_alias(name, alias or "latest")
    else:
        name, _, number = path.rpartition("/")
        found = client.get_model_version(name, number)
    return f"models:/{name}/{found.version}", str(found.version), dict(found.tags)


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    """JSON values of one decision; NaN becomes null."""
    return {
        "timestamp": row["timestamp"].isoformat(),
        **{
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in row.items()
            if name != "timestamp"
        },
    }


def _print_table(decided: pd.DataFrame, facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    title = f"{facts['model']} (version {facts['version']}), {facts['symbol']} {facts['interval']}"
    table = Table(title=title, title_justify="left")
    for heading in ("bar opened (UTC)", "score", "probability", "position from next open"):
        table.add_column(heading, justify="right", no_wrap=True)
    words = {-1: "short", 0: "flat", 1: "long"}
    rows = decided.to_dict("records")
    for row in rows:
        table.add_row(
            f"{row['timestamp']:%Y-%m-%d %H:%M}",
            f"{row['score']:.4f}",
            f"{row['probability']:.4f}",
            words[row["position"]],
        )
    console = Console()
    console.print(table)
    if any(math.isnan(row["score"]) for row in rows):
        console.print("nan: no decision, the features are undefined or span a gap; flat.")
    if facts["status"] in ("flat", "unproven"):
        console.print(
            f"[yellow]{facts['status']}[/yellow]: {facts['status_reason']} (said when it was "
            "trained).",
            highlight=False,
        )
    console.print(facts["understood"], highlight=False, markup=False)
    if facts["bars_late"] > 0:
        console.print(
            f"[yellow]old bars[/yellow]: {facts['bars_late']:,} bar lengths have passed since the "
            "last of them closed; these decisions are history."
        )


if __name__ == "__main__":
    trade()
