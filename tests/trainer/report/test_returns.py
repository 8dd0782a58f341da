"""Lines of the equity and cost figures are the metrics; of nothing, nothing is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.dates import num2date

from trainer.report.plotting import png
from trainer.report.returns import MAX_POINTS, costs, equity, thin
from trainer.statistics.costs import Costs
from trainer.statistics.performance import gross_returns, max_drawdown, net_returns, total_return

Candidate = tuple[dict[str, Any], pd.DataFrame]


def lines(axes: Axes) -> dict[str, Any]:
    found = {str(line.get_label()): line for line in axes.lines}
    return {name: line for name, line in found.items() if not name.startswith("_")}


def said(axes: Axes) -> str:
    return " | ".join([axes.get_title("left"), *(t.get_text() for t in axes.texts)])


def test_every_line_starts_at_one_and_ends_at_its_total_return(candidate: Candidate) -> None:
    evidence, series = candidate
    held, move = series["position"].to_numpy(), series["forward_return"].to_numpy()
    net = net_returns(held, move, Costs(1.0, 0.5))
    expected = {
        "net, after costs": net,
        "gross, before costs": gross_returns(held, move),
        "buy and hold": net_returns(np.ones(len(move)), move, Costs(1.0, 0.5)),
    }
    axes, below = equity(evidence, series).axes
    assert set(lines(axes)) == set(expected)
    for name, line in lines(axes).items():
        y = line.get_ydata()
        assert len(y) <= MAX_POINTS
        assert y[0] == 1.0
        assert y[-1] == pytest.approx(1 + total_return(expected[name]), rel=1e-12)
    fall = below.lines[0].get_ydata()
    assert fall.min() == pytest.approx(max_drawdown(net), rel=1e-12)
    assert f"deepest \N{MINUS SIGN}{-max_drawdown(net):.1%}" in said(below)


def test_lines_lie_on_their_bars(candidate: Candidate) -> None:
    evidence, series = candidate
    few = series.iloc[:50]
    axes, _ = equity(evidence, few).axes
    line = lines(axes)["gross, before costs"]
    times = [pd.Timestamp(when) for when in num2date(line.get_xdata())]
    assert times == [few["timestamp"].iloc[0], *few["timestamp"]]
    moved = 1 + few["position"] * few["forward_return"]
    np.testing.assert_allclose(line.get_ydata()[1:], moved.cumprod(), rtol=1e-12)


def test_blocks_are_marked_where_they_start(candidate: Candidate) -> None:
    evidence, series = candidate
    evidence["blocks"][1]["n_trades"] = 0
    axes, below = equity(evidence, series).axes
    for panel in (axes, below):
        dotted = [line for line in panel.lines if line.get_linestyle() == ":"]
        starts = [num2date(line.get_xdata()[0]) for line in dotted]
        assert starts == [pd.Timestamp(block["first"]) for block in evidence["blocks"][1:]]
    assert "block 0 | block 1\nflat | block 2" in said(axes)


def test_many_blocks_are_marked_without_words(candidate: Candidate) -> None:
    evidence, series = candidate
    evidence["blocks"] = evidence["blocks"] * 5
    axes, _ = equity(evidence, series).axes
    assert "block" not in said(axes)


def test_a_model_that_never_traded_has_no_line(flat_candidate: Candidate) -> None:
    evidence, series = flat_candidate
    axes, below = equity(evidence, series).axes
    assert set(lines(axes)) == {"buy and hold"}
    assert "never traded" in said(below)
    assert all(line.get_linestyle() == ":" for line in below.lines)


def test_no_bars_are_not_measured(candidate: Candidate) -> None:
    evidence, series = candidate
    assert "not measured" in said(equity(evidence, series.iloc[:0]).axes[0])


@pytest.mark.parametrize(("growth", "scale"), [(2.0, "linear"), (4.0, "log"), (0.2, "log")])
def test_log_scale_where_growth_spans_much(candidate: Candidate, growth: float, scale: str) -> None:
    evidence, series = candidate
    steady = growth ** (1 / len(series)) - 1
    axes, _ = equity(evidence, series.assign(position=1.0, forward_return=steady)).axes
    assert axes.get_yscale() == scale
    assert ("log" in axes.get_ylabel()) == (scale == "log")


def test_ruin_is_drawn_on_a_linear_scale(candidate: Candidate) -> None:
    evidence, series = candidate
    move = series["forward_return"].to_numpy().copy()
    move[2_000] = -1.0
    figure = equity(evidence, series.assign(position=1.0, forward_return=move))
    axes = figure.axes[0]
    assert axes.get_yscale() == "linear"
    assert lines(axes)["net, after costs"].get_ydata()[-1] == 0.0
    png(figure)


def test_names_at_the_ends_never_touch(candidate: Candidate) -> None:
    evidence, series = candidate
    figure = equity(evidence, series.assign(position=1.0))  # net is buy and hold
    named = [t for t in figure.axes[0].texts if "\N{MULTIPLICATION SIGN}" in t.get_text()]
    heights = sorted(t.get_position()[1] for t in named)
    assert len(heights) == 3
    assert np.diff(heights).min() >= 0.12 - 1e-12
    assert heights[-1] <= 0.97


@pytest.mark.parametrize("n", [1, 7, MAX_POINTS, MAX_POINTS + 1, 36_000])
def test_thinning_keeps_ends_extremes_and_the_deepest_fall(n: int) -> None:
    curve = np.exp(np.cumsum(np.random.default_rng(n).normal(0, 0.02, n)))
    shown = thin(curve)
    assert len(shown) <= MAX_POINTS
    assert (np.diff(shown) > 0).all()
    assert (shown[0], shown[-1]) == (0, n - 1)
    fall = curve / np.maximum.accumulate(curve)
    for extreme in (curve.argmin(), curve.argmax(), fall.argmin()):
        assert extreme in shown
    if n <= MAX_POINTS:
        assert len(shown) == n


def test_thinning_keeps_the_high_and_the_low_of_a_stretch() -> None:
    curve = np.ones(36_000)
    curve[[9_001, 20_003]] = 1.5, 0.7
    assert {9_001, 20_003} <= set(thin(curve))


def test_thinning_keeps_a_fall_that_is_not_the_low_of_its_stretch() -> None:
    curve = np.full(36_000, 3.0)
    curve[:100], curve[100], curve[115] = 1.0, 0.9, 1.2
    assert 115 in thin(curve)


def test_costs_are_the_stress_test_and_its_break_even(candidate: Candidate) -> None:
    evidence, _ = candidate
    (axes,) = costs(evidence).axes
    line = axes.lines[1]
    np.testing.assert_array_equal(line.get_xdata(), [0, 1, 2, 3])
    np.testing.assert_array_equal(line.get_ydata(), [2, 1, 0, -1])
    diamond = axes.lines[2]
    assert (float(diamond.get_xdata()[0]), float(diamond.get_ydata()[0])) == (2.0, 0.0)
    assert "diamond: break-even at 3.0 bps a side, 2\N{MULTIPLICATION SIGN}" in said(axes)


@pytest.mark.parametrize(
    ("even", "text"),
    [(None, "undefined"), (-2.0, "none, it loses before costs"), (40.0, "40.0 bps a side")],
)
def test_a_break_even_out_of_view_is_said_and_not_drawn(
    candidate: Candidate, even: float | None, text: str
) -> None:
    evidence, _ = candidate
    evidence["metrics"]["break_even_bps"] = even
    (axes,) = costs(evidence).axes
    assert len(axes.lines) == 2
    assert text in said(axes)
    assert "diamond" not in said(axes)


def test_without_costs_there_are_no_multiples_of_them(candidate: Candidate) -> None:
    evidence, _ = candidate
    evidence |= {"fee_bps": 0.0, "slippage_bps": 0.0}
    png(costs(evidence))


def test_costs_of_no_trade(flat_candidate: Candidate) -> None:
    assert said(costs(flat_candidate[0]).axes[0]).endswith("never traded")


@pytest.mark.parametrize("days", [3, 40, 400, 1_000, 1_506, 2_500, 7_000])
def test_any_span_of_time_has_readable_dates(candidate: Candidate, days: int) -> None:
    """Four years at hourly bars made matplotlib warn, and a warning is an error here."""
    evidence, series = candidate
    offset = pd.to_timedelta(np.linspace(0, days, len(series)), unit="D")
    spread = pd.Timestamp("2020-02-10", tz="UTC") + offset
    figure = equity({**evidence, "blocks": []}, series.assign(timestamp=spread))
    png(figure)
    labels = [label.get_text() for label in figure.axes[1].get_xticklabels()]
    assert 3 <= len([label for label in labels if label]) <= 14
