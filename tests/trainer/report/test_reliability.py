"""Points of the reliability figure are the bins of the evidence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from trainer.report.page import Page
from trainer.report.reliability import RELIABILITY

Candidate = tuple[dict[str, Any], pd.DataFrame]


@pytest.fixture
def content(candidate: Candidate) -> dict[str, Any]:
    return candidate[0]


def draw(content: dict[str, Any]) -> Figure:
    return RELIABILITY.draw(Page.from_json(content), pd.DataFrame())


def texts(figure: Figure) -> str:
    return " | ".join(t.get_text() for axes in figure.axes for t in axes.texts)


def test_reliability_points_errors_and_rows(content: dict[str, Any]) -> None:
    figure = draw(content)
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
    assert texts(figure) == "400 | 1,200"


def test_reliability_leaves_out_what_is_undefined_and_close_counts(
    content: dict[str, Any],
) -> None:
    content["reliability"] = [
        {"probability": p, "frequency": 0.5, "rows": 10} for p in (0.500, 0.501, 0.6)
    ] + [{"probability": None, "frequency": None, "rows": 0}]
    figure = draw(content)
    assert len(figure.axes[0].containers[0].lines[0].get_xdata()) == 3
    assert texts(figure) == ""  # 0.500 and 0.501 would be written over each other


def test_reliability_of_nothing(content: dict[str, Any]) -> None:
    content["reliability"] = []
    assert "not measured" in texts(draw(content))
