"""The figure of a search: its trials, the chosen one, and the headline that they make necessary."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from trainer.evidence.evidence import Evidence
from trainer.report.html import report_html
from trainer.report.page import Page
from trainer.report.plotting import png_bytes
from trainer.report.search import SEARCH
from trainer.search.trial import Trial
from trainer.statistics.sharpe_inference import Moments, deflated_sharpe

START = {"horizon": 12, "smooth": "off"}


@pytest.fixture
def page(candidate: tuple[dict[str, Any], pd.DataFrame]) -> Page:
    own = Page.from_json(candidate[0])
    trials = [Trial(n, {**START, "horizon": n}, "complete", (n / 2 - 2.0,), 40) for n in range(14)]
    trials[0] = replace(trials[0], values=START)
    trials[3] = replace(trials[3], state="pruned", net_sharpe=(-5.0,))
    trials[13] = replace(trials[13], state="failed", net_sharpe=())
    return replace(own, search=tuple(trials))


def lines(page: Page) -> dict[str, Any]:
    figure = SEARCH.draw(page, pd.DataFrame())
    png_bytes(figure)
    return {str(line.get_label()): line for axes in figure.axes for line in axes.lines}


def test_trials_and_the_chosen_one_are_drawn(page: Page) -> None:
    drawn = lines(page)
    assert list(drawn["complete"].get_xdata()) == [1, 2, 3, *range(5, 14)]
    assert list(drawn["ended early"].get_ydata()) == [-5.0]
    assert list(drawn["chosen: trial 13, 4.00"].get_xdata()) == [13]


def test_the_needed_headline_has_the_ratio_of_the_gate(page: Page) -> None:
    drawn = lines(page)["needed"]
    n_bars, a_year = int(page.metric("n_bars")), page.evidence.periods_per_year
    assert list(drawn.get_xdata()) == list(range(1, 15))
    for trials, needed in zip(drawn.get_xdata(), drawn.get_ydata(), strict=True):
        # Normal returns with a small ratio; their inflation is left out.
        moments = Moments(needed / math.sqrt(a_year), 0.0, 1.0, n_bars)
        assert deflated_sharpe(moments, int(trials), 1 / (n_bars - 1)) == pytest.approx(0.95)


def test_the_table_has_the_best_trials_and_the_settings_of_the_command(page: Page) -> None:
    assert SEARCH.table is not None
    rows = SEARCH.table.rows(page)
    cells = [[column.cell(row) for column in SEARCH.table.columns] for row in rows]
    assert cells[0][:3] == ["13 chosen", "4.00", "40"]
    assert [row[0] for row in cells[1:]] == [str(n) for n in (12, 11, 10, 9, 8, 7, 6, 5, 3, 1)]
    assert cells[1] == ["12", "3.50", "40", "horizon=11"]
    assert cells[-1] == ["1", "-2.00", "40", "those of the command"]
    assert "14 trials" in SEARCH.alt(page)
    assert "chosen: trial 13 with 4.00" in SEARCH.alt(page)


def test_a_trial_that_never_traded_has_no_ratio(page: Page) -> None:
    assert SEARCH.table is not None
    idle = replace(page, search=(replace(page.search[0], net_sharpe=(0.0,), n_trades=0),))
    (row,) = SEARCH.table.rows(idle)
    assert [column.cell(row) for column in SEARCH.table.columns][1:3] == ["never traded", "0"]


def test_a_page_without_a_search_says_so(page: Page) -> None:
    without = replace(page, search=())
    assert not SEARCH.applies(without)
    assert "No search chose these settings." in report_html(without, {}, [], {})


def test_a_search_without_results_or_bars_is_drawn(page: Page) -> None:
    failed = tuple(replace(t, state="failed", net_sharpe=()) for t in page.search)
    assert lines(replace(page, search=failed)) == {}
    unmeasured = replace(page, headline=replace(page.headline, metrics={}), evidence=Evidence())
    lines(unmeasured)
    assert "needed" in SEARCH.alt(unmeasured)
