"""Figure of the net Sharpe ratios of the null runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from trainer.arrays import FloatArray
from trainer.report.page import Page
from trainer.report.plotting import HOLD, INK, NET, canvas, empty_figure, plot_number, styled
from trainer.report.report_figure import ReportFigure
from trainer.text import number_text


@styled
def _draw(page: Page, _series: pd.DataFrame) -> Figure:
    """Draw the ratios of the null runs, and the headline among them.

    The title contains the number of null runs without a ratio.
    """
    title = "What the same procedure earns where there is nothing to find"
    n_runs, known = len(page.evidence.null_net_sharpe), _known(page)
    if not known.size:
        return empty_figure(title, "never traded in any null run" if n_runs else "not measured")
    figure, (axes,) = canvas(title, 3.0)
    axes.hist(
        known, bins=min(30, max(5, round(2 * known.size**0.5))), color=HOLD, alpha=0.45, ec="white"
    )
    axes.plot(known, np.zeros(known.size), "|", color=INK, ms=12, mew=1.2, clip_on=False, zorder=3)
    axes.set(xlabel="net Sharpe ratio", ylabel="null runs")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    flat = f"; {n_runs - known.size} never traded" if n_runs > known.size else ""
    headline = page.metric("net_sharpe")
    if np.isfinite(headline):
        below = int((known < headline).sum())
        axes.axvline(headline, color=NET, lw=2.2)
        axes.set_title(
            f"blue line: headline {plot_number(headline)}, above {below} of {known.size} null runs "
            f"({below / known.size:.0%}){flat}"
        )
    else:
        axes.set_title(f"headline: {page.why_undefined}; {known.size} null runs{flat}")
    return figure


def _known(page: Page) -> FloatArray:
    """Return the ratios of the null runs that traded, in the order of the runs."""
    ratio = np.array(page.evidence.null_net_sharpe, dtype=np.float64)
    return ratio[np.isfinite(ratio)]


def _alt(page: Page) -> str:
    known = np.sort(_known(page))
    if not known.size:
        return "No null run traded."
    return (
        f"Net Sharpe ratios of {known.size} null runs: {known[0]:.2f} to {known[-1]:.2f}, "
        f"median about {known[known.size // 2]:.2f}; "
        f"headline {number_text(page.metric('net_sharpe'))}."
    )


NULL_RUNS = ReportFigure(
    name="null",
    heading="Comparison with null runs",
    caption=(
        "Shows what the same procedure earns on bars without information about the next returns "
        "except the drift of the market; does not show the effect of choosing the best of several "
        "models, which the number of trials accounts for."
    ),
    draw=_draw,
    alt=_alt,
    applies=lambda page: bool(page.evidence.null_net_sharpe),
    missing="Not measured: train with --null-runs 20 to see.",
)
