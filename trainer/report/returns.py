"""Figures of what a walk-forward earned: equity and drawdown, and what more costs leave of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num, num2date
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, PercentFormatter

from trainer.report.plotting import (
    GROSS,
    HOLD,
    MUTED,
    NET,
    SECOND,
    canvas,
    columns,
    figure_of,
    nothing,
    styled,
    undefined_because,
    words,
)
from trainer.statistics import performance as metrics
from trainer.statistics.costs import Costs

FloatArray = npt.NDArray[np.float64]

#: Most points of a line: more are not seen on a page, and cost bytes and time.
MAX_POINTS = 2_000
#: A growth that spans more than this is drawn in equal steps of per cent: on a log scale.
_LOG_BEYOND = 3.0
_LINES: dict[str, dict[str, Any]] = {
    "net, after costs": {"color": NET, "ls": "-", "lw": 1.7, "zorder": 3},
    "gross, before costs": {"color": GROSS, "ls": (0, (3, 1)), "lw": 1.2},
    "buy and hold": {"color": HOLD, "ls": "-", "lw": 0.9},
}


@styled
def equity(evidence: Mapping[str, Any], series: pd.DataFrame) -> Figure:
    """Draw what 1 became: net, gross and buy-and-hold; below, the drawdown of net.

    Parameters
    ----------
    evidence : mapping
        Costs, and ``blocks`` with their ``first`` bar.
    series : pandas.DataFrame
        As in `figures`. Lines start at 1 before the first bar. Positions that are all 0 have no
        line of their own.

    Returns
    -------
    matplotlib.figure.Figure
    """
    title = "Equity of the walk-forward"
    if series.empty:
        return nothing(title, "not measured: the walk-forward has no bars")
    when = _days(series["timestamp"])
    when = np.concatenate([when[:1], when])
    position = series["position"].to_numpy(np.float64)
    move = series["forward_return"].to_numpy(np.float64)
    traded = bool(np.any(position))
    returns = {"buy and hold": _net(evidence, np.ones(len(move)), move)}
    if traded:
        returns["gross, before costs"] = metrics.gross_returns(position, move)
        returns["net, after costs"] = _net(evidence, position, move)
    lines = {name: np.concatenate([[1.0], metrics.equity(r)]) for name, r in returns.items()}
    judged = list(lines.values())[-1]
    shown = thin(judged)

    figure, (axes, below) = canvas(title, 5.0, (3.0, 1.0), right=1.35, gap=0.32, bottom=0.34)
    for name, grown in reversed(lines.items()):
        axes.plot(when[shown], grown[shown], label=name, **_LINES[name])
    axes.axhline(1, color=MUTED, lw=0.8, zorder=1)
    drawn = np.concatenate(list(lines.values()))
    if drawn.min() > 0 and drawn.max() / drawn.min() > _LOG_BEYOND:
        _log_growth(axes, drawn.max() / drawn.min())
    else:
        axes.set_ylabel("growth of 1")
    _name_ends(axes, {name: float(grown[-1]) for name, grown in lines.items()})
    below.set_title("drawdown of net")
    if traded:
        fall = judged / np.maximum.accumulate(judged) - 1.0
        below.fill_between(when[shown], fall[shown], 0, color=NET, alpha=0.25, lw=0)
        below.plot(when[shown], fall[shown], color=NET, lw=0.9)
        deepest = int(np.argmin(fall))
        depth, day = words(fall[deepest], ".1%"), num2date(when[deepest])
        below.set_title(f"drawdown of net: deepest {depth}, {day:%Y-%m-%d}")
        below.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        below.set_ylim(top=0)
    else:
        below.text(
            0.5, 0.5, "never traded: net and gross stay at 1", transform=below.transAxes,
            ha="center", va="center", color=MUTED, style="italic", fontsize=11,
            bbox={"facecolor": "white", "edgecolor": "none"},
        )  # fmt: skip
        below.set_yticks([])
    _mark_blocks(axes, below, evidence, when)
    locator = AutoDateLocator(minticks=4)
    below.xaxis.set_major_locator(locator)
    below.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    return figure


@styled
def costs(evidence: Mapping[str, Any]) -> Figure:
    """Draw the net Sharpe ratio at multiples of the costs, and where nothing is left.

    Parameters
    ----------
    evidence : mapping
        ``cost_stress`` rows with ``multiple``, ``bps_per_side`` and ``net_sharpe``, and the metric
        ``break_even_bps``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    title = "Net Sharpe ratio if trading costs more"
    rows = [row for row in evidence["cost_stress"] if row.get("net_sharpe") is not None]
    if not rows:
        return nothing(title, undefined_because(evidence))
    multiple, bps, ratio = columns(rows, "multiple", "bps_per_side", "net_sharpe")
    figure, (axes,) = canvas(title, 3.2, bottom=0.72)
    axes.axhline(0, color=MUTED, lw=1)
    axes.plot(multiple, ratio, "-o", color=NET, lw=1.5, ms=6)
    for x, y in zip(multiple, ratio, strict=True):
        # The line falls to the right, so that the upper right of a point is free.
        axes.annotate(words(y), (x, y), (5, 5), textcoords="offset points")
    axes.set_xticks(
        multiple,
        [
            f"{m:g}\N{MULTIPLICATION SIGN}\n{b:g} bps a side"
            for m, b in zip(multiple, bps, strict=True)
        ],
    )
    axes.set(ylabel="net Sharpe ratio", xlabel="costs, in multiples of those assumed")
    axes.margins(x=0.1, y=0.16)
    even = figure_of(evidence["metrics"], "break_even_bps")
    assumed = float(evidence["fee_bps"]) + float(evidence["slippage_bps"])
    in_view = assumed > 0 and 0 <= even <= 1.05 * multiple.max() * assumed
    axes.set_title(("diamond: " if in_view else "") + _even_in_words(even, assumed))
    if in_view:
        axes.plot(even / assumed, 0, "D", ms=8, mfc="white", mec=SECOND, mew=1.8, zorder=4)
    return figure


