"""Figure of the net Sharpe ratio at multiples of the costs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from trainer.report.page import Page
from trainer.report.plotting import (
    MUTED,
    NET,
    SECOND,
    canvas,
    empty_figure,
    plot_number,
    styled,
)
from trainer.report.report_figure import Column, ReportFigure, Table, list_values
from trainer.report.rows import columns


@styled
def _draw(page: Page, _series: pd.DataFrame) -> Figure:
    """Draw the cost stress test, and a diamond at the break-even costs if they are in view."""
    title = "Net Sharpe ratio if trading costs more"
    multiple, bps, ratio = columns(
        page.evidence.cost_stress, "multiple", "bps_per_side", "net_sharpe"
    )
    known = np.isfinite(ratio)
    multiple, bps, ratio = multiple[known], bps[known], ratio[known]
    if not ratio.size:
        return empty_figure(title, page.why_undefined)
    figure, (axes,) = canvas(title, 3.2, bottom=0.72)
    axes.axhline(0, color=MUTED, lw=1)
    axes.plot(multiple, ratio, "-o", color=NET, lw=1.5, ms=6)
    for x, y in zip(multiple, ratio, strict=True):
        # The line falls to the right, so the area to the upper right of a point is free.
        axes.annotate(plot_number(y), (x, y), (5, 5), textcoords="offset points")
    axes.set_xticks(
        multiple,
        [
            f"{m:g}\N{MULTIPLICATION SIGN}\n{b:g} bps a side"
            for m, b in zip(multiple, bps, strict=True)
        ],
    )
    axes.set(ylabel="net Sharpe ratio", xlabel="costs, in multiples of those assumed")
    axes.margins(x=0.1, y=0.16)
    even, assumed = page.metric("break_even_bps"), page.contract.costs.bps
    in_view = assumed > 0 and 0 <= even <= 1.05 * multiple.max() * assumed
    axes.set_title(("diamond: " if in_view else "") + _break_even_text(even, assumed))
    if in_view:
        axes.plot(even / assumed, 0, "D", ms=8, mfc="white", mec=SECOND, mew=1.8, zorder=4)
    return figure


def _break_even_text(even: float, assumed: float) -> str:
    if not np.isfinite(even):
        return "break-even costs: undefined"
    if even < 0:
        return "break-even: none, it loses before costs"
    times = f", {even / assumed:.2g}\N{MULTIPLICATION SIGN} those assumed" if assumed > 0 else ""
    return f"break-even at {even:.1f} bps a side{times}"


def _alt(page: Page) -> str:
    rows = page.evidence.cost_stress
    return "Net Sharpe ratio by multiple of costs: " + list_values(rows, "multiple", "net_sharpe")


COSTS = ReportFigure(
    name="costs",
    heading="Result at other costs",
    caption=(
        "Shows the result of the same positions at other costs, and the break-even costs; does not "
        "show the result of a model that is trained for those costs."
    ),
    draw=_draw,
    alt=_alt,
    table=Table(
        lambda page: page.evidence.cost_stress,
        (
            Column("multiple", "times the costs", "g"),
            Column("bps_per_side", "bps a side", "g"),
            Column("net_sharpe", "net Sharpe", ".2f"),
            Column("net_return", "net return", "+.1%"),
        ),
    ),
)
