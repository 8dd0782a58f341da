"""Figure of the search that chose the settings: what was tried, and what it costs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from trainer.evidence.verdict import LEAST_DSR
from trainer.procedure.threshold_search import MIN_TRADES
from trainer.report.page import Page
from trainer.report.plotting import HOLD, MUTED, NET, SECOND, canvas, empty_figure, legend, styled
from trainer.report.report_figure import Column, ReportFigure, Table
from trainer.search.trial import best_trial, changed_settings, ranked_trials
from trainer.statistics.sharpe_inference import required_sharpe
from trainer.text import number_text

#: Trials that the table lists.
_LISTED = 10


@dataclass(frozen=True)
class _TrialRow:
    """A trial in the table."""

    trial: str
    net_sharpe: float
    trades: int
    settings: str


@styled
def _draw(page: Page, _series: pd.DataFrame) -> Figure:
    """Draw the ratio of each trial, and below it the headline that is needed after each."""
    title = "What the search tried, and what the trials cost"
    trials = [trial for trial in page.search if trial.net_sharpe]
    if not trials:
        return empty_figure(title, "no trial has a result")
    figure, (axes, below) = canvas(title, 4.8, (1.0, 1.0))
    for state, face, edge, label in (
        ("complete", NET, NET, "complete"),
        ("pruned", "white", HOLD, "ended early"),
    ):
        of_state = [trial for trial in trials if trial.state == state]
        if of_state:
            axes.plot(
                [t.number + 1 for t in of_state], [t.value for t in of_state], "o", ms=4,
                mfc=face, mec=edge, label=label,
            )  # fmt: skip
    best = best_trial(trials)
    if best is not None:
        axes.plot(
            best.number + 1, best.value, "*", ms=15, color=SECOND, mec="white", zorder=4,
            label=f"chosen: trial {best.name}, {best.value:.2f}",
        )  # fmt: skip
    axes.axhline(0, color=MUTED, lw=1, ls="--")
    axes.set_ylabel("net Sharpe, first part")
    legend(axes)
    counts = np.arange(1, len(page.search) + 1)
    below.plot(counts, [_needed(page, int(n)) for n in counts], color=SECOND, label="needed")
    headline = page.metric("net_sharpe")
    if math.isfinite(headline):
        below.axhline(headline, color=NET, lw=1.5, label=f"headline: {headline:.2f}")
    below.set(ylabel="net Sharpe, headline", xlabel="number of trials")
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(below)
    return figure


def _needed(page: Page, n_trials: int) -> float:
    """Return the annualised headline that passes the gate's DSR after so many trials."""
    n_bars = page.metric("n_bars")
    if not n_bars >= 2:
        return math.nan
    per_bar = required_sharpe(int(n_bars), n_trials, LEAST_DSR)
    return per_bar * math.sqrt(page.evidence.periods_per_year)


def _alt(page: Page) -> str:
    best, count = best_trial(page.search), len(page.search)
    chosen = "none" if best is None else f"trial {best.name} with {best.value:.2f}"
    needed = [number_text(_needed(page, n)) for n in (1, max(1, count))]
    return (
        f"Net Sharpe ratios of {count} trials on the first part of the bars; chosen: {chosen}. "
        f"Headline that is needed for a deflated Sharpe ratio of {LEAST_DSR}: {needed[0]} with one "
        f"trial, {needed[1]} with {count}."
    )


def _rows(page: Page) -> list[_TrialRow]:
    """Return the best trials, and the one with the settings of the command."""
    start = next((trial.values for trial in page.search if trial.number == 0), {})
    best = best_trial(page.search)
    return [
        _TrialRow(
            f"{trial.name} chosen" if trial is best else trial.name,
            trial.value if trial.traded else math.nan, trial.n_trades,
            ", ".join(changed_settings(trial, start)) or "those of the command",
        )
        for trial in ranked_trials(page.search, _LISTED)
    ]  # fmt: skip


SEARCH = ReportFigure(
    name="search",
    heading="Search of the settings",
    caption=(
        "Shows each trial on the first part of the bars, which the headline does not contain, and "
        "the net Sharpe ratio that a headline of this length needs for a deflated Sharpe ratio of "
        f"{LEAST_DSR} as trials add up (normal returns, trials of this search only); the table has "
        f"the {_LISTED} best and the first; a trial must trade {MIN_TRADES} times to be chosen; "
        "does not show performance: the best of many trials is too high."
    ),
    draw=_draw,
    alt=_alt,
    table=Table(
        _rows,
        (
            Column("trial", "trial", "s"),
            Column("net_sharpe", "net Sharpe, first part", ".2f", undefined="never traded"),
            Column("trades", "trades", ",.0f"),
            Column("settings", "settings that were changed", "s"),
        ),
    ),
    applies=lambda page: bool(page.search),
    missing="No search chose these settings.",
)