def thin(curve: FloatArray, limit: int = MAX_POINTS) -> npt.NDArray[np.int64]:
    """Return positions of at most `limit` points that keep a curve's ends, highs, lows and falls.

    Parameters
    ----------
    curve : float64 array of shape (n,)
        Equity.
    limit : int
        At least 6.

    Returns
    -------
    int64 array
        Increasing. Each stretch keeps its highest, lowest and deepest fallen point, so that every
        peak of the whole and its deepest drawdown are among them.
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


def _days(timestamps: Iterable[Any]) -> FloatArray:
    """Return times as matplotlib counts them: days in UTC."""
    times = pd.DatetimeIndex(pd.to_datetime(list(timestamps), utc=True)).tz_localize(None)
    return np.asarray(date2num(times.to_numpy()), dtype=np.float64)


def _net(evidence: Mapping[str, Any], position: FloatArray, move: FloatArray) -> FloatArray:
    costs = Costs(float(evidence["fee_bps"]), float(evidence["slippage_bps"]))
    return metrics.net_returns(position, move, costs)


def _log_growth(axes: Axes, span: float) -> None:
    """Equal distances for equal per cents, and ticks that read as multiples."""
    axes.set_yscale("log")
    axes.set_ylabel("growth of 1 (log scale)")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 100 else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _name_ends(axes: Axes, ends: Mapping[str, float]) -> None:
    """Name each line at its end, names that would touch pushed apart."""
    to_axes = axes.transScale + axes.transLimits
    axes.get_ylim()  # settles the limits, which the transform reads
    names = sorted(ends, key=lambda name: ends[name])
    heights = [float(to_axes.transform((0.0, ends[name]))[1]) for name in names]
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + 0.12)
    # Pushed beyond the top: push back from there.
    heights[-1] = min(heights[-1], 0.97)
    for i in range(len(heights) - 2, -1, -1):
        heights[i] = min(heights[i], heights[i + 1] - 0.12)
    for name, height in zip(names, heights, strict=True):
        axes.text(
            1.015, height, f"{words(ends[name])}\N{MULTIPLICATION SIGN}\n{name}",
            transform=axes.transAxes, va="center", fontsize=8.5, color=_LINES[name]["color"],
            fontweight="bold" if name.startswith("net") else "normal", linespacing=1.05,
        )  # fmt: skip


def _mark_blocks(axes: Axes, below: Axes, evidence: Mapping[str, Any], when: FloatArray) -> None:
    """Say where each block starts, and which of them did not trade."""
    blocks = [block for block in evidence["blocks"] if block.get("first") is not None]
    first = _days(block["first"] for block in blocks)
    for panel in (axes, below):
        for start in first[1:]:
            panel.axvline(start, color=MUTED, lw=0.8, ls=":", zorder=1)
    # Beyond a dozen the words would run into each other.
    if not 0 < len(blocks) <= 12:
        return
    for block, start, stop in zip(blocks, first, [*first[1:], when[-1]], strict=True):
        flat = "\nflat" if not block.get("n_trades") else ""
        axes.text(
            start + (stop - start) / 2, 1.01, f"block {block['block']}{flat}" if len(blocks) <= 7
            else f"{block['block']}{flat}",
            transform=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=8.5,
            color=MUTED, linespacing=0.95,
        )  # fmt: skip


def _even_in_words(even: float, assumed: float) -> str:
    if not np.isfinite(even):
        return "break-even costs: undefined"
    if even < 0:
        return "break-even: none, it loses before costs"
    times = f", {even / assumed:.2g}\N{MULTIPLICATION SIGN} those assumed" if assumed > 0 else ""
    return f"break-even at {even:.1f} bps a side{times}"
