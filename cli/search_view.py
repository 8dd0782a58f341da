"""Output of the command `search`: its progress, then what was tried, and the trained models."""

from __future__ import annotations

import shlex

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.progress import ProgressView
from cli.train_view import print_summary
from trainer.config import TrainConfig, option_name, option_text
from trainer.job import jobs_of
from trainer.jobs.search import SearchSummary, Study
from trainer.procedure.threshold_search import MIN_TRADES
from trainer.search.trial import Trial, changed_settings, ranked_trials
from trainer.text import number_text

#: Trials that the table of a study lists.
_LISTED = 5


class SearchView(ProgressView):
    """One line a study on a terminal; elsewhere one line for each trial that ends."""

    def __init__(self, console: Console, config: TrainConfig, budget: int) -> None:
        super().__init__(console, [job.name for job in jobs_of(config)], n_fits=0)
        self._budget = budget

    def on_progress(self, name: str, phase: str, done: int, total: int) -> None:
        """Draw the progress of a training; that of a trial is drawn when it ends."""
        if not phase.startswith("trial "):
            super().on_progress(name, phase, done, total)

    def on_trial(self, study: Study, trial: Trial) -> None:
        """Draw or print the end of a trial."""
        done, name = len(study.trials), study.job.name
        super().on_progress(name, "trials", done, self._budget)
        if not self._console.is_terminal:
            ratio = f"net Sharpe ratio {trial.value:.2f}"
            result = trial.error or f"{trial.state}, {ratio if trial.traded else 'never traded'}"
            self._console.print(
                f"{name}: trial {trial.name}, {done} of {self._budget}, after "
                f"{trial.seconds:.1f} s: {result}",
                markup=False, highlight=False, soft_wrap=True,
            )  # fmt: skip


def print_search(console: Console, summary: SearchSummary, config: TrainConfig) -> None:
    """Print what each study tried and found, then the summary of the training."""
    one_line = not console.is_terminal
    for study in summary.studies:
        if study.error:
            text = f"[red]{study.job.name}[/red]: {escape(study.error)}"
            console.print(text, soft_wrap=one_line)
        if study.count("complete"):
            console.print(_table(study))
        for line in _lines(study, config):
            console.print(line, soft_wrap=True, markup=False, highlight=False)
    if summary.trained is not None:
        print_summary(console, summary.trained, config)


def _table(study: Study) -> Table:
    """Return the best trials of a study, with the trial of the unchanged settings."""
    assert study.part is not None
    first, last = (str(study.part.frame["timestamp"].iloc[i])[:10] for i in (0, -1))
    table = Table(
        title=f"{study.job.name}: best trials, {first} to {last}, after costs",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    table.add_column("trial", justify="right")
    table.add_column("net\nSharpe", justify="right", no_wrap=True)
    table.add_column("trades", justify="right", no_wrap=True)
    table.add_column("settings that were changed", overflow="fold")
    start = study.space.start if study.space is not None else {}
    for trial in ranked_trials(study.trials.values(), _LISTED):
        table.add_row(
            f"{trial.name} chosen" if trial is study.best else trial.name,
            number_text(trial.value) if trial.traded else "-",
            f"{trial.n_trades:,}",
            escape(", ".join(changed_settings(trial, start)) or "none"),
        )
    return table


def _lines(study: Study, config: TrainConfig) -> list[str]:
    """Return how the trials ended, and what follows from the best one."""
    if not study.trials:
        return []
    counts = ", ".join(
        f"{study.count(state)} {text}"
        for state, text in (
            ("complete", "complete"), ("pruned", "ended early"), ("failed", "failed")
        )
        if study.count(state)
    )  # fmt: skip
    lines = [
        f"{study.job.name}: {len(study.trials)} trials ({counts}); {study.read} of them had been "
        f"made before. Study {study.key}."
    ]
    best = study.best
    if best is None and not study.error:
        lines.append(
            f"{study.job.name}: no settings earned anything on at least {MIN_TRADES} trades, so "
            "nothing was trained. More bars, lower costs or a larger --budget may find some. These "
            f"trials count for every model of {study.job.symbol} in this experiment; --experiment "
            "keeps attempts apart."
        )
    elif best is not None and not study.error:
        words = _train_command(study, best, config)
        lines.append(f"{study.job.name}: trained as {shlex.join(words)}")
    return lines


def _train_command(study: Study, best: Trial, config: TrainConfig) -> list[str]:
    """Return the command that trains the best settings again."""
    assert study.space is not None
    chosen = study.space.apply(config, best.values)
    words = ["barwright", "train", "--symbols", study.job.symbol, "--models", study.job.model]
    for name, field in TrainConfig.model_fields.items():
        value = getattr(chosen, name)
        if name in ("symbols", "models", "params", "search") or value == field.default:
            continue
        words += [option_name(name), option_text(value)]
    params = chosen.params.get(study.job.model, {})
    if params:
        pairs = ",".join(
            f"{study.job.model}.{name}={option_text(value)}" for name, value in params.items()
        )
        words += ["--params", pairs]
    return [*words, "--search", study.key]
