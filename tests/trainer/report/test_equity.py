"""Lines of the equity figure are the metrics of the walk-forward, on its bars."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.dates import num2date
from matplotlib.figure import Figure

from trainer.report.equity import EQUITY, MAX_POINTS, thin
from trainer.report.page import Page
from trainer.report.plotting import png_bytes
from trainer.statistics.costs import Costs
from trainer.statistics.performance import gross_returns, max_drawdown, net_returns, total_return

Candidate = tuple[dict[str, Any], pd.DataFrame]


def draw(content: dict[str, Any], series: pd.DataFrame) -> Figure:
    return EQUITY.draw(Page.from_json(content), series)


def lines(axes: Axes) -> dict[str, Any]:
    labelled = {str(line.get_label()): line for line in axes.lines}
    return {name: line for name, line in labelled.items() if not name.startswith("_")}


def texts(axes: Axes) -> str:
    return " | ".join([axes.get_title("left"), *(t.get_text() for t in axes.texts)])


def test_every_line_starts_at_one_and_ends_at_its_total_return(candidate: Candidate) -> None:
    content, series = candidate
    position, move = series["position"].to_numpy(), series["forward_return"].to_numpy()
    net = net_returns(position, move, Costs(1.0, 0.5))
    expected = {
        "net, after costs": net,
        "gross, before costs": gross_returns(position, move),
        "buy and hold": net_returns(np.ones(len(move)), move, Costs(1.0, 0.5)),
    }
    axes, below = draw(content, series).axes
    assert set(lines(axes)) == set(expected)
    for name, line in lines(axes).items():
        y = line.get_ydata()
        assert len(y) <= MAX_POINTS
        assert y[0] == 1.0
        assert y[-1] == pytest.approx(1 + total_return(expected[name]), rel=1e-12)
    fall = below.lines[0].get_ydata()
    assert fall.min() == pytest.approx(max_drawdown(net), rel=1e-12)
    assert f"deepest \N{MINUS SIGN}{-max_drawdown(net):.1%}" in texts(below)


def test_lines_lie_on_their_bars(candidate: Candidate) -> None:
    content, series = candidate
    few = series.iloc[:50]
    axes, _ = draw(content, few).axes
    line = lines(axes)["gross, before costs"]
    times = [pd.Timestamp(when) for when in num2date(line.get_xdata())]
    assert times == [few["timestamp"].iloc[0], *few["timestamp"]]
    moved = 1 + few["position"] * few["forward_return"]
    np.testing.assert_allclose(line.get_ydata()[1:], moved.cumprod(), rtol=1e-12)


def test_blocks_are_marked_where_they_start(candidate: Candidate) -> None:
    content, series = candidate
    content["blocks"][1]["n_trades"] = 0
    axes, below = draw(content, series).axes
    for panel in (axes, below):
        dotted = [line for line in panel.lines if line.get_linestyle() == ":"]
        starts = [num2date(line.get_xdata()[0]) for line in dotted]
        assert starts == [pd.Timestamp(block["first"]) for block in content["blocks"][1:]]
    assert "block 0 | block 1\nflat | block 2" in texts(axes)


def test_many_blocks_are_marked_without_texts(candidate: Candidate) -> None:
    content, series = candidate
    content["blocks"] = content["blocks"] * 5
    axes, _ = draw(content, series).axes
    assert "block" not in texts(axes)


def test_a_model_that_never_traded_has_no_line(flat_candidate: Candidate) -> None:
    content, series = flat_candidate
    axes, below = draw(content, series).axes
    assert set(lines(axes)) == {"buy and hold"}
    assert "never traded" in texts(below)
    assert all(line.get_linestyle() == ":" for line in below.lines)


def test_no_bars_are_not_measured(candidate: Candidate) -> None:
    content, series = candidate
    assert "not measured" in texts(draw(content, series.iloc[:0]).axes[0])


@pytest.mark.parametrize(("growth", "scale"), [(2.0, "linear"), (4.0, "log"), (0.2, "log")])
def test_log_scale_where_growth_spans_much(candidate: Candidate, growth: float, scale: str) -> None:
    content, series = candidate
    steady = growth ** (1 / len(series)) - 1
    axes, _ = draw(content, series.assign(position=1.0, forward_return=steady)).axes
    assert axes.get_yscale() == scale
    assert ("log" in axes.get_ylabel()) == (scale == "log")


def test_ruin_is_drawn_on_a_linear_scale(candidate: Candidate) -> None:
    content, series = candidate
    move = series["forward_return"].to_numpy().copy()
    move[2_000] = -1.0
    figure = draw(content, series.assign(position=1.0, forward_return=move))
    axes = figure.axes[0]
    assert axes.get_yscale() == "linear"
    assert lines(axes)["net, after costs"].get_ydata()[-1] == 0.0
    png_bytes(figure)


def test_names_at_the_ends_never_touch(candidate: Candidate) -> None:
    content, series = candidate
    figure = draw(content, series.assign(position=1.0))  # net is buy and hold
    named = [t for t in figure.axes[0].texts if "\N{MULTIPLICATION SIGN}" in t.get_text()]
    heights = sorted(t.get_position()[1] for t in named)
    assert len(heights) == 3
    assert np.diff(heights).min() >= 0.12 - 1e-12
    assert heights[-1] <= 0.97


@pytest.mark.parametrize("n", [1, 7, MAX_POINTS, MAX_POINTS + 1, 36_000])
def test_thinning_keeps_ends_extremes_and_the_deepest_fall(n: int) -> None:
    curve = np.exp(np.cumsum(np.random.default_rng(n).normal(0, 0.02, n)))
    kept = thin(curve)
    assert len(kept) <= MAX_POINTS
    assert (np.diff(kept) > 0).all()
    assert (kept[0], kept[-1]) == (0, n - 1)
    fall = curve / np.maximum.accumulate(curve)
    for extreme in (curve.argmin(), curve.argmax(), fall.argmin()):
        assert extreme in kept
    if n <= MAX_POINTS:
        assert len(kept) == n


def test_thinning_keeps_the_high_and_the_low_of_a_stretch() -> None:
    curve = np.ones(36_000)
    curve[[9_001, 20_003]] = 1.5, 0.7
    assert {9_001, 20_003} <= set(thin(curve))


def test_thinning_keeps_a_fall_that_is_not_the_low_of_its_stretch() -> None:
    curve = np.full(36_000, 3.0)
    curve[:100], curve[100], curve[115] = 1.0, 0.9, 1.2
    assert 115 in thin(curve)


@pytest.mark.parametrize("days", [3, 40, 400, 1_000, 1_506, 2_500, 7_000])
def test_any_span_of_time_has_readable_dates(candidate: Candidate, days: int) -> None:
    """Four years of hourly bars made matplotlib warn, and a warning is an error in the tests."""
    content, series = candidate
    offset = pd.to_timedelta(np.linspace(0, days, len(series)), unit="D")
    spread = pd.Timestamp("2020-02-10", tz="UTC") + offset
    figure = draw({**content, "blocks": []}, series.assign(timestamp=spread))
    png_bytes(figure)
    labels = [label.get_text() for label in figure.axes[1].get_xticklabels()]
    assert 3 <= len([label for label in labels if label]) <= 14
