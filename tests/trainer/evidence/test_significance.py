"""Evidence of one walk-forward: each figure by hand, and nothing said of what never traded."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trainer.evidence.significance import evidence
from trainer.statistics.costs import Costs, Terms
from trainer.statistics.performance import net_returns, sharpe

COSTS = Costs(2.0, 1.0)


def market(n: int = 3_000, edge: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    move = rng.normal(0, 0.01, n)
    held = np.repeat(rng.integers(-1, 2, n // 20), 20).astype(float)
    return held, move + edge * held


def test_figures_belong_to_the_net_returns() -> None:
    held, move = market(edge=0.002)
    found = evidence(held, move, Terms(COSTS, 252))
    net = net_returns(held, move, COSTS)
    assert found["net_sharpe_lower"] < sharpe(net, 252) < found["net_sharpe_upper"]
    assert found["net_sharpe_lower"] > 0
    assert found["psr"] > 0.99
    assert 2 < found["min_track_record"] < len(net)


def test_nothing_is_earned_at_the_break_even_costs() -> None:
    held, move = market(edge=0.002)
    bps = evidence(held, move, Terms(COSTS, 252))["break_even_bps"]
    even = net_returns(held, move, Costs(bps, 0))
    assert even.sum() == pytest.approx(0, abs=1e-12)


def test_costs_lower_all_of_it() -> None:
    held, move = market(edge=0.0006)
    cheap = evidence(held, move, Terms(COSTS, 252))
    dear = evidence(held, move, Terms(Costs(20, 10), 252))
    for name in ("net_sharpe_lower", "net_sharpe_upper", "psr"):
        assert dear[name] < cheap[name]
    assert dear["min_track_record"] > cheap["min_track_record"]
    assert dear["break_even_bps"] == cheap["break_even_bps"]


def test_noise_is_not_believed() -> None:
    held, move = market()
    found = evidence(held, move, Terms(COSTS, 252))
    assert found["net_sharpe_lower"] < 0
    assert found["psr"] < 0.95


def test_of_what_never_traded_nothing_is_said() -> None:
    _, move = market()
    found = evidence(np.zeros(len(move)), move, Terms(COSTS, 252))
    assert all(map(math.isnan, found.values()))
