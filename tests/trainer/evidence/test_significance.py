"""Significance of one walk-forward: each value by hand, and NaN for one that never traded."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trainer.evidence.significance import significance
from trainer.statistics.costs import Costs, Terms
from trainer.statistics.performance import net_returns, sharpe

COSTS = Costs(2.0, 1.0)


def market(n: int = 3_000, edge: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    move = rng.normal(0, 0.01, n)
    held = np.repeat(rng.integers(-1, 2, n // 20), 20).astype(float)
    return held, move + edge * held


def test_values_follow_from_the_net_returns() -> None:
    held, move = market(edge=0.002)
    values = significance(held, move, Terms(COSTS, 252))
    net = net_returns(held, move, COSTS)
    assert values["net_sharpe_lower"] < sharpe(net, 252) < values["net_sharpe_upper"]
    assert values["net_sharpe_lower"] > 0
    assert values["psr"] > 0.99
    assert 2 < values["min_track_record"] < len(net)


def test_the_sum_of_net_returns_is_zero_at_the_break_even_costs() -> None:
    held, move = market(edge=0.002)
    bps = significance(held, move, Terms(COSTS, 252))["break_even_bps"]
    even = net_returns(held, move, Costs(bps, 0))
    assert even.sum() == pytest.approx(0, abs=1e-12)


def test_higher_costs_make_every_value_worse() -> None:
    held, move = market(edge=0.0006)
    cheap = significance(held, move, Terms(COSTS, 252))
    expensive = significance(held, move, Terms(Costs(20, 10), 252))
    for name in ("net_sharpe_lower", "net_sharpe_upper", "psr"):
        assert expensive[name] < cheap[name]
    assert expensive["min_track_record"] > cheap["min_track_record"]
    assert expensive["break_even_bps"] == cheap["break_even_bps"]


def test_noise_is_not_significant() -> None:
    held, move = market()
    values = significance(held, move, Terms(COSTS, 252))
    assert values["net_sharpe_lower"] < 0
    assert values["psr"] < 0.95


def test_all_values_of_positions_that_never_traded_are_undefined() -> None:
    _, move = market()
    values = significance(np.zeros(len(move)), move, Terms(COSTS, 252))
    assert all(map(math.isnan, values.values()))
