"""What a person sees of a run: progress while it works, a table and the next step at its end."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from trainer.config import TrainConfig
from trainer.run import Result, Summary
from trainer.task import Outcome, TrainedModel


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
        self._progress.update(self._lines[name], phase="registered" if result.version else "failed")
        self._progress.stop_task(self._lines[name])
        if not self._console.is_terminal:
            ended = f"version {result.version}" if result.version else "failed"
            self._console.print(f"{name}: {ended} after {took:.1f} s")


def print_summary(console: Console, summary: Summary, config: TrainConfig) -> None:
    """Print versions and headline figures, reasons of failures, and what to do next."""
    table = Table(title="Walk-forward, after costs", title_justify="left")
    for heading in ("model", "version", "status"):
        table.add_column(heading, no_wrap=True)
    figures = ("net Sharpe", "gross", "hold Sharpe", "net return", "trades", "turnover", "seconds")
    for heading in figures:
        table.add_column(heading, justify="right", no_wrap=True)
    for result in summary.results:
        outcome = result.outcome
        took = f"{outcome.ended - outcome.started:.1f}"
        if outcome.trained is None or result.version is None:
            table.add_row(outcome.task.name, "-", "[red]failed[/red]", *[""] * 6, took)
            continue
        status = _status(outcome.trained)
        table.add_row(outcome.task.name, result.version, status, *_figures(outcome.trained), took)
    console.print(table)
    for result in summary.results:
        if result.outcome.error:
            console.print(f"[red]{result.outcome.task.name}[/red]: {escape(result.outcome.error)}")
    for line in _data_lines(summary):
        console.print(line, highlight=False)
    registered = [r for r in summary.results if r.version is not None]
    for result in registered:
        for line in _explain(result.outcome):
            console.print(line)
    if registered:
        name = registered[0].outcome.task.name
        console.print("Next:")
        console.print(
            f"  python trader.py --model models:/{name}@latest --source {config.source} --last 5",
            soft_wrap=True,
        )
        if not summary.tracking_uri.startswith("http"):
            console.print(
                f"  mlflow server --backend-store-uri {summary.tracking_uri} --workers 1",
                soft_wrap=True,
            )
        # soft_wrap: a link that is broken over two lines cannot be opened.
        console.print(f"  compare: {summary.compare_link}", soft_wrap=True, highlight=False)


def _status(trained: TrainedModel) -> str:
    return "flat" if trained.flat_because else "unproven" if trained.doubts else "trades"


def _explain(outcome: Outcome) -> list[str]:
    """Say why a version is flat or unproven: in the table it is a word."""
    if outcome.trained is None:
        return []
    name, why = outcome.task.name, outcome.trained.flat_because
    if why:
        earlier = " (earlier blocks of the walk-forward did trade)"
        traded = outcome.trained.metrics["wf_n_trades"] > 0
        return [f"{name} is flat: {why}; it will not trade{earlier if traded else ''}."]
    if outcome.trained.doubts:
        return [f"{name} is unproven: {', and '.join(outcome.trained.doubts)}."]
    return []


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


def _figures(trained: TrainedModel) -> list[str]:
    m = trained.metrics

    def number(name: str, form: str) -> str:
        return format(m[name], form) if math.isfinite(m[name]) else "-"

    return [
        number("wf_net_sharpe", ".2f"),
        number("wf_gross_sharpe", ".2f"),
        number("wf_buy_hold_sharpe", ".2f"),
        number("wf_net_return", "+.1%"),
        number("wf_n_trades", ".0f"),
        number("wf_turnover", ".0f"),
    ]
