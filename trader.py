"""The consumer of a registered model: print its decisions on the last bars of a source."""

from __future__ import annotations

import json
import os
import sys
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from barwright import BarwrightError
from trainer.startup import set_mlflow_defaults, start_quickly, without_module

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from features.bars import Bars
    from features.sources import RawBars
    from trainer.serving.contract import Contract
    from trainer.serving.explanation import Explanation
    from trainer.serving.trading_model import TradingModel
    from trainer.tracking.model_uri import Resolved

_HELP = """Print a registered model's decisions.

The model is downloaded as data and run by the code installed here: nothing from the registry is
executed. Its digests, format and golden decisions are checked before it may decide.

\b
  python trader.py --model models:/lightgbm-EURUSD@latest --source sample --last 5

Only complete bars are decided, by the calendar of the model: a daily bar from the close of its
session on. Each decision names its bar, and when it can be filled.
"""


@click.command(help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--model",
    "model_uri",
    required=True,
    help="models:/lightgbm-EURUSD@latest, models:/lightgbm-EURUSD@champion, or .../3.",
)
@click.option(
    "--source",
    default="data/bars",
    show_default=True,
    help="Folder of bars, `sample` or `synthetic`.",
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
@click.option(
    "--at",
    default="",
    metavar="TIME",
    help="Decide as if it were this time, for example 2024-07-03T17:05Z; the present by default.",
)
@click.option(
    "--held",
    default="",
    metavar="POSITION",
    help="Position before the decided bars: long, flat or short. Needed only if the model holds "
    "positions and the bars do not tell what it holds.",
)
@click.option(
    "--explain",
    "explained",
    is_flag=True,
    help="Say which features made the last score, and by how much: lightgbm only.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--debug", is_flag=True, help="Print the traceback of an error, too.")
def trade(
    model_uri: str,
    source: str,
    symbol: str | None,
    interval: str | None,
    last: int,
    at: str,
    held: str,
    explained: bool,
    as_json: bool,
    debug: bool,
) -> None:
    """Run the command; `_HELP` is its help text."""
    start_quickly()
    try:
        decisions = decide(
            model_uri,
            source,
            last=last,
            symbol=symbol,
            interval=interval,
            now=_moment(at),
            held=held,
            explained=explained,
        )
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
    symbol, interval, calendar : str
        Symbol and length of the bars, and the calendar by which they are read.
    status, status_reason : str or None
        Verdict on the version and its reason, as the registry stores them; None for a model that
        is not registered.
    understood : str
        How the source read the bars.
    notices : tuple of str
        What else users must know about model and bars, one sentence each.
    bars_late : int
        Scheduled bars that are complete, but missing after the last decided one.
    open_bar : str or None
        ISO time of the last bar if it is not complete, and so was left out.
    frame : pandas.DataFrame
        timestamp (the time of the bar in the source, UTC), of daily bars session (its date),
        complete_at (when its session or its length ends), fill_at (when the next scheduled bar
        opens; NaT if that is not known), score, probability, position; see `TradingModel.decide`.
    explanation : Explanation, optional
        What the score of the last decision is made of, if it was asked for.
    """

    model: str
    version: str
    symbol: str
    interval: str
    calendar: str
    status: str | None
    status_reason: str | None
    understood: str
    notices: tuple[str, ...]
    bars_late: int
    open_bar: str | None
    frame: pd.DataFrame
    explanation: Explanation | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the decisions as JSON values; an undefined number is null."""
        import pandas as pd

        from trainer.serving.manifest import decision_to_json

        apart = ("frame", "explanation")
        facts = {name: value for name, value in vars(self).items() if name not in apart}
        decisions = [
            {
                **decision_to_json(row),
                **({"session": row["session"]} if "session" in row else {}),
                "complete_at": row["complete_at"].isoformat(),
                "fill_at": None if row["fill_at"] is pd.NaT else row["fill_at"].isoformat(),
            }
            for row in self.frame.to_dict("records")
        ]
        if self.explanation is not None:
            facts["explanation"] = self.explanation.to_json()
        return {**facts, "decisions": decisions}


def decide(
    model_uri: str,
    source: str,
    *,
    last: int = 1,
    symbol: str | None = None,
    interval: str | None = None,
    now: pd.Timestamp | None = None,
    held: str = "",
    explained: bool = False,
) -> Decisions:
    """Load a model and decide the last bars of a source.

    Parameters
    ----------
    model_uri : str
        MLflow model URI.
    source : str
        Folder of bars, ``sample`` or ``synthetic``.
    last : int, default 1
        Number of bars to decide.
    symbol, interval : str, optional
        Symbol and bar length that the caller expects; those of the model by default.
    now : pandas.Timestamp, optional
        The time, with a zone, at which the decisions are made; bars after it are left out. The
        present by default.
    held : str, optional
        Position before the decided bars, if the bars do not tell it: long, flat or short.
    explained : bool, default False
        Whether the last decision is explained.

    Raises
    ------
    InputError, TrainerError
        If the model cannot be loaded or verified, was made for other bars than the caller expects,
        or the bars cannot be used.
    """
    set_mlflow_defaults()
    import pandas as pd

    from features.sources import open_source
    from trainer.serving.explanation import explain
    from trainer.serving.rules import position_of
    from trainer.tracking.tag_names import STATUS, STATUS_REASON

    model, resolved = _load(model_uri)
    contract = model.contract
    _check_expected(model_uri, contract, symbol, interval)
    raw = open_source(source).read(contract.symbol, contract.interval)
    frame, at = (raw.frame, pd.Timestamp.now("UTC")) if now is None else (_until(raw, now), now)
    bars, decisions = model.decide_last(frame, last, now=at, held=position_of(held))
    decided = decisions.to_frame()
    return Decisions(
        model=model_uri,
        version=resolved.version,
        symbol=contract.symbol,
        interval=contract.interval,
        calendar=bars.calendar,
        status=resolved.tags.get(STATUS),
        status_reason=resolved.tags.get(STATUS_REASON),
        understood=raw.understood,
        notices=_notices(model, held),
        bars_late=_n_late(bars, at),
        open_bar=None if bars.open_bar_ns < 0 else _utc(bars.open_bar_ns).isoformat(),
        frame=_with_times(decided, bars),
        explanation=explain(model, bars, float(decisions.score[-1])) if explained else None,
    )


def _moment(text: str) -> pd.Timestamp | None:
    """Return the time that the option `--at` names; without an offset it is UTC."""
    if not text:
        return None
    import pandas as pd

    from features.errors import InputError

    try:
        moment = pd.to_datetime(text, utc=True, format="ISO8601").as_unit("ns")
        known = moment <= pd.Timestamp.now("UTC")  # false of NaT, too
        if not known:
            raise ValueError(text)
    except (ValueError, OverflowError):
        raise InputError(
            f"`--at` must be a time in ISO 8601 that is not in the future, got {text!r}; write for "
            "example 2024-07-03T17:05Z"
        ) from None
    return moment


def _until(raw: RawBars, now: pd.Timestamp) -> pd.DataFrame:
    """Return the bars that had begun at `now`; raise if there are none."""
    from features.errors import InputError

    frame = raw.frame[raw.frame["timestamp"] <= now]
    if frame.empty:
        raise InputError(
            f"`--at` must be after the first bar, {raw.frame['timestamp'].iloc[0]:%Y-%m-%d %H:%M} "
            f"UTC, got {now:%Y-%m-%d %H:%M} UTC; give a later time"
        )
    return frame


def _n_late(bars: Bars, now: pd.Timestamp) -> int:
    """Count the scheduled bars that are complete at `now`, but missing after the last one."""
    from features.schedule import make_schedule

    schedule = make_schedule(bars.schedule.spec, bars.interval, bars.time_ns, until_ns=now.value)
    return schedule.n_late(int(bars.time_ns[-1]), now.value)


def _with_times(decided: pd.DataFrame, bars: Bars) -> pd.DataFrame:
    """Add to each decision when its bar is complete, and when the next scheduled bar opens."""
    import numpy as np
    import pandas as pd

    time_ns = bars.time_ns[len(bars) - len(decided) :]
    next_open = bars.schedule.next_open(time_ns)
    next_open = np.where(next_open < 0, np.iinfo(np.int64).min, next_open)  # NaT
    for place, (name, values) in enumerate(
        (("complete_at", bars.schedule.closes(time_ns)), ("fill_at", next_open)), start=1
    ):
        decided.insert(place, name, pd.DatetimeIndex(values.view("datetime64[ns]"), tz="UTC"))
    if bars.schedule.daily:
        # A bar of midnight in Tokyo has the time of the day before in UTC.
        decided.insert(1, "session", bars.dates()[len(bars) - len(decided) :].astype(str))
    return decided


def _notices(model: TradingModel, held: str) -> tuple[str, ...]:
    """Return what users must know about a model of an earlier version, and about --held."""
    notices = []
    if held and not model.threshold.holds:
        notices.append("This model holds no positions, so --held has no effect.")
    if model.former_calendar is not None:
        notices.append(
            f"This version was trained with the calendar {model.contract.calendar!r} of an earlier "
            f"Barwright. Its bars are read by the sessions of {model.calendar}, which its golden "
            "bars follow; train again to store the calendar."
        )
    return tuple(notices)


def _utc(time_ns: int) -> pd.Timestamp:
    import pandas as pd

    return pd.Timestamp(time_ns, tz="UTC")


def _load(model_uri: str) -> tuple[TradingModel, Resolved]:
    """Pin a model URI to a version, and load that version as data."""
    from trainer.errors import TrainerError
    from trainer.flavor import load_model
    from trainer.serving.manifest import MANIFEST_TAG
    from trainer.tracking.model_uri import resolve
    from trainer.tracking.store import STORE_ERRORS, access_error, open_store, redacted

    if not model_uri.startswith(("models:/", "runs:/", "file:", "/")):
        raise TrainerError(
            f"`--model` must be a model URI, got {model_uri!r}; write for example "
            f"models:/{model_uri}@latest"
        )
    # A folder needs no store.
    uri = "" if model_uri.startswith(("file:", "/")) else open_store()[0]

    def not_loaded(error: Exception) -> TrainerError:
        if refused := access_error(uri, error):
            return refused
        reason = redacted(str(error).splitlines()[0].rstrip("."))
        return TrainerError(
            f"{model_uri} cannot be loaded{f' from {redacted(uri)}' if uri else ''}: {reason}; "
            "train it first, give a version or alias that exists, or set MLFLOW_TRACKING_URI"
        )

    try:
        resolved = resolve(model_uri)
    except (TrainerError, *STORE_ERRORS, ImportError) as error:
        raise not_loaded(error) from error
    try:
        with without_module("sklearn"):
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

    console = Console()
    # A title of the table would be broken at its width: the URI could not be copied.
    console.print(
        f"{decisions.model} (version {decisions.version}), {decisions.symbol} {decisions.interval}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    console.print(_table(decisions))
    if decisions.explanation is not None:
        console.print(_parts(decisions.explanation))
    if decisions.frame["score"].isna().any():
        console.print("nan: no decision, the features are undefined or span a gap; flat.")
    if decisions.status in ("flat", "unproven"):
        console.print(
            f"[yellow]{decisions.status}[/yellow]: {escape(str(decisions.status_reason))} "
            "(status at training).",
            highlight=False,
        )
    for line in (f"{decisions.understood}; calendar {decisions.calendar}", *decisions.notices):
        console.print(line, highlight=False, markup=False)
    if decisions.open_bar is not None:
        console.print(f"The bar of {decisions.open_bar} is not complete yet: it is not decided.")
    if decisions.bars_late > 0:
        bars = "bar is" if decisions.bars_late == 1 else "bars are"
        console.print(
            f"[yellow]old bars[/yellow]: {decisions.bars_late:,} {bars} complete by the calendar, "
            "but missing after the last of these; these decisions are history.",
            highlight=False,
        )


def _parts(explanation: Explanation) -> Table:
    """Return the table of the parts of a score; they add up to its last row."""
    from rich.table import Table

    table = Table(title=f"The score of {explanation.timestamp}", title_justify="left")
    table.add_column("feature", no_wrap=True)
    for heading in ("value", "adds"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row("no feature", "", f"{explanation.base:+.4f}")
    for part in explanation.largest:
        table.add_row(part.feature, f"{part.value:.4g}", f"{part.part:+.4f}")
    table.add_row("all others", "", f"{explanation.others:+.4f}", end_section=True)
    table.add_row(f"sum; score {explanation.score:.4f}", "", f"{explanation.total:+.4f}")
    return table


def _table(decisions: Decisions) -> Table:
    """Return the table of decisions, one row for each bar."""
    import pandas as pd
    from rich.table import Table

    from trainer.serving.rules import POSITION_NAMES

    table = Table()
    daily = "session" in decisions.frame
    bar = "session" if daily else "bar (UTC)"
    for heading in (bar, "score", "probability", "position", "from (UTC)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in decisions.frame.to_dict("records"):
        table.add_row(
            str(row["session"]) if daily else f"{row['timestamp']:%Y-%m-%d %H:%M}",
            f"{row['score']:.4f}",
            f"{row['probability']:.4f}",
            POSITION_NAMES[row["position"]],
            "not known" if row["fill_at"] is pd.NaT else f"{row['fill_at']:%Y-%m-%d %H:%M}",
        )
    return table


if __name__ == "__main__":
    trade()
