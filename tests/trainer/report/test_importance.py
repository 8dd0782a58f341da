"""The importance figure shows the first features with every fold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from trainer.report.importance import IMPORTANCE
from trainer.report.page import Page
from trainer.report.plotting import png_bytes

Candidate = tuple[dict[str, Any], pd.DataFrame]


@pytest.fixture
def content(candidate: Candidate) -> dict[str, Any]:
    return candidate[0]


def draw(content: dict[str, Any]) -> Figure:
    return IMPORTANCE.draw(Page.from_json(content), pd.DataFrame())


def texts(figure: Figure) -> str:
    return " | ".join(t.get_text() for axes in figure.axes for t in axes.texts)


def test_importance_shows_the_first_twenty_and_every_fold(content: dict[str, Any]) -> None:
    (axes,) = draw(content).axes
    widths = [bar.get_width() for bar in axes.patches]
    np.testing.assert_allclose(widths, [3 - 0.1 * i for i in range(20)], rtol=1e-12)
    assert [t.get_text() for t in axes.get_yticklabels()] == [f"f_{i}" for i in range(20)]
    marks = [line.get_xydata() for line in axes.lines if line.get_marker() == "|"]
    np.testing.assert_allclose(marks[1], [[1.9, 1], [3.9, 1]], rtol=1e-12)
    assert axes.get_xlabel() == "fall of the ROC AUC, $10^{-3}$"
    assert axes.get_title("right") == "first 20 of 25 features"
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first one on top


@pytest.mark.parametrize("mean", [0.0, 0.5, -0.2])
def test_importance_of_any_size_has_a_scale(content: dict[str, Any], mean: float) -> None:
    content["importance"] = [{"feature": "a", "mean": mean, "std": 0.0, "folds": []}]
    figure = draw(content)
    (axes,) = figure.axes
    assert axes.patches[0].get_width() == mean
    assert axes.get_xlabel() == "fall of the ROC AUC"
    png_bytes(figure)


def test_importance_that_was_not_measured(content: dict[str, Any]) -> None:
    content["importance"] = []
    assert "not measured" in texts(draw(content))
