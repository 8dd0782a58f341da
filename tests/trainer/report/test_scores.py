"""Marks of reliability, threshold and importance figures stand where the evidence says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from trainer.report.plotting import png
from trainer.report.scores import importance, reliability, thresholds

Candidate = tuple[dict[str, Any], pd.DataFrame]


@pytest.fixture
def evidence(candidate: Candidate) -> dict[str, Any]:
    return candidate[0]


def said(figure: Figure) -> str:
    return " | ".join(t.get_text() for axes in figure.axes for t in axes.texts)


def legend(figure: Figure) -> list[str]:
    return [t.get_text() for t in figure.axes[0].get_legend().get_texts()]


def test_reliability_points_errors_and_rows(evidence: dict[str, Any]) -> None:
    figure = reliability(evidence)
    axes, below = figure.axes
    (points,) = axes.containers
    np.testing.assert_array_equal(points.lines[0].get_xydata(), [[0.45, 0.5], [0.55, 0.6]])
    error = [(segment[1, 1] - segment[0, 1]) / 2 for segment in points.lines[2][0].get_segments()]
    expected = [2 * np.sqrt(0.45 * 0.55 / (rows / 12)) for rows in (400, 1_200)]
    np.testing.assert_allclose(error, expected, rtol=1e-12)
    diagonal = axes.lines[0]
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    bars = [segment[:, 1].tolist() for segment in below.collections[0].get_segments()]
    assert bars == [[0, 400], [0, 1_200]]
    assert said(figure) == "400 | 1,200"


def test_reliability_leaves_out_what_is_undefined_and_close_counts(
    evidence: dict[str, Any],
) -> None:
    evidence["reliability"] = [
        {"probability": p, "frequency": 0.5, "rows": 10} for p in (0.500, 0.501, 0.6)
    ] + [{"probability": None, "frequency": None, "rows": 0}]
    figure = reliability(evidence)
    assert len(figure.axes[0].containers[0].lines[0].get_xdata()) == 3
    assert said(figure) == ""  # 0.500 and 0.501 would be written over each other


def test_reliability_of_nothing(evidence: dict[str, Any]) -> None:
    evidence["reliability"] = []
    assert "not measured" in said(reliability(evidence))


def test_the_chosen_threshold_is_the_point_of_the_curve(evidence: dict[str, Any]) -> None:
    figure = thresholds(evidence)
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


def test_thresholds_of_too_few_trades_look_different(evidence: dict[str, Any]) -> None:
    axes = thresholds(evidence).axes[0]
    hollow = {line.get_label(): line for line in axes.lines}["under 30 trades"]
    assert list(hollow.get_xdata()) == [0.55, 0.60]
    assert hollow.get_markerfacecolor() == "white"


def test_not_to_trade_is_drawn_as_the_choice(evidence: dict[str, Any]) -> None:
    evidence["threshold"] = None
    figure = thresholds(evidence)
    assert "do not trade: 0 (chosen)" in legend(figure)
    assert not [line for line in figure.axes[0].lines if line.get_marker() == "*"]


def test_a_choice_that_is_not_on_the_curve_gets_no_ratio(evidence: dict[str, Any]) -> None:
    evidence["threshold"] = 0.53
    axes = thresholds(evidence).axes[0]
    assert not [line for line in axes.lines if line.get_marker() == "*"]
    assert [line for line in axes.lines if line.get_linestyle() == ":"]


def test_a_curve_without_any_ratio(evidence: dict[str, Any]) -> None:
    for row in evidence["threshold_curve"]:
        row["val_net_sharpe"] = None
    evidence["threshold"] = None
    figure = thresholds(evidence)
    assert "never traded" in said(figure)
    png(figure)
    evidence["threshold_curve"] = []
    assert "not measured" in said(thresholds(evidence))


def test_importance_shows_the_first_twenty_and_every_fold(evidence: dict[str, Any]) -> None:
    (axes,) = importance(evidence).axes
    widths = [bar.get_width() for bar in axes.patches]
    np.testing.assert_allclose(widths, [3 - 0.1 * i for i in range(20)], rtol=1e-12)
    assert [t.get_text() for t in axes.get_yticklabels()] == [f"f_{i}" for i in range(20)]
    marks = [line.get_xydata() for line in axes.lines if line.get_marker() == "|"]
    np.testing.assert_allclose(marks[1], [[1.9, 1], [3.9, 1]], rtol=1e-12)
    assert axes.get_xlabel() == "fall of the ROC AUC, $10^{-3}$"
    assert axes.get_title("right") == "first 20 of 25 features"
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first one on top


@pytest.mark.parametrize("mean", [0.0, 0.5, -0.2])
def test_importance_of_any_size_has_a_scale(evidence: dict[str, Any], mean: float) -> None:
    evidence["importance"] = [{"feature": "a", "mean": mean, "std": 0.0, "folds": []}]
    figure = importance(evidence)
    (axes,) = figure.axes
    assert axes.patches[0].get_width() == mean
    assert axes.get_xlabel() == "fall of the ROC AUC"
    png(figure)


def test_importance_that_was_not_measured(evidence: dict[str, Any]) -> None:
    evidence["importance"] = []
    assert "not measured" in said(importance(evidence))
