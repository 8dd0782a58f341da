"""The figures of the report in the order of their sections."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from trainer.report.costs import COSTS
from trainer.report.dispersion import DISPERSION
from trainer.report.equity import EQUITY
from trainer.report.importance import IMPORTANCE
from trainer.report.null_runs import NULL_RUNS
from trainer.report.page import Page
from trainer.report.plotting import png_bytes
from trainer.report.regimes import REGIMES
from trainer.report.reliability import RELIABILITY
from trainer.report.report_figure import ReportFigure
from trainer.report.search import SEARCH
from trainer.report.thresholds import THRESHOLDS

FIGURES: tuple[ReportFigure, ...] = (
    EQUITY,
    COSTS,
    DISPERSION,
    NULL_RUNS,
    REGIMES,
    RELIABILITY,
    THRESHOLDS,
    IMPORTANCE,
    SEARCH,
)


def draw_figures(page: Page, series: pd.DataFrame, only: Collection[str] = ()) -> dict[str, bytes]:
    """Return the figures of a model as PNG files, by name, in the order of `FIGURES`.

    Parameters
    ----------
    page : Page
    series : pandas.DataFrame
        One row a bar of the walk-forward: ``timestamp`` (UTC), ``position``, ``forward_return``.
    only : collection of str, optional
        Names of the figures to draw; all by default.

    Returns
    -------
    dict of str to bytes
        A figure that does not apply to the page is left out.

    Raises
    ------
    TrainerError
        If a position or a return of `series` is not finite.
    """
    wanted = [figure for figure in FIGURES if not only or figure.name in only]
    applying = [figure for figure in wanted if figure.applies(page)]
    return {figure.name: png_bytes(figure.draw(page, series)) for figure in applying}
