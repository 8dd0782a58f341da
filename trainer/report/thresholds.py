"""Figure of the net Sharpe ratio of each threshold that was tried."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.arrays import FloatArray
from trainer.procedure.threshold_search import MIN_TRADES
from trainer.report.page import Page
from trainer.report.plotting import (
    GROSS,
    MUTED,
    NET,
    SECOND,
    canvas,
    empty_figure,
    legend,
    styled,
    write_in_middle,
)
from trainer.report.report_figure import Column, ReportFigure, Table
from trainer.report.rows import columns
from trainer.text import number_text


@styled
def _draw(page: Page, _series: pd.DataFrame) -> Figure:
    """Draw the ratio of each threshold, the choice, and below them the trades.

    The choice "do not trade" is a line at 0. A threshold without a ratio has trades only.
    """
    title = "Choice of the threshold (val_: selection, not a headline)"
    if not page.has_threshold:
        return empty_figure(title, "the rule break-even has no threshold")
    curve = page.evidence.threshold_curve
    level, ratio, trades = columns(curve, "threshold", "val_net_sharpe", "trades")
    known = np.isfinite(level)
    level, ratio, trades = level[known], ratio[known], trades[known]
    if not level.size:
        return empty_figure(title, "not measured: no probability could be traded on")
    threshold = page.evidence.threshold
    chosen = math.nan if threshold is None else threshold
    figure, (axes, below) = canvas(title, 4.4, (3.0, 1.0))
    flat = not np.isfinite(chosen)
    axes.axhline(
        0, color=SECOND if flat else MUTED, lw=2.4 if flat else 1.2, ls="-" if flat else "--",
        label="do not trade: 0 (chosen)" if flat else "do not trade: 0",
    )  # fmt: skip
    _draw_ratios(axes, level, ratio, trades < MIN_TRADES)
    if not flat:
        _mark_choice(axes, level, ratio, chosen)
        for panel in (axes, below):
            panel.axvline(chosen, color=SECOND, lw=1, ls=":", zorder=1)
    axes.set_ylabel("net Sharpe ratio, out of fold")
    legend(axes)
    below.fill_between(level, trades, step="mid", color=GROSS, alpha=0.35)
    below.plot(level, trades, color=GROSS, drawstyle="steps-mid", lw=1.2)
    below.set(ylabel="trades", xlabel="threshold: least probability that is acted on")
    below.set_ylim(0, max(1.0, trades.max() * 1.1))
    below.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    return figure


def _draw_ratios(
    axes: Axes, level: FloatArray, ratio: FloatArray, few: npt.NDArray[np.bool_]
) -> None:
    """Draw the curve; its points are hollow where the trades are too few to be chosen."""
    if not np.isfinite(ratio).any():
        write_in_middle(axes, "never traded at any threshold")
        return
    axes.plot(level, ratio, color=NET, lw=1.2, zorder=2)
    axes.plot(level[~few], ratio[~few], "o", ms=4, color=NET, label="tried")
    if few.any():
        axes.plot(
            level[few], ratio[few], "o", ms=4, mfc="white", mec=NET,
            label=f"under {MIN_TRADES} trades",
        )  # fmt: skip


def _mark_choice(axes: Axes, level: FloatArray, ratio: FloatArray, chosen: float) -> None:
    """Draw a star at the chosen threshold if it is a point of the curve."""
    nearest = int(np.argmin(np.abs(level - chosen)))
    if np.isclose(level[nearest], chosen, rtol=0, atol=1e-9) and np.isfinite(ratio[nearest]):
        axes.plot(
            chosen, ratio[nearest], "*", ms=15, color=SECOND, mec="white", zorder=4,
            label=f"chosen: {chosen:.4f}",
        )  # fmt: skip


def _alt(page: Page) -> str:
    if not page.has_threshold:
        return "The rule break-even has no threshold to choose."
    chosen = number_text(page.evidence.threshold, ".4f", undefined="do not trade")
    return f"Out-of-fold net Sharpe ratio by threshold; chosen: {chosen}."


THRESHOLDS = ReportFigure(
    name="thresholds",
    heading="Choice of the threshold",
    caption=(
        "Shows the out-of-fold curve from which the production threshold was chosen; does not show "
        "performance: the highest of many points is too high (val_, not a headline)."
    ),
    draw=_draw,
    alt=_alt,
    table=Table(
        lambda page: page.evidence.folds,
        (
            Column("fold", "selection fold", ".0f"),
            Column("log_loss", "val_log_loss", ".4f"),
            Column("brier", "val_brier", ".4f"),
            Column("roc_auc", "val_roc_auc", ".3f"),
            Column("net_sharpe", "val_net_sharpe", ".2f"),
            Column("gross_sharpe", "val_gross_sharpe", ".2f"),
            Column("turnover", "val_turnover", ",.0f"),
        ),
    ),
)
