"""Figure of the net Sharpe ratio of each regime beside buy and hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from trainer.evidence.evidence import RegimeRow
from trainer.report.page import Page
from trainer.report.plotting import (
    HOLD,
    MUTED,
    NET,
    canvas,
    empty_figure,
    legend,
    one_line,
    styled,
)
from trainer.report.report_figure import Column, ReportFigure, Table, list_values
from trainer.report.rows import columns, number_of


@styled
def _draw(page: Page, _series: pd.DataFrame) -> Figure:
    """Draw net and buy-and-hold ratios of each regime, side by side.

    A text stands in place of an undefined ratio.
    """
    title = "Sharpe ratio by regime, net against buy and hold"
    rows = page.evidence.regimes
    if not rows:
        return empty_figure(title, "not measured")
    kinds = [row.kind for row in rows]
    # Half a row of space before the first regime of another kind.
    new = np.array([i > 0 and kinds[i] != kinds[i - 1] for i in range(len(rows))])
    place = np.arange(len(rows)) + 0.5 * np.cumsum(new)
    figure, (axes,) = canvas(title, 1.65 + 0.46 * place[-1], left=1.72)
    for shift, name, label, colour, hatch in (
        (-0.19, "net_sharpe", "net, after costs", NET, ""),
        (0.19, "buy_hold_sharpe", "buy and hold", "#C5CBD1", "////"),
    ):
        (ratio,) = columns(rows, name)
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
    axes.set_yticks(place, [_label(row) for row in rows], fontsize=8.5)
    axes.set_ylim(place[-1] + 0.6, -0.6)
    axes.grid(False, axis="y")
    axes.set_xlabel("Sharpe ratio, annualised")
    legend(axes)
    return figure


def _label(row: RegimeRow) -> str:
    name = row.name if row.kind == "year" else f"{row.name} {row.kind}"
    counts = {"bars": number_of(row, "bars"), "trades": number_of(row, "n_trades")}
    sizes = [f"{count:,.0f} {unit}" for unit, count in counts.items() if np.isfinite(count)]
    return one_line(name, 40) + "\n" + ", ".join(sizes)


def _alt(page: Page) -> str:
    return "Net Sharpe ratio by regime: " + list_values(page.evidence.regimes, "name", "net_sharpe")


REGIMES = ReportFigure(
    name="regimes",
    heading="Result by regime",
    caption=(
        "Shows Sharpe ratios within parts of the walk-forward that were defined afterwards; does "
        "not show that a regime could be known in advance, or that it will return."
    ),
    draw=_draw,
    alt=_alt,
    table=Table(
        lambda page: page.evidence.regimes,
        (
            Column("name", "regime", "s"),
            Column("kind", "kind", "s"),
            Column("bars", "bars", ",.0f"),
            Column("net_sharpe", "net Sharpe", ".2f"),
            Column("gross_sharpe", "gross Sharpe", ".2f"),
            Column("buy_hold_sharpe", "hold Sharpe", ".2f"),
            Column("net_return", "net return", "+.1%"),
            Column("n_trades", "trades", ",.0f"),
            Column("exposure", "exposure", ".0%"),
        ),
    ),
)
