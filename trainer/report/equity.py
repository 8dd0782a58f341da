"""Figure of the growth of 1 over the walk-forward, with the drawdown of net."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num, num2date
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, PercentFormatter

from trainer.arrays import FloatArray, IntArray
from trainer.evidence.headline import Block
from trainer.report.page import Page
from trainer.report.plotting import (
    GROSS,
    HOLD,
    MUTED,
    NET,
    canvas,
    empty_figure,
    plot_number,
    styled,
)
from trainer.report.report_figure import Column, ReportFigure, Table
from trainer.report.rows import number_of
from trainer.statistics import performance
from trainer.text import number_text

#: Most points of a line. More are not visible on a page, and cost bytes and time.
MAX_POINTS = 2_000
#: If the growth spans more than this factor, the scale is logarithmic: equal steps of per cent.
_LOG_BEYOND = 3.0
_NET, _GROSS, _HOLD = "net, after costs", "gross, before costs", "buy and hold"
_LINES: dict[str, dict[str, Any]] = {
    _NET: {"color": NET, "ls": "-", "lw": 1.7, "zorder": 3},
    _GROSS: {"color": GROSS, "ls": (0, (3, 1)), "lw": 1.2},
    _HOLD: {"color": HOLD, "ls": "-", "lw": 0.9},
}


def thin(curve: FloatArray, limit: int = MAX_POINTS) -> IntArray:
    """Return positions of at most `limit` points that keep the shape of a curve.

    Parameters
    ----------
    curve : float64 array of shape (n,)
        Equity.
    limit : int
        At least 6.

    Returns
    -------
    int64 array
        Increasing. They contain the first and last point and, of each stretch, the highest point,
        the lowest point and the point with the deepest drawdown. So every peak of the whole curve
        and its maximum drawdown are among them.
    """
    if curve.size <= limit:
        return np.arange(curve.size)
    fall = curve / np.maximum.accumulate(curve)
    edges = np.linspace(0, curve.size, (limit - 2) // 4 + 1).astype(np.int64)
    keep = [0, curve.size - 1]
    for start, stop in pairwise(edges):
        part, fallen = curve[start:stop], fall[start:stop]
        inside = (0, part.argmin(), part.argmax(), fallen.argmin())
        keep += [start + place for place in inside]
    return np.unique(np.array(keep, dtype=np.int64))


@styled
def _draw(page: Page, series: pd.DataFrame) -> Figure:
    """Draw the growth of 1 as net, gross, and buy and hold; below it, the drawdown of net.

    Lines start at 1 before the first bar. Positions that are all 0 have no line of their own.
    """
    title = "Equity of the walk-forward"
    if series.empty:
        return empty_figure(title, "not measured: the walk-forward has no bars")
    when = _days(series["timestamp"])
    when = np.concatenate([when[:1], when])  # (n + 1,)
    equity = _equity(page, series)
    figure, (axes, below) = canvas(title, 5.0, (3.0, 1.0), right=1.35, gap=0.32, bottom=0.34)
    # The last line is net, or buy and hold if the model never traded.
    last = list(equity.values())[-1]
    kept = thin(last)
    _draw_growth(axes, when, equity, kept)
    below.set_title("drawdown of net")
    if _NET in equity:
        _draw_drawdown(below, when, last, kept)
    else:
        below.text(
            0.5, 0.5, "never traded: net and gross stay at 1", transform=below.transAxes,
            ha="center", va="center", color=MUTED, style="italic", fontsize=11,
            bbox={"facecolor": "white", "edgecolor": "none"},
        )  # fmt: skip
        below.set_yticks([])
    _mark_blocks(axes, below, page.headline.blocks, when)
    locator = AutoDateLocator(minticks=4)
    below.xaxis.set_major_locator(locator)
    below.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    return figure


def _equity(page: Page, series: pd.DataFrame) -> dict[str, FloatArray]:
    """Return the growth of 1 of each line, arrays of shape (n + 1,); net and gross if it traded."""
    position = series["position"].to_numpy(np.float64)
    forward_return = series["forward_return"].to_numpy(np.float64)
    costs = page.contract.costs
    held = np.ones(len(forward_return))
    returns = {_HOLD: performance.net_returns(held, forward_return, costs)}
    if np.any(position):
        returns[_GROSS] = performance.gross_returns(position, forward_return)
        returns[_NET] = performance.net_returns(position, forward_return, costs)
    return {name: np.concatenate([[1.0], performance.equity(r)]) for name, r in returns.items()}


def _draw_growth(
    axes: Axes,
    when: FloatArray,
    equity: dict[str, FloatArray],
    kept: IntArray,
) -> None:
    for name, line in reversed(equity.items()):
        axes.plot(when[kept], line[kept], label=name, **_LINES[name])
    axes.axhline(1, color=MUTED, lw=0.8, zorder=1)
    values = np.concatenate(list(equity.values()))
    if values.min() > 0 and values.max() / values.min() > _LOG_BEYOND:
        _log_growth(axes, values.max() / values.min())
    else:
        axes.set_ylabel("growth of 1")
    _name_ends(axes, {name: float(line[-1]) for name, line in equity.items()})


def _draw_drawdown(axes: Axes, when: FloatArray, net: FloatArray, kept: IntArray) -> None:
    fall = net / np.maximum.accumulate(net) - 1.0
    axes.fill_between(when[kept], fall[kept], 0, color=NET, alpha=0.25, lw=0)
    axes.plot(when[kept], fall[kept], color=NET, lw=0.9)
    deepest = int(np.argmin(fall))
    depth, day = plot_number(fall[deepest], ".1%"), num2date(when[deepest])
    axes.set_title(f"drawdown of net: deepest {depth}, {day:%Y-%m-%d}")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylim(top=0)


def _days(timestamps: Iterable[Any]) -> FloatArray:
    """Return times in the unit of matplotlib: days in UTC."""
    times = pd.DatetimeIndex(pd.to_datetime(list(timestamps), utc=True)).tz_localize(None)
    return np.asarray(date2num(times.to_numpy()), dtype=np.float64)


def _log_growth(axes: Axes, span: float) -> None:
    """Use a logarithmic scale with ticks that read as multiples."""
    axes.set_yscale("log")
    axes.set_ylabel("growth of 1 (log scale)")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 100 else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _name_ends(axes: Axes, ends: Mapping[str, float]) -> None:
    """Write the name of each line at its end; move names apart that would touch."""
    to_axes = axes.transScale + axes.transLimits
    axes.get_ylim()  # Computes the limits, which the transform reads.
    names = sorted(ends, key=lambda name: ends[name])
    heights = [float(to_axes.transform((0.0, ends[name]))[1]) for name in names]
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + 0.12)
    # A name that was moved above the top is moved back, and pushes the names below it down.
    heights[-1] = min(heights[-1], 0.97)
    for i in range(len(heights) - 2, -1, -1):
        heights[i] = min(heights[i], heights[i + 1] - 0.12)
    for name, height in zip(names, heights, strict=True):
        axes.text(
            1.015, height, f"{plot_number(ends[name])}\N{MULTIPLICATION SIGN}\n{name}",
            transform=axes.transAxes, va="center", fontsize=8.5, color=_LINES[name]["color"],
            fontweight="bold" if name.startswith("net") else "normal", linespacing=1.05,
        )  # fmt: skip


def _mark_blocks(axes: Axes, below: Axes, blocks: tuple[Block, ...], when: FloatArray) -> None:
    """Mark the start of each block, and write which blocks did not trade."""
    first = _days(block.first for block in blocks)
    for panel in (axes, below):
        for start in first[1:]:
            panel.axvline(start, color=MUTED, lw=0.8, ls=":", zorder=1)
    # With more than twelve blocks the texts would overlap.
    if not 0 < len(blocks) <= 12:
        return
    for block, start, stop in zip(blocks, first, [*first[1:], when[-1]], strict=True):
        flat = "" if number_of(block, "n_trades") > 0 else "\nflat"
        axes.text(
            start + (stop - start) / 2, 1.01, f"block {block.block}{flat}" if len(blocks) <= 7
            else f"{block.block}{flat}",
            transform=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=8.5,
            color=MUTED, linespacing=0.95,
        )  # fmt: skip


def _alt(page: Page) -> str:
    net, hold = (number_text(page.metric(f"{n}_return"), "+.1%") for n in ("net", "buy_hold"))
    return f"Equity lines: net return {net}, buy and hold {hold}; the table below has each block."


EQUITY = ReportFigure(
    name="equity",
    heading="Equity of the walk-forward",
    caption=(
        "Shows the compounded growth of 1 over the walk-forward, and the drawdown of net from its "
        "peak; does not show the costs of wide gaps between bars, of funding, of borrowing, or of "
        "the effect of your own orders on the price."
    ),
    draw=_draw,
    alt=_alt,
    table=Table(
        lambda page: page.headline.blocks,
        (
            Column("block", "block", ".0f"),
            Column("first", "first bar", "s"),
            Column("last", "last bar", "s"),
            Column("train_rows", "rows before", ",.0f"),
            Column("test_rows", "rows", ",.0f"),
            Column("threshold", "threshold", ".4f", undefined="do not trade"),
            Column("net_sharpe", "net Sharpe", ".2f"),
            Column("gross_sharpe", "gross Sharpe", ".2f"),
            Column("net_return", "net return", "+.1%"),
            Column("n_trades", "trades", ",.0f"),
            Column("turnover", "turnover", ",.0f"),
            Column("log_loss", "log-loss", ".4f"),
            Column("base_rate_log_loss", "of base rate", ".4f"),
        ),
    ),
)
