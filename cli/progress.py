"""Progress of a command that trains: bars on a terminal, lines of text or of JSON elsewhere."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cli.terminal import give_up_output
from trainer.jobs.train import Registration

#: Seconds between two lines about the whole command, where there is no terminal.
_TEXT_SECONDS, _JSON_SECONDS = 60.0, 10.0


class _Tally:
    """How many fits and jobs of a command are done.

    Parameters
    ----------
    n_jobs, n_fits : int
        Number of jobs, and of the fits of each.
    every : float
        Seconds between two times at which it is due to be told.
    """

    def __init__(self, n_jobs: int, n_fits: int, every: float) -> None:
        self.n_jobs, self._n_fits, self._every = n_jobs, n_fits, every
        self._fits: dict[str, int] = {}
        self._ended: set[str] = set()
        self._began = self._told = time.monotonic()
        self._at_begin = 0

    def progress(self, name: str, phase: str, done: int) -> bool:
        """Take the progress of a job; return whether the command is due to be told of."""
        if phase.startswith("fits"):
            if name not in self._fits:
                self._at_begin += done  # read from the cache: no measure of what fits take
            self._fits[name] = done
        if time.monotonic() - self._told < self._every:
            return False
        self._told = time.monotonic()
        return True

    def end(self, name: str) -> None:
        """Take the end of a job."""
        if name not in self._fits:
            self._at_begin += self._n_fits
        self._fits[name] = self._n_fits
        self._ended.add(name)

    @property
    def ended(self) -> int:
        return len(self._ended)

    @property
    def done(self) -> int:
        """Fits that are done."""
        return sum(self._fits.values())

    @property
    def total(self) -> int:
        """Fits of all jobs."""
        return self.n_jobs * self._n_fits

    @property
    def seconds_left(self) -> float:
        """About how long the command will take; NaN until a fit was made."""
        made = self.done - self._at_begin
        if made <= 0:
            return math.nan
        return (time.monotonic() - self._began) / made * (self.total - self.done)


def _end_text(registration: Registration) -> str:
    """Return how a job ended, as a part of a line."""
    result = registration.result
    if registration.kept is not None:
        return f"version {registration.version} is unchanged"
    seconds = f"after {result.ended - result.started:.1f} s"
    if registration.version is None:
        return f"failed {seconds}: {result.error}"
    return f"version {registration.version} {seconds}"


class ProgressView:
    """Progress for people.

    On a terminal: one bar for the command, with the time that is left, one for each job at work,
    and a line for each job that ends. Elsewhere: these lines, and one a minute for the command.

    Parameters
    ----------
    console : rich.console.Console
    names : sequence of str
        Names of all jobs.
    n_fits : int
        Fits of each job; 0 if the command does not know them.
    """

    def __init__(self, console: Console, names: Sequence[str], n_fits: int) -> None:
        self._console = console
        self._tally = _Tally(len(names), n_fits, _TEXT_SECONDS)
        self._progress = Progress(
            TextColumn("{task.fields[name]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[phase]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            speed_estimate_period=600,
        )
        self._bars: dict[str, TaskID] = {}
        self._whole: TaskID | None = None
        if n_fits and len(names) > 1:
            self._whole = self._progress.add_task(
                "", name=f"0 of {len(names):,} models", phase="fits", total=self._tally.total
            )

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

    def on_progress(self, name: str, phase: str, done: int, total: int) -> None:
        """Show the progress of a job."""
        if name not in self._bars:
            self._bars[name] = self._progress.add_task("", name=name, phase=phase, total=total)
        self._progress.update(self._bars[name], phase=phase, completed=done, total=total)
        if self._tally.progress(name, phase, done) and not self._console.is_terminal:
            self._print_tally()
        self._update_whole()

    def on_result(self, registration: Registration) -> None:
        """Show the end of a job."""
        name = registration.result.job.name
        if name in self._bars:
            self._progress.remove_task(self._bars.pop(name))
        self._tally.end(name)
        self._update_whole()
        count = f"[{self._tally.ended}/{self._tally.n_jobs}] " if self._tally.n_jobs > 1 else ""
        text = escape(f"{count}{name}: {_end_text(registration)}")
        self._console.print(text, highlight=False, soft_wrap=True)

    def _update_whole(self) -> None:
        if self._whole is not None:
            name = f"{self._tally.ended:,} of {self._tally.n_jobs:,} models"
            self._progress.update(self._whole, name=name, completed=self._tally.done)

    def _print_tally(self) -> None:
        tally, left = self._tally, ""
        if tally.total and math.isfinite(tally.seconds_left):
            left = f", about {timedelta(seconds=round(tally.seconds_left))} left"
        self._console.print(
            f"{tally.done:,} of {tally.total:,} fits, {tally.ended:,} of {tally.n_jobs:,} models"
            f"{left}",
            highlight=False,
        )


class JsonLog:
    """Progress for programs: one JSON object a line on the standard output.

    Each has ``time`` and ``event``: ``begin``, ``progress`` (every ten seconds at most), ``job``
    when one ends, and ``end`` with the verdicts. The number of fits is null where it is not known.
    """

    def __init__(self, names: Sequence[str], n_fits: int) -> None:
        self._names, self._tally = names, _Tally(len(names), n_fits, _JSON_SECONDS)

    def __enter__(self) -> Self:
        self.write("begin", jobs=list(self._names), fits=self._tally.total or None)
        return self

    def __exit__(self, *_error: object) -> None:
        """Write nothing: `end` is for commands that came to their end."""

    def on_progress(self, name: str, phase: str, done: int, total: int) -> None:
        """Write the progress of the command if it is due."""
        if self._tally.progress(name, phase, done):
            tally, left = self._tally, self._tally.seconds_left
            self.write(
                "progress",
                fits_done=tally.done,
                fits=tally.total or None,
                jobs_done=tally.ended,
                jobs=tally.n_jobs,
                seconds_left=round(left, 1) if math.isfinite(left) else None,
            )

    def on_result(self, registration: Registration) -> None:
        """Write the end of a job; the verdict on a new version is known at the end only."""
        self._tally.end(registration.result.job.name)
        values = registration_json(registration)
        if registration.version is not None and registration.kept is None:
            del values["status"], values["reason"]
        self.write("job", **values)

    def write(self, event: str, **values: Any) -> None:
        """Write one line."""
        line: Mapping[str, Any] = {"time": datetime.now(UTC).isoformat(), "event": event, **values}
        try:
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
        except OSError as error:
            # The work of hours must not end because the reader of its log did.
            text = f"The log cannot be written: {give_up_output(error)}."
            click.echo(f"{text} The command goes on without it.", err=True)


def registration_json(registration: Registration) -> dict[str, Any]:
    """Return the end of a job as JSON values; undefined metrics are left out."""
    result, verdict = registration.result, registration.verdict
    return {
        "name": result.job.name,
        "symbol": result.job.symbol,
        "model": result.job.model,
        "version": registration.version,
        "unchanged": registration.kept is not None,
        "status": "failed" if verdict is None else verdict.status,
        "reason": "" if verdict is None else verdict.reason,
        "error": result.error,
        "run_id": registration.run_id,
        "seconds": round(result.ended - result.started, 3),
        "metrics": {k: v for k, v in registration.metrics.items() if math.isfinite(v)},
    }
