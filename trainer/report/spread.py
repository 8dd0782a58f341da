"""Figures of how surely it was earned: piece by piece, among null runs, regime by regime."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from trainer.report.plotting import (
    HOLD,
    INK,
    MUTED,
    NET,
    SECOND,
    canvas,
    figure_of,
    legend,
    nothing,
    plain,
    styled,
    undefined_because,
    words,
)

FloatArray = npt.NDArray[np.float64]


@styled
def dispersion(evidence: Mapping[str, Any]) -> Figure:
    """Draw the net Sharpe ratio of every block, CPCV path and selection fold beside the headline.

    Parameters
    ----------
    evidence : mapping
        ``blocks`` and ``folds`` with ``net_sharpe``, ``cpcv_net_sharpe``, and the metrics
        ``net_sharpe``, ``net_sharpe_lower`` and ``net_sharpe_upper``. An undefined ratio is a
        cross at 0.

    Returns
    -------
    matplotlib.figure.Figure
    """
    title = "Net Sharpe ratio, piece by piece"
    # The words of a group, its marker, whether that is filled, its values.
    groups = [
        ("walk-forward blocks\nin time order", "o", NET, NET, _ratios(evidence["blocks"])),
        ("CPCV paths\nshare their data", "D", SECOND, SECOND,
         # A path that never traded counts as 0, to the bit.
         _ratios({"net_sharpe": v or None} for v in evidence["cpcv_net_sharpe"])),
        ("selection folds (val_)\nchose the threshold", "s", MUTED, "white",
         _ratios(evidence["folds"])),
    ]  # fmt: skip
    groups = [group for group in groups if group[-1].size]
    if not groups or not any(np.isfinite(group[-1]).any() for group in groups):
        return nothing(title, undefined_because(evidence))
    figure, panels = canvas(
        title,
        3.6,
        widths=tuple(max(5.0, group[-1].size) for group in groups),
        share="y",
        top=0.8,
        bottom=0.6,
    )
    for axes, (name, marker, colour, fill, ratio) in zip(panels, groups, strict=True):
        place, known = np.arange(ratio.size), np.isfinite(ratio)
        axes.axhline(0, color=MUTED, lw=1, zorder=1)
        axes.vlines(place[known], 0, ratio[known], color=colour, lw=1.4, alpha=0.6, zorder=2)
        axes.plot(place[known], ratio[known], marker, color=colour, mfc=fill, ms=7, zorder=3)
        axes.plot(place[~known], np.zeros((~known).sum()), "x", color=INK, ms=8, mew=1.6, zorder=3)
        axes.set_title(name)
        every = -(-ratio.size // 20)
        axes.set_xticks(place[::every], [str(i) for i in place[::every]])
        axes.set_xlim(-0.6, ratio.size - 0.4)
        axes.grid(False, axis="x")
    panels[0].set_ylabel("net Sharpe ratio")
    labels = [_headline(panels[0], evidence)] if groups[0][1] == "o" else []
    if any(not np.isfinite(group[-1]).all() for group in groups):
        labels.append("\N{MULTIPLICATION SIGN} at 0: undefined, no trade")
    note = "; ".join(filter(None, labels))
    figure.text(panels[0].get_position().x0, 0.03, note, fontsize=9, color=MUTED)
    return figure


@styled
def null(evidence: Mapping[str, Any]) -> Figure:
    """Draw the net Sharpe ratios of the null runs, and the headline among them.

    Parameters
    ----------
    evidence : mapping
        ``null_net_sharpe``, and the metric ``net_sharpe``. Undefined ratios are counted in words.

    Returns
    -------
    matplotlib.figure.Figure
    """
    title = "What the same procedure earns where there is nothing to find"
    ratio = _ratios({"net_sharpe": v} for v in evidence.get("null_net_sharpe", []))
    known = ratio[np.isfinite(ratio)]
    if not known.size:
        return nothing(title, "never traded in any null run" if ratio.size else "not measured")
    headline = figure_of(evidence["metrics"], "net_sharpe")
    figure, (axes,) = canvas(title, 3.0)
    axes.hist(
        known, bins=min(30, max(5, round(2 * known.size**0.5))), color=HOLD, alpha=0.45, ec="white"
    )
    axes.plot(known, np.zeros(known.size), "|", color=INK, ms=12, mew=1.2, clip_on=False, zorder=3)
    axes.set(xlabel="net Sharpe ratio", ylabel="null runs")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    silent = f"; {ratio.size - known.size} never traded" if ratio.size > known.size else ""
    if np.isfinite(headline):
        beaten = int((known < headline).sum())
        axes.axvline(headline, color=NET, lw=2.2)
        axes.set_title(
            f"blue line: headline {words(headline)}, above {beaten} of {known.size} null runs "
            f"({beaten / known.size:.0%}){silent}"
        )
    else:
        axes.set_title(f"headline: {undefined_because(evidence)}; {known.size} null runs{silent}")
    return figure


@styled
def regimes(evidence: Mapping[str, Any]) -> Figure:
    """Draw net and buy-and-hold Sharpe ratios of each regime, side by side.

    Parameters
    ----------
    evidence : mapping
        ``regimes`` rows with ``kind``, ``name``, ``bars``, ``n_trades``, ``net_sharpe`` and
        ``buy_hold_sharpe``. An undefined ratio is said in words.

    Returns
    -------
    matplotlib.figure.Figure
    """
    title = "Sharpe ratio by regime, net against buy and hold"
    rows = evidence["regimes"]
    if not rows:
        return nothing(title, "not measured")
    kinds = [str(row["kind"]) for row in rows]
    # Half a row of air where another kind begins.
    new = np.array([i > 0 and kinds[i] != kinds[i - 1] for i in range(len(rows))])
    place = np.arange(len(rows)) + 0.5 * np.cumsum(new)
    figure, (axes,) = canvas(title, 1.65 + 0.46 * place[-1], left=1.72)
    for shift, name, label, colour, hatch in (
        (-0.19, "net_sharpe", "net, after costs", NET, ""),
        (0.19, "buy_hold_sharpe", "buy and hold", "#C5CBD1", "////"),
    ):
        ratio = np.array([figure_of(row, name) for row in rows])
        axes.barh(
            place + shift, np.nan_to_num(ratio), height=0.36, color=colour, hatch=hatch,
            edgecolor="white" if not hatch else HOLD, lw=0.5, label=label,
        )  # fmt: skip
        for at in place[~np.isfinite(ratio)] + shift:
            axes.annotate(
                "no trade" if name == "net_sharpe" else "undefined", (0, at), (4, 0),
                textcoords="offset points", va="center", fontsize=8, color=MUTED, style="italic",
            )  # fmt: skip
    axes.axvline(0, color=MUTED, lw=1)
    axes.set_yticks(place, [_regime(row) for row in rows], fontsize=8.5)
    axes.set_ylim(place[-1] + 0.6, -0.6)
    axes.grid(False, axis="y")
    axes.set_xlabel("Sharpe ratio, annualised")
    legend(axes)
    return figure


def _ratios(rows: Iterable[Mapping[str, Any]]) -> FloatArray:
    return np.array([figure_of(row, "net_sharpe") for row in rows], dtype=np.float64)


def _headline(axes: Axes, evidence: Mapping[str, Any]) -> str:
    """Draw the headline among the blocks that it is made of; return what the lines mean."""
    found = evidence["metrics"]
    headline = figure_of(found, "net_sharpe")
    if not np.isfinite(headline):
        return ""
    axes.axhline(headline, color=NET, lw=1.6, ls="--", zorder=1)
    low, high = (figure_of(found, f"net_sharpe_{end}") for end in ("lower", "upper"))
    if not np.isfinite([low, high]).all():
        return f"dashed: headline {words(headline)}"
    axes.axhspan(low, high, color=NET, alpha=0.1, lw=0, zorder=0)
    band = f"band: its 95 % interval, {words(low)} to {words(high)}"
    return f"dashed: headline {words(headline)}; {band}"


def _regime(row: Mapping[str, Any]) -> str:
    kind, name = str(row["kind"]), str(row["name"])
    called = name if kind == "year" else f"{name} {kind}"
    counts = (("bars", "bars"), ("n_trades", "trades"))
    sizes = [
        f"{figure_of(row, key):,.0f} {unit}" for key, unit in counts if row.get(key) is not None
    ]
    return plain(called, 40) + "\n" + ", ".join(sizes)
