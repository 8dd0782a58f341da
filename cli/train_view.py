"""What a person sees of a run: progress while it works, a table and the next step at its end."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.table import widest
from trainer.config import TrainConfig
from trainer.job import Outcome
from trainer.jobs.train import Result, Summary
from trainer.registry.promotion import Decision


class ProgressView:
    """One line a task on a terminal; one line an event elsewhere."""

    def __init__(self, console: Console, config: TrainConfig) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.fields[name]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[phase]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._lines = {
            f"{model}-{symbol}": self._progress.add_task(
                "", name=f"{model}-{symbol}", phase="waiting", total=None, start=False
            )
            for symbol in config.symbols
            for model in config.models
        }

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def listen(self, name: str, phase: str, done: int, total: int) -> None:
        """Move a task's bar."""
        line = self._lines[name]
        self._progress.start_task(line)
        self._progress.update(line, phase=phase, completed=done, total=total)

    def finished(self, result: Result) -> None:
        """Say how a task ended."""
        name = result.outcome.task.name
        took = result.outcome.ended - result.outcome.started
        phase = "registered" if result.version else "failed"
        self._progress.update(self._lines[name], phase=phase, completed=1, total=1)
        self._progress.stop_task(self._lines[name])
        if not self._console.is_terminal:
            ended = f"version {result.version}" if result.version else "failed"
            self._console.print(f"{name}: {ended} after {took:.1f} s")


def print_summary(console: Console, summary: Summary, config: TrainConfig) -> None:
    """Print versions and headline figures, reasons of failures, and what to do next."""
    # Into a file or pipe each sentence goes on one line, where it can be searched.
    one_line = not console.is_terminal
    console.print(_table(summary, console))
    for result in summary.results:
        if result.outcome.error:
            text = f"[red]{result.outcome.task.name}[/red]: {escape(result.outcome.error)}"
            console.print(text, soft_wrap=one_line)
    for line in (*_data_lines(summary), *_fits_line(summary, config)):
        console.print(line, highlight=False, soft_wrap=one_line)
    registered = [r for r in summary.results if r.version is not None]
    for result in registered:
        for line in _explain(result):
            console.print(line, soft_wrap=one_line)
    if registered:
        # Rather one that trades: the others print `flat`.
        first = min(registered, key=lambda r: _RANK[_status(r)])
        trader = "python trader.py" if Path("trader.py").is_file() else "barwright trade"
        console.print("Next:")
        console.print(
            f"  {trader} --model models:/{first.outcome.task.name}@latest "
            f"--source {config.source} --last 5",
            soft_wrap=True,
        )
        name = first.outcome.task.name
        console.print(f"  barwright report models:/{name}@latest", soft_wrap=True)
        if first.verdict is not None and first.verdict.status == "proven":
            console.print(f"  barwright promote {name}", soft_wrap=True)
        if not summary.tracking_uri.startswith("http"):
            console.print(
                f"  mlflow server --backend-store-uri {summary.tracking_uri} --workers 1",
                soft_wrap=True,
            )
        # soft_wrap: a link that is broken over two lines cannot be opened.
        console.print(f"  compare: {summary.compare_link}", soft_wrap=True, highlight=False)


def _table(summary: Summary, console: Console) -> Table:
    """Results in as many columns as the console has room for; model and status always."""

    def build(count: int) -> Table:
        table = Table(title="Walk-forward, after costs", title_justify="left", box=SIMPLE_HEAD)
        for heading in ("model", "version", "status"):
            table.add_column(heading, no_wrap=True)
        for heading, _ in _COLUMNS[:count]:
            table.add_column(heading, justify="right", no_wrap=True)
        for result in summary.results:
            outcome = result.outcome
            table.add_row(
                outcome.task.name,
                result.version or "-",
                _status(result),
                *(read(outcome) for _, read in _COLUMNS[:count]),
            )
        return table

    return widest(console, build, len(_COLUMNS))


def _figure(name: str, form: str) -> Callable[[Outcome], str]:
    def read(outcome: Outcome) -> str:
        value = math.nan if outcome.trained is None else outcome.trained.metrics[name]
        return format(value, form) if math.isfinite(value) else "-"

    return read


