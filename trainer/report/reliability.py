"""Figure of the share of rises at each predicted probability."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.arrays import FloatArray
from trainer.report.page import Page
from trainer.report.plotting import GROSS, MUTED, NET, canvas, empty_figure, legend, styled
from trainer.report.report_figure import Column, ReportFigure, Table, list_values
from trainer.report.rows import columns


@styled
def _draw(page: Page, _series: pd.DataFrame) -> Figure:
    """Draw the share of rises by probability beside the diagonal; below it, rows by probability.

    Undefined rows are left out.
    """
    title = "Reliability of the probabilities, walk-forward"
    p, frequency, rows = columns(page.evidence.reliability, "probability", "frequency", "rows")
    known = np.isfinite(p + frequency) & (rows > 0)
    p, frequency, rows = p[known], frequency[known], rows[known]
    if not p.size:
        return empty_figure(title, "not measured: no probability of the walk-forward was scored")
    # Labels of neighbouring rows overlap: n rows count as n / horizon.
    horizon = max(1.0, page.contract.horizon)
    # These are the errors of the diagonal. With the observed share, the error of a bin that never
    # rose, or always rose, would be 0.
    error = 2 * np.sqrt(p * (1 - p) / np.maximum(rows / horizon, 1.0))

    figure, (axes, below) = canvas(title, 4.6, (3.4, 1.0))
    low, high = min(p.min(), frequency.min()), max(p.max(), frequency.max())
    room = max(0.02, 0.12 * (high - low))
    low, high = max(0.0, low - room), min(1.0, high + room)
    axes.plot([low, high], [low, high], color=MUTED, ls="--", lw=1, label="as it should be")
    axes.errorbar(
        p, frequency, yerr=error, fmt="o", ms=6, color=NET, ecolor=GROSS, lw=1.2, capsize=3,
        label=f"share that rose, \N{PLUS-MINUS SIGN}2 s.e. of rows \N{DIVISION SIGN} {horizon:.0f}",
    )  # fmt: skip
    axes.set(xlim=(low, high), ylim=(low, high), ylabel="share that rose")
    legend(axes)
    _draw_rows(below, p, rows, high - low)
    return figure


def _draw_rows(axes: Axes, p: FloatArray, rows: FloatArray, span: float) -> None:
    """Draw the number of rows of each bin; write the counts if they do not overlap."""
    axes.vlines(p, 0, rows, color=NET, lw=7)
    axes.set(ylabel="rows", xlabel="probability of a rise", ylim=(0, rows.max() * 1.35))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    if p.size == 1 or np.diff(np.sort(p)).min() > 0.09 * span:
        for x, count in zip(p, rows, strict=True):
            axes.annotate(
                f"{count:,.0f}", (x, count), (0, 2), textcoords="offset points", ha="center",
                fontsize=8.5,
            )  # fmt: skip


def _alt(page: Page) -> str:
    return "Share that rose by mean probability: " + list_values(
        page.evidence.reliability, "probability", "frequency"
    )


RELIABILITY = ReportFigure(
    name="reliability",
    heading="Reliability of the probabilities",
    caption=(
        "Shows the share of rises at each predicted probability out of sample, with errors that "
        "count overlapping labels once; does not show profit: calibrated probabilities can be too "
        "close to one half to pay for costs."
    ),
    draw=_draw,
    alt=_alt,
    table=Table(
        lambda page: page.evidence.reliability,
        (
            Column("probability", "mean probability", ".4f"),
            Column("frequency", "share that rose", ".4f"),
            Column("rows", "rows", ",.0f"),
        ),
    ),
)
