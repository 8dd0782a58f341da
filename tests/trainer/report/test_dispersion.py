"""Each block, path and fold is a point of its group."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from trainer.report.dispersion import DISPERSION
from trainer.report.page import Page

Candidate = tuple[dict[str, Any], pd.DataFrame]


@pytest.fixture
def content(candidate: Candidate) -> dict[str, Any]:
    return candidate[0]


def draw(content: dict[str, Any]) -> Figure:
    return DISPERSION.draw(Page.from_json(content), pd.DataFrame())


def texts(figure: Figure) -> str:
    of_figures = [t for holder in (figure, *figure.axes) for t in holder.texts]
    titles = [axes.get_title("left") for axes in figure.axes]
    return " | ".join([*(t.get_text() for t in of_figures), *titles])


def test_every_piece_is_a_point_of_its_group(content: dict[str, Any]) -> None:
    figure = draw(content)
    marks = [{line.get_marker(): line.get_xydata() for line in axes.lines} for axes in figure.axes]
    blocks, paths, folds = marks
    np.testing.assert_array_equal(blocks["o"], [[0, -0.5], [1, 0.5], [2, 1.5]])
    np.testing.assert_array_equal(paths["D"], [[0, 0.5], [1, 1.0], [3, 1.5], [4, 2.0]])
    np.testing.assert_array_equal(paths["x"], [[2, 0.0]])
    np.testing.assert_array_equal(folds["s"], [[0, 0.5], [1, 0.5], [2, 0.5]])
    assert "selection folds (val_)\nchose the threshold" in texts(figure)
    assert "undefined, no trade" in texts(figure)


def test_the_headline_and_its_interval_lie_behind_the_blocks_only(
    content: dict[str, Any],
) -> None:
    figure = draw(content)
    blocks, *others = figure.axes
    assert [1.25, 1.25] in [list(line.get_ydata()) for line in blocks.lines]
    (band,) = blocks.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == (-0.5, 3.0)
    assert not any(axes.patches for axes in others)
    assert "headline 1.25; band: its 95 % interval, \N{MINUS SIGN}0.50 to 3.00" in texts(figure)


def test_a_group_that_was_not_measured_is_left_out(content: dict[str, Any]) -> None:
    content |= {"cpcv_net_sharpe": [], "blocks": []}
    figure = draw(content)
    assert len(figure.axes) == 1
    assert "headline" not in texts(figure)


def test_no_piece_that_traded(flat_candidate: Candidate) -> None:
    assert "never traded" in texts(draw(flat_candidate[0]))
