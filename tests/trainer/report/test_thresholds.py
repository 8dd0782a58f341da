"""The threshold figure marks the chosen threshold on its curve."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from trainer.report.page import Page
from trainer.report.plotting import png_bytes
from trainer.report.thresholds import THRESHOLDS

Candidate = tuple[dict[str, Any], pd.DataFrame]


@pytest.fixture
def content(candidate: Candidate) -> dict[str, Any]:
    return candidate[0]


def draw(content: dict[str, Any]) -> Figure:
    return THRESHOLDS.draw(Page.from_json(content), pd.DataFrame())


def texts(figure: Figure) -> str:
    return " | ".join(t.get_text() for axes in figure.axes for t in axes.texts)


def legend(figure: Figure) -> list[str]:
    return [t.get_text() for t in figure.axes[0].get_legend().get_texts()]


def test_the_chosen_threshold_is_the_point_of_the_curve(content: dict[str, Any]) -> None:
    figure = draw(content)
    axes, below = figure.axes
    (star,) = [line for line in axes.lines if line.get_marker() == "*"]
    np.testing.assert_array_equal(star.get_xydata(), [[0.52, 0.8]])
    assert legend(figure) == ["do not trade: 0", "tried", "under 30 trades", "chosen: 0.5200"]
    for panel in (axes, below):
        (at,) = [line for line in panel.lines if line.get_linestyle() == ":"]
        assert list(at.get_xdata()) == [0.52, 0.52]
    nothing = axes.lines[0]
    assert list(nothing.get_ydata()) == [0, 0]
    (trades,) = [line for line in below.lines if "steps" in line.get_drawstyle()]
    np.testing.assert_array_equal(trades.get_ydata(), [300, 120, 12, 0])


def test_thresholds_of_too_few_trades_look_different(content: dict[str, Any]) -> None:
    axes = draw(content).axes[0]
    hollow = {line.get_label(): line for line in axes.lines}["under 30 trades"]
    assert list(hollow.get_xdata()) == [0.55, 0.60]
    assert hollow.get_markerfacecolor() == "white"


def test_break_even_has_no_threshold_to_draw(content: dict[str, Any]) -> None:
    content["position"] = "break-even"
    figure = draw(content)
    assert "the rule break-even has no threshold" in texts(figure)
    assert not any(axes.lines for axes in figure.axes)
    assert "0.52" not in THRESHOLDS.alt(Page.from_json(content))


def test_not_to_trade_is_drawn_as_the_choice(content: dict[str, Any]) -> None:
    content["threshold"] = None
    figure = draw(content)
    assert "do not trade: 0 (chosen)" in legend(figure)
    assert not [line for line in figure.axes[0].lines if line.get_marker() == "*"]


def test_a_choice_that_is_not_on_the_curve_gets_no_ratio(content: dict[str, Any]) -> None:
    content["threshold"] = 0.53
    axes = draw(content).axes[0]
    assert not [line for line in axes.lines if line.get_marker() == "*"]
    assert [line for line in axes.lines if line.get_linestyle() == ":"]


def test_a_curve_without_any_ratio(content: dict[str, Any]) -> None:
    for row in content["threshold_curve"]:
        row["val_net_sharpe"] = None
    content["threshold"] = None
    figure = draw(content)
    assert "never traded" in texts(figure)
    png_bytes(figure)
    content["threshold_curve"] = []
    assert "not measured" in texts(draw(content))
