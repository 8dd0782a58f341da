"""Figure of the net Sharpe ratios of blocks, CPCV paths and selection folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.arrays import FloatArray
from trainer.report.page import Page
from trainer.report.plotting import (
    INK,
    MUTED,
    NET,
    SECOND,
    canvas,
    empty_figure,
    plot_number,
    styled,
)
from trainer.report.report_figure import ReportFigure, list_values
from trainer.report.rows import columns
from trainer.text import number_text


@dataclass(frozen=True)
class _Group:
    """Net Sharpe ratios that are drawn side by side."""

    label: str
    marker: str
    colour: str
    fill: str
    ratio: FloatArray  # (n,)


@styled
def _draw(page: Page, _series: pd.DataFrame) -> Figure:
    """Draw the ratio of every block, CPCV path and selection fold beside the headline.

    An undefined ratio is a cross at 0.
    """
    title = "Net Sharpe ratio, piece by piece"
    groups = [group for group in _groups(page) if group.ratio.size]
    if not any(np.isfinite(group.ratio).any() for group in groups):
        return empty_figure(title, page.why_undefined)
    figure, panels = canvas(
        title,
        3.6,
        widths=tuple(max(5.0, group.ratio.size) for group in groups),
        share="y",
        top=0.8,
        bottom=0.6,
    )
    for axes, group in zip(panels, groups, strict=True):
        _draw_group(axes, group)
    panels[0].set_ylabel("net Sharpe ratio")
    notes = [_draw_headline(panels[0], page)] if page.headline.blocks else []
    if any(not np.isfinite(group.ratio).all() for group in groups):
        notes.append("\N{MULTIPLICATION SIGN} at 0: undefined, no trade")
    text = "; ".join(filter(None, notes))
    figure.text(panels[0].get_position().x0, 0.03, text, fontsize=9, color=MUTED)
    return figure


def _groups(page: Page) -> tuple[_Group, ...]:
    (blocks,) = columns(page.headline.blocks, "net_sharpe")
    (folds,) = columns(page.evidence.folds, "net_sharpe")
    return (
        _Group("walk-forward blocks\nin time order", "o", NET, NET, blocks),
        _Group("CPCV paths\nshare their data", "D", SECOND, SECOND, _paths(page)),
        _Group("selection folds (val_)\nchose the threshold", "s", MUTED, "white", folds),
    )


def _paths(page: Page) -> FloatArray:
    """Return the ratios of the CPCV paths; a path that never traded is exactly 0, here NaN."""
    ratio = np.array(page.evidence.cpcv_net_sharpe, dtype=np.float64)
    return np.where(np.isfinite(ratio) & (ratio != 0), ratio, np.nan)


def _draw_group(axes: Axes, group: _Group) -> None:
    ratio, colour = group.ratio, group.colour
    place, known = np.arange(ratio.size), np.isfinite(ratio)
    axes.axhline(0, color=MUTED, lw=1, zorder=1)
    axes.vlines(place[known], 0, ratio[known], color=colour, lw=1.4, alpha=0.6, zorder=2)
    axes.plot(
        place[known], ratio[known], group.marker, color=colour, mfc=group.fill, ms=7, zorder=3
    )
    axes.plot(place[~known], np.zeros((~known).sum()), "x", color=INK, ms=8, mew=1.6, zorder=3)
    axes.set_title(group.label)
    every = -(-ratio.size // 20)
    axes.set_xticks(place[::every], [str(i) for i in place[::every]])
    axes.set_xlim(-0.6, ratio.size - 0.4)
    axes.grid(False, axis="x")


def _draw_headline(axes: Axes, page: Page) -> str:
    """Draw the headline among its blocks; return a text that explains the lines."""
    ratio = page.metric("net_sharpe")
    if not np.isfinite(ratio):
        return ""
    axes.axhline(ratio, color=NET, lw=1.6, ls="--", zorder=1)
    low, high = page.metric("net_sharpe_lower"), page.metric("net_sharpe_upper")
    if not np.isfinite([low, high]).all():
        return f"dashed: headline {plot_number(ratio)}"
    axes.axhspan(low, high, color=NET, alpha=0.1, lw=0, zorder=0)
    band = f"band: its 95 % interval, {plot_number(low)} to {plot_number(high)}"
    return f"dashed: headline {plot_number(ratio)}; {band}"


def _alt(page: Page) -> str:
    blocks = list_values(page.headline.blocks, "block", "net_sharpe")
    folds = list_values(page.evidence.folds, "fold", "net_sharpe")
    paths = ", ".join(number_text(ratio) for ratio in _paths(page)) or "none"
    return (
        f"Net Sharpe ratio by block: {blocks}; of CPCV paths: {paths}; by selection fold: {folds}."
    )


DISPERSION = ReportFigure(
    name="dispersion",
    heading="Dispersion of the result",
    caption=(
        "Shows the blocks of the headline, which were scored once, beside other ways to divide the "
        "same data; does not show independent trials: CPCV paths share data, so their spread is "
        "not a standard error, and the selection folds chose the threshold, so their ratios are "
        "too high."
    ),
    draw=_draw,
    alt=_alt,
)
