"""Figures of what the returns stand on: probabilities, choice of the threshold, features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from trainer.procedure.threshold_search import MIN_TRADES
from trainer.report.plotting import (
    GROSS,
    INK,
    MUTED,
    NET,
    SECOND,
    canvas,
    columns,
    figure_of,
    legend,
    nothing,
    plain,
    say,
    styled,
)

#: Features that are drawn, and characters of a name that are.
_TOP, _LONGEST = 20, 30


@styled
def reliability(evidence: Mapping[str, Any]) -> Figure:
    """Draw how often each probability came true, against the diagonal; below, rows by probability.

    Parameters
    ----------
    evidence : mapping
        ``reliability`` rows with ``probability``, ``frequency`` and ``rows``; ``horizon``: labels
        overlap, so that n rows count as n / horizon in the error bars. Undefined rows are left
        out.

    Returns
    -------
    matplotlib.figure.Figure
    """
    title = "Reliability of the probabilities, walk-forward"
    p, frequency, rows = columns(evidence["reliability"], "probability", "frequency", "rows")
    known = np.isfinite(p + frequency) & (rows > 0)
    p, frequency, rows = p[known], frequency[known], rows[known]
    if not p.size:
        return nothing(title, "not measured: no probability of the walk-forward was scored")
    horizon = max(1.0, figure_of(evidence, "horizon"))
    # Of the diagonal, which an empty or a full bin does not make certain.
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
    below.vlines(p, 0, rows, color=NET, lw=7)
    below.set(ylabel="rows", xlabel="probability of a rise", ylim=(0, rows.max() * 1.35))
    below.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    if p.size == 1 or np.diff(np.sort(p)).min() > 0.09 * (high - low):
        for x, count in zip(p, rows, strict=True):
            below.annotate(
                f"{count:,.0f}", (x, count), (0, 2), textcoords="offset points", ha="center",
                fontsize=8.5,
            )  # fmt: skip
    return figure


@styled
def thresholds(evidence: Mapping[str, Any]) -> Figure:
    """Draw the net Sharpe ratio of each threshold that was tried, its trades, and the choice.

    Parameters
    ----------
    evidence : mapping
        ``threshold_curve`` rows with ``threshold``, ``val_net_sharpe`` and ``trades``;
        ``threshold``, null for "do not trade", which is drawn at 0. A threshold of undefined
        ratio has trades only.

    Returns
    -------
    matplotlib.figure.Figure
    """
    title = "Choice of the threshold (val_: selection, not a headline)"
    curve = [row for row in evidence["threshold_curve"] if row.get("threshold") is not None]
    if not curve:
        return nothing(title, "not measured: no probability could be traded on")
    level, ratio, trades = columns(curve, "threshold", "val_net_sharpe", "trades")
    few = trades < MIN_TRADES
    chosen = figure_of(evidence, "threshold")

    figure, (axes, below) = canvas(title, 4.4, (3.0, 1.0))
    flat = not np.isfinite(chosen)
    axes.axhline(
        0, color=SECOND if flat else MUTED, lw=2.4 if flat else 1.2, ls="-" if flat else "--",
        label="do not trade: 0 (chosen)" if flat else "do not trade: 0",
    )  # fmt: skip
    if np.isfinite(ratio).any():
        axes.plot(level, ratio, color=NET, lw=1.2, zorder=2)
        axes.plot(level[~few], ratio[~few], "o", ms=4, color=NET, label="tried")
        if few.any():
            axes.plot(
                level[few], ratio[few], "o", ms=4, mfc="white", mec=NET,
                label=f"under {MIN_TRADES} trades",
            )  # fmt: skip
    else:
        say(axes, "never traded at any threshold")
    if not flat:
        nearest = int(np.argmin(np.abs(level - chosen)))
        if np.isclose(level[nearest], chosen, rtol=0, atol=1e-9) and np.isfinite(ratio[nearest]):
            axes.plot(
                chosen, ratio[nearest], "*", ms=15, color=SECOND, mec="white", zorder=4,
                label=f"chosen: {chosen:.4f}",
            )  # fmt: skip
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


@styled
def importance(evidence: Mapping[str, Any]) -> Figure:
    """Draw what shuffling each feature costs: mean over folds, and every fold.

    Parameters
    ----------
    evidence : mapping
        ``importance`` rows with ``feature``, ``mean`` and ``folds``: fall of the out-of-fold
        ROC AUC. Rows come in order; the first twenty are drawn.

    Returns
    -------
    matplotlib.figure.Figure
    """
    title = "What shuffling a feature costs, out of fold"
    known = [row for row in evidence["importance"] if row.get("mean") is not None]
    if not known:
        return nothing(title, "not measured: no feature was shuffled")
    top = known[:_TOP]
    mean = np.array([float(row["mean"]) for row in top])
    folds = [[float(v) for v in row.get("folds", []) if v is not None] for row in top]
    largest = max(abs(v) for v in (*mean, *(v for row in folds for v in row)))
    # Thousandths, millionths: so that the axis carries short numbers.
    power = int(np.ceil(-np.log10(largest) / 3)) * 3 if 0 < largest < 0.1 else 0
    scale = 10.0**power

    names = [plain(str(row["feature"]), _LONGEST) for row in top]
    # About 0.075 inches a character.
    left = 0.3 + 0.075 * max(map(len, names))
    figure, (axes,) = canvas(title, 1.3 + 0.23 * len(top), left=left)
    place = np.arange(len(top))
    axes.barh(place, mean * scale, height=0.62, color=GROSS, alpha=0.55, label="mean over folds")
    for at, row in zip(place, folds, strict=True):
        axes.plot(
            np.array(row) * scale, np.full(len(row), at), "|", ms=9, mew=1.4, color=INK,
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
