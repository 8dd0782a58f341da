"""Each regime is a pair of bars."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from trainer.report.page import Page
from trainer.report.regimes import REGIMES

Candidate = tuple[dict[str, Any], pd.DataFrame]


@pytest.fixture
def content(candidate: Candidate) -> dict[str, Any]:
    return candidate[0]


def draw(content: dict[str, Any]) -> Figure:
    return REGIMES.draw(Page.from_json(content), pd.DataFrame())


def texts(figure: Figure) -> str:
    of_figures = [t for holder in (figure, *figure.axes) for t in holder.texts]
    titles = [axes.get_title("left") for axes in figure.axes]
    return " | ".join([*(t.get_text() for t in of_figures), *titles])


def test_regimes_are_pairs_of_bars(content: dict[str, Any]) -> None:
    (axes,) = draw(content).axes
    net, hold = axes.containers
    assert [bar.get_width() for bar in net] == [1.0, 2.0]
    assert [bar.get_width() for bar in hold] == [-0.25, -0.25]
    assert {bar.get_hatch() for bar in hold} == {"////"}
    assert not {bar.get_hatch() for bar in net} & {"////"}
    labels = [t.get_text() for t in axes.get_yticklabels()]
    assert labels == ["low volatility\n1,000 bars, 66 trades", "2023\n1,001 bars, 66 trades"]
    assert np.diff(axes.get_yticks()) == [1.5]  # space between kinds


def test_a_regime_without_trades_has_a_text(flat_candidate: Candidate) -> None:
    content, _ = flat_candidate
    assert texts(draw(content)).count("no trade") == 2
    content["regimes"] = []
    assert "not measured" in texts(draw(content))
