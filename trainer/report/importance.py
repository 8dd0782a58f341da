"""Figure of the fall of the ROC AUC when a feature is shuffled."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from trainer.report.page import Page
from trainer.report.plotting import (
    GROSS,
    INK,
    MUTED,
    canvas,
    empty_figure,
    legend,
    one_line,
    styled,
)
from trainer.report.report_figure import Column, ReportFigure, Table, list_values

#: Features that are drawn, and the most characters of a name.
_TOP, _LONGEST = 20, 30


@styled
def _draw(page: Page, _series: pd.DataFrame) -> Figure:
    """Draw the mean fall over folds and the fall of every fold, for the first twenty features."""
    title = "What shuffling a feature costs, out of fold"
    known = [row for row in page.evidence.importance if math.isfinite(row.mean)]
    if not known:
        return empty_figure(title, "not measured: no feature was shuffled")
    top = known[:_TOP]
    mean = np.array([row.mean for row in top])
    folds = [[fall for fall in row.folds if math.isfinite(fall)] for row in top]
    power = _power(max(abs(v) for v in (*mean, *(v for row in folds for v in row))))
    scale = 10.0**power
    names = [one_line(row.feature, _LONGEST) for row in top]
    # A character is about 0.075 inches wide.
    left = 0.3 + 0.075 * max(map(len, names))
    figure, (axes,) = canvas(title, 1.3 + 0.23 * len(top), left=left)
    place = np.arange(len(top))
    axes.barh(place, mean * scale, height=0.62, color=GROSS, alpha=0.55, label="mean over folds")
    for at, falls in zip(place, folds, strict=True):
        axes.plot(
            np.array(falls) * scale, np.full(len(falls), at), "|", ms=9, mew=1.4, color=INK,
            label="one fold" if at == 0 else None,
        )  # fmt: skip
    axes.axvline(0, color=MUTED, lw=1)
    axes.set_yticks(place, names)
    axes.set_ylim(len(top) - 0.4, -0.6)
    axes.grid(False, axis="y")
    unit = f", $10^{{-{power}}}$" if power else ""
    axes.set_xlabel(f"fall of the ROC AUC{unit}")
    legend(axes)
    if len(known) > len(top):
        axes.set_title(f"first {len(top)} of {len(known)} features", loc="right")
    return figure


def _power(largest: float) -> int:
    """Return 3 for thousandths, 6 for millionths and so on: the axis then has short numbers."""
    return int(np.ceil(-np.log10(largest) / 3)) * 3 if 0 < largest < 0.1 else 0


def _alt(page: Page) -> str:
    return "Fall of the ROC AUC by shuffled feature, largest first: " + list_values(
        page.evidence.importance[:5], "feature", "mean", ".2g"
    )


IMPORTANCE = ReportFigure(
    name="importance",
    heading="Importance of the features",
    caption=(
        "Shows how much the out-of-fold ROC AUC falls when one feature is shuffled; does not show "
        "cause or profit, and features with the same information share their importance."
    ),
    draw=_draw,
    alt=_alt,
    table=Table(
        lambda page: page.evidence.importance,
        (
            Column("feature", "feature", "s"),
            Column("mean", "mean", ".2e"),
            Column("std", "over folds", ".1e"),
        ),
    ),
)
