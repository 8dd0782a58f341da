"""Output of the command `train` at its end: a table, what follows from it, and the next steps."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.progress import registration_json
from cli.table import widest
from trainer.config import TrainConfig
from trainer.evidence.verdict import STATUSES
from trainer.job import DataFacts, TrainedModel
from trainer.jobs.train import Registration, Summary
from trainer.text import number_text
from trainer.tracking.store import server_command

#: Jobs beyond which their statuses are counted, and their reasons left to `barwright compare`;
#: symbols beyond which one line is about the bars of all.
_EXPLAINED = 12


def print_summary(console: Console, summary: Summary, config: TrainConfig) -> None:
    """Print versions with their metrics, errors, the data that was used, and the next steps."""
    # In a file or a pipe each sentence is on one line, where a search finds it.
    one_line = not console.is_terminal
    console.print(_table(summary, console))
    for result in (registration.result for registration in summary.results):
        if result.error:
            text = f"[red]{result.job.name}[/red]: {escape(result.error)}"
            console.print(text, soft_wrap=one_line)
    trained = [r.result.trained for r in summary.results if r.result.trained is not None]
    lines = (*_data_lines(trained), *_fits_line(trained, config), *_kept_line(summary))
    for line in lines:
        console.print(line, highlight=False, soft_wrap=one_line)
    registered = [r for r in summary.results if r.version is not None]
    for registration in registered if len(registered) <= _EXPLAINED else ():
        for line in _explain(registration):
            console.print(line, soft_wrap=one_line)
    if len(registered) > _EXPLAINED:
        console.print(_count_statuses(summary), soft_wrap=one_line)
    if registered:
        _print_next_steps(console, summary, registered, config.source)


def summary_json(summary: Summary) -> dict[str, object]:
    """Return the end of a command as JSON values."""
    versions = [registration.version for registration in summary.results]
    return {
        "jobs": len(versions),
        "failed": versions.count(None),
        "unchanged": sum(registration.kept is not None for registration in summary.results),
        "tracking_uri": summary.tracking_uri,
        "compare": summary.compare_link,
        "results": [registration_json(registration) for registration in summary.results],
    }


def _print_next_steps(
    console: Console, summary: Summary, registered: list[Registration], source: str
) -> None:
    """Print commands to go on with, for the version with the best status."""
    best = min(registered, key=lambda registration: STATUSES.index(_status(registration)))
    name = best.result.job.name
    uri = f"models:/{name}@latest"
    trader = ["python", "trader.py"] if Path("trader.py").is_file() else ["barwright", "trade"]
    commands = [
        [*trader, "--model", uri, "--source", source, "--last", "5"],
        ["barwright", "report", uri],
    ]
    if _status(best) == "proven":
        commands.append(["barwright", "promote", name])
    lines = [shlex.join(words) for words in commands]
    if server := server_command(summary.tracking_uri):
        lines.append(server)
    console.print("Next:")
    # soft_wrap: a command or link that is broken over two lines cannot be copied or opened.
    for line in lines:
        console.print(f"  {line}", soft_wrap=True, markup=False, emoji=False)
    console.print(f"  compare: {summary.compare_link}", soft_wrap=True, highlight=False)


def _table(summary: Summary, console: Console) -> Table:
    """Return the results; metrics that have no room are left out, model and status never."""

    def build(count: int) -> Table:
        table = Table(title="Walk-forward, after costs", title_justify="left", box=SIMPLE_HEAD)
        for heading in ("model", "version", "status"):
            table.add_column(heading, no_wrap=True)
        for heading, _ in _COLUMNS[:count]:
            table.add_column(heading, justify="right", no_wrap=True)
        for registration in summary.results:
            status = _status(registration)
            table.add_row(
                registration.result.job.name,
                registration.version or "-",
                "[red]failed[/red]" if status == "failed" else status,
                *(cell(registration) for _, cell in _COLUMNS[:count]),
            )
        return table

    return widest(console, build, len(_COLUMNS))


def _metric(name: str, form: str) -> Callable[[Registration], str]:
    def cell(registration: Registration) -> str:
        return number_text(registration.metrics.get(name), form, undefined="-")

    return cell


#: Heading, and the text of a job's cell. The last columns are left out first.
_COLUMNS: tuple[tuple[str, Callable[[Registration], str]], ...] = (
    ("net\nSharpe", _metric("net_sharpe", ".2f")),
    ("trades", _metric("n_trades", ".0f")),
    ("net\nreturn", _metric("net_return", "+.1%")),
    ("gross\nSharpe", _metric("gross_sharpe", ".2f")),
    ("hold\nSharpe", _metric("buy_hold_sharpe", ".2f")),
    ("less\nhold", _metric("less_hold", "+.2f")),
    ("turnover", _metric("turnover", ".0f")),
    ("seconds", lambda one: "-" if one.kept else f"{one.result.ended - one.result.started:.1f}"),
)


def _status(registration: Registration) -> str:
    return "failed" if registration.verdict is None else registration.verdict.status


def _explain(registration: Registration) -> list[str]:
    """Return why a version is flat or unproven, and its place among the null runs if any."""
    trained, verdict = registration.result.trained, registration.verdict
    if verdict is None:
        return []
    name, metrics = registration.result.job.name, registration.metrics
    lines = []
    if verdict.reason:
        lines.append(f"{name} is {verdict.status}: {verdict.reason}.")
    if trained is None:  # a kept version, whose report has the rest
        return lines
    if verdict.status == "flat" and metrics["n_trades"] > 0:
        lines.append(
            f"{name} traded in its walk-forward; its production model, which `trade` uses, does "
            "not trade."
        )
    percentile = number_text(metrics.get("null_percentile"), ".0f", undefined="")
    # A walk-forward that never traded equals the null runs that never traded.
    if percentile and metrics["n_trades"] > 0:
        runs = len(trained.evidence.null_net_sharpe)
        lines.append(
            f"{name} beats {percentile} % of {runs} null runs, whose bars contain nothing to find."
        )
    return lines


def _data_lines(trained: list[TrainedModel]) -> list[str]:
    """Return for each symbol how its bars were read; of many symbols the one with most gaps."""
    by_symbol = {model.data.symbol: model.data for model in trained}
    if len(by_symbol) <= _EXPLAINED:
        return [_data_line(data) for data in by_symbol.values()]
    worst = max(by_symbol.values(), key=lambda data: data.gaps["missing_bars"])
    return [
        f"{len(by_symbol):,} symbols; the report of a model says how its bars were read. Most bars "
        f"are missing in {_data_line(worst)}"
    ]


def _data_line(data: DataFacts) -> str:
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in data.dropped.items())
    return escape(
        f"{data.symbol}: {data.understood}. {data.rows:,} of {data.bars:,} bars used (dropped: "
        f"{dropped or 'none'}); {data.gaps['gaps']} gaps, {data.gaps['missing_bars']} bars "
        f"missing, longest {data.gaps['longest']}."
    )


def _count_statuses(summary: Summary) -> str:
    """Return how many models have each status."""
    statuses = [_status(registration) for registration in summary.results]
    counts = [(statuses.count(status), status) for status in (*STATUSES, "failed")]
    listed = ", ".join(f"{count:,} {status}" for count, status in counts if count)
    return f"{len(statuses):,} models: {listed}. `barwright compare` ranks them."


def _kept_line(summary: Summary) -> list[str]:
    """Return why versions were kept, if any were."""
    kept = [registration for registration in summary.results if registration.kept]
    if not kept:
        return []
    return [
        f"{len(kept):,} of {len(summary.results):,} models are unchanged: their newest version has "
        "the same bars, settings, code and libraries. --unchanged train trains them again."
    ]


def _fits_line(trained: list[TrainedModel], config: TrainConfig) -> list[str]:
    """Return how many fits were read, if any: they explain a command that takes only seconds."""
    read = sum(model.data.fits_read for model in trained)
    total = len(trained) * config.n_fits
    return [f"{read:,} of {total:,} fits read from the cache."] if read else []
