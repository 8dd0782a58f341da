"""Pieces, null runs and regimes are drawn where they are, and what is undefined is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from trainer.report.plotting import png
from trainer.report.spread import dispersion, null, regimes

Candidate = tuple[dict[str, Any], pd.DataFrame]


@pytest.fixture
def evidence(candidate: Candidate) -> dict[str, Any]:
    return candidate[0]


def said(figure: Figure) -> str:
    texts = [t for holder in (figure, *figure.axes) for t in holder.texts]
    titles = [axes.get_title("left") for axes in figure.axes]
    return " | ".join([*(t.get_text() for t in texts), *titles])


def test_every_piece_is_a_point_of_its_group(evidence: dict[str, Any]) -> None:
    figure = dispersion(evidence)
    marks = [{line.get_marker(): line.get_xydata() for line in axes.lines} for axes in figure.axes]
    blocks, paths, folds = marks
    np.testing.assert_array_equal(blocks["o"], [[0, -0.5], [1, 0.5], [2, 1.5]])
    np.testing.assert_array_equal(paths["D"], [[0, 0.5], [1, 1.0], [3, 1.5], [4, 2.0]])
    np.testing.assert_array_equal(paths["x"], [[2, 0.0]])
    np.testing.assert_array_equal(folds["s"], [[0, 0.5], [1, 0.5], [2, 0.5]])
    assert "selection folds (val_)\nchose the threshold" in said(figure)
    assert "undefined, no trade" in said(figure)


def test_the_headline_and_its_interval_lie_behind_the_blocks_only(
    evidence: dict[str, Any],
) -> None:
    figure = dispersion(evidence)
    blocks, *others = figure.axes
    assert [1.25, 1.25] in [list(line.get_ydata()) for line in blocks.lines]
    (band,) = blocks.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == (-0.5, 3.0)
    assert not any(axes.patches for axes in others)
    assert "headline 1.25; band: its 95 % interval, \N{MINUS SIGN}0.50 to 3.00" in said(figure)


def test_a_group_that_was_not_measured_is_left_out(evidence: dict[str, Any]) -> None:
    evidence |= {"cpcv_net_sharpe": [], "blocks": []}
    figure = dispersion(evidence)
    assert len(figure.axes) == 1
    assert "headline" not in said(figure)


def test_no_piece_that_traded(flat_candidate: Candidate) -> None:
    assert "never traded" in said(dispersion(flat_candidate[0]))


def test_null_runs_are_counted_and_the_headline_stands_among_them(
    evidence: dict[str, Any],
) -> None:
    figure = null(evidence)
    (axes,) = figure.axes
    assert sum(bar.get_height() for bar in axes.patches) == 4
    assert [1.25, 1.25] in [list(line.get_xdata()) for line in axes.lines]
    assert "headline 1.25, above 3 of 4 null runs (75%); 1 never traded" in said(figure)


def test_a_headline_that_ties_with_a_null_run_is_not_above_it(evidence: dict[str, Any]) -> None:
    evidence["metrics"]["net_sharpe"] = 1.0
    assert "above 2 of 4" in said(null(evidence))


def test_null_runs_of_one_value_or_none(evidence: dict[str, Any]) -> None:
    evidence["null_net_sharpe"] = [0.5]
    png(null(evidence))
    evidence["null_net_sharpe"] = [None, None]
    assert "never traded in any null run" in said(null(evidence))
    evidence["null_net_sharpe"] = [0.5]
    evidence["metrics"] |= {"net_sharpe": None, "n_trades": 0}
    figure = null(evidence)
    assert "headline: never traded; 1 null runs" in said(figure)
    assert len(figure.axes[0].lines) == 1


def test_regimes_are_pairs_of_bars(evidence: dict[str, Any]) -> None:
    (axes,) = regimes(evidence).axes
    net, hold = axes.containers
    assert [bar.get_width() for bar in net] == [1.0, 2.0]
    assert [bar.get_width() for bar in hold] == [-0.25, -0.25]
    assert {bar.get_hatch() for bar in hold} == {"////"}
    assert not {bar.get_hatch() for bar in net} & {"////"}
    labels = [t.get_text() for t in axes.get_yticklabels()]
    assert labels == ["low volatility\n1,000 bars, 66 trades", "2023\n1,001 bars, 66 trades"]
    assert np.diff(axes.get_yticks()) == [1.5]  # air between kinds


def test_a_regime_without_trades_says_so(flat_candidate: Candidate) -> None:
    evidence, _ = flat_candidate
    assert said(regimes(evidence)).count("no trade") == 2
    evidence["regimes"] = []
    assert "not measured" in said(regimes(evidence))