#: Heading, and how a task's cell reads; the last ones go first where there is no room.
_COLUMNS: tuple[tuple[str, Callable[[Outcome], str]], ...] = (
    ("net\nSharpe", _figure("wf_net_sharpe", ".2f")),
    ("trades", _figure("wf_n_trades", ".0f")),
    ("net\nreturn", _figure("wf_net_return", "+.1%")),
    ("gross\nSharpe", _figure("wf_gross_sharpe", ".2f")),
    ("hold\nSharpe", _figure("wf_buy_hold_sharpe", ".2f")),
    ("turnover", _figure("wf_turnover", ".0f")),
    ("seconds", lambda outcome: f"{outcome.ended - outcome.started:.1f}"),
)
_RANK = {"proven": 0, "unproven": 1, "flat": 2}


def _status(result: Result) -> str:
    return "[red]failed[/red]" if result.verdict is None else result.verdict.status


def _explain(result: Result) -> list[str]:
    """Say why a version is flat or unproven, in the table it is a word; and what null runs say."""
    trained, name, verdict = result.outcome.trained, result.outcome.task.name, result.verdict
    if trained is None or verdict is None:
        return []
    lines = []
    if verdict.status == "unproven":
        lines.append(f"{name} is unproven: {verdict.reason}.")
    if verdict.status == "flat":
        traded = trained.metrics["wf_n_trades"] > 0
        earlier = " (earlier blocks of the walk-forward did trade)" * traded
        lines.append(f"{name} is flat: {verdict.reason}; it will not trade{earlier}.")
    null = trained.metrics.get("wf_null_percentile", math.nan)
    if math.isfinite(null):
        runs = len(trained.evidence["null_net_sharpe"])
        lines.append(f"{name} beats {null:.0f} % of {runs} null runs, where nothing can be found.")
    return lines


def print_decision(console: Console, decision: Decision) -> None:
    """Print the gate's criteria and what became of the alias."""
    name, alias, version = decision.name, decision.alias, decision.version
    if decision.before == version:
        console.print(f"@{alias} of {name} is version {version} already.")
        return
    table = Table(
        title=f"{name} version {version}, for @{alias}", title_justify="left", box=SIMPLE_HEAD
    )
    for heading in ("", "criterion", "figure", "rule"):
        table.add_column(heading)
    for criterion in decision.criteria:
        said = "passes" if criterion.passed else "[red]fails[/red]"
        table.add_row(said, criterion.name, criterion.figure, criterion.rule)
    console.print(table)
    stays = f"stays version {decision.before}" if decision.before else "is still nobody"
    was = f"; it was version {decision.before}" if decision.before else ""
    if decision.moved:
        how = ", forced" if decision.forced else ""
        console.print(f"@{alias} of {name} is version {version} now{how}{was}.")
    else:
        failed = sum(not criterion.passed for criterion in decision.criteria)
        console.print(
            f"Refused: {failed} of {len(decision.criteria)} criteria failed; @{alias} of {name} "
            f'{stays}. --force --reason "..." overrules the gate, and is written down.'
        )


def _data_lines(summary: Summary) -> list[str]:
    """Say once a symbol how its bars were read, and which rows were not used."""
    lines: dict[str, str] = {}
    for result in summary.results:
        if result.outcome.trained is None:
            continue
        data = result.outcome.trained.data
        dropped = ", ".join(f"{count:,} {reason}" for reason, count in data["dropped"].items())
        gaps = data["gaps"]
        lines[data["symbol"]] = escape(
            f"{data['symbol']}: {data['understood']}. {data['rows']:,} of {data['bars']:,} bars "
            f"used (dropped: {dropped or 'none'}); {gaps['gaps']} gaps, {gaps['missing_bars']} "
            f"bars missing, longest {gaps['longest']}."
        )
    return list(lines.values())


def _fits_line(summary: Summary, config: TrainConfig) -> list[str]:
    """Say how many fits were read, where any was: such a command takes seconds, not minutes."""
    trained = [r.outcome.trained for r in summary.results if r.outcome.trained]
    read = sum(model.data["fits_read"] for model in trained)
    total = len(trained) * config.n_fits
    return [f"{read:,} of {total:,} fits read from the cache."] if read else []
