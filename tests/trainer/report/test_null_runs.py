"""The figure of the null runs counts them around the headline."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from trainer.report.null_runs import NULL_RUNS
from trainer.report.page import Page
from trainer.report.plotting import png_bytes

Candidate = tuple[dict[str, Any], pd.DataFrame]


@pytest.fixture
def content(candidate: Candidate) -> dict[str, Any]:
    return candidate[0]


def draw(content: dict[str, Any]) -> Figure:
    return NULL_RUNS.draw(Page.from_json(content), pd.DataFrame())


def texts(figure: Figure) -> str:
    of_figures = [t for holder in (figure, *figure.axes) for t in holder.texts]
    titles = [axes.get_title("left") for axes in figure.axes]
    return " | ".join([*(t.get_text() for t in of_figures), *titles])


def test_null_runs_are_counted_and_the_headline_is_drawn_among_them(
    content: dict[str, Any],
) -> None:
    figure = draw(content)
    (axes,) = figure.axes
    assert sum(bar.get_height() for bar in axes.patches) == 4
    assert [1.25, 1.25] in [list(line.get_xdata()) for line in axes.lines]
    assert "headline 1.25, above 3 of 4 null runs (75%); 1 never traded" in texts(figure)


def test_a_headline_that_ties_with_a_null_run_is_not_above_it(content: dict[str, Any]) -> None:
    content["metrics"]["net_sharpe"] = 1.0
    assert "above 2 of 4" in texts(draw(content))


def test_null_runs_of_one_value_or_none(content: dict[str, Any]) -> None:
    content["null_net_sharpe"] = [0.5]
    png_bytes(draw(content))
    content["null_net_sharpe"] = [None, None]
    assert "never traded in any null run" in texts(draw(content))
    content["null_net_sharpe"] = [0.5]
    content["metrics"] |= {"net_sharpe": None, "n_trades": 0}
    figure = draw(content)
    assert "headline: never traded; 1 null runs" in texts(figure)
    assert len(figure.axes[0].lines) == 1
