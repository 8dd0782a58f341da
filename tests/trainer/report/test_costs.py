"""The cost figure shows the stress test with its break-even costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.report.costs import COSTS
from trainer.report.page import Page
from trainer.report.plotting import png_bytes

Candidate = tuple[dict[str, Any], pd.DataFrame]


def draw(content: dict[str, Any]) -> Figure:
    return COSTS.draw(Page.from_json(content), pd.DataFrame())


def texts(axes: Axes) -> str:
    return " | ".join([axes.get_title("left"), *(t.get_text() for t in axes.texts)])


def test_costs_are_the_stress_test_and_its_break_even(candidate: Candidate) -> None:
    content, _ = candidate
    (axes,) = draw(content).axes
    line = axes.lines[1]
    np.testing.assert_array_equal(line.get_xdata(), [0, 1, 2, 3])
    np.testing.assert_array_equal(line.get_ydata(), [2, 1, 0, -1])
    diamond = axes.lines[2]
    assert (float(diamond.get_xdata()[0]), float(diamond.get_ydata()[0])) == (2.0, 0.0)
    assert "diamond: break-even at 3.0 bps a side, 2\N{MULTIPLICATION SIGN}" in texts(axes)


@pytest.mark.parametrize(
    ("even", "text"),
    [(None, "undefined"), (-2.0, "none, it loses before costs"), (40.0, "40.0 bps a side")],
)
def test_a_break_even_out_of_view_is_written_and_not_drawn(
    candidate: Candidate, even: float | None, text: str
) -> None:
    content, _ = candidate
    content["metrics"]["break_even_bps"] = even
    (axes,) = draw(content).axes
    assert len(axes.lines) == 2
    assert text in texts(axes)
    assert "diamond" not in texts(axes)


def test_without_costs_there_are_no_multiples_of_them(candidate: Candidate) -> None:
    content, _ = candidate
    content |= {"fee_bps": 0.0, "slippage_bps": 0.0}
    figure = draw(content)
    (axes,) = figure.axes
    assert axes.get_title("left") == "break-even at 3.0 bps a side"
    assert len(axes.lines) == 2  # no diamond
    png_bytes(figure)
    content["metrics"]["break_even_bps"] = 0.0
    assert len(draw(content).axes[0].lines) == 2


def test_costs_of_no_trade(flat_candidate: Candidate) -> None:
    assert texts(draw(flat_candidate[0]).axes[0]).endswith("never traded")
