"""Bootstrap intervals: as wide as dependence makes them, right as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trainer.errors import TrainerError
from trainer.statistics.bootstrap import sharpe_difference, sharpe_interval
from trainer.statistics.performance import sharpe


def autoregressive(n: int, rho: float, seed: int, mean: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=n)
    out = np.empty(n)
    out[0] = noise[0] / math.sqrt(1 - rho**2)
    for i in range(1, n):
        out[i] = rho * out[i - 1] + noise[i]
    return 0.01 * (out + mean)


def independent_interval(returns: np.ndarray, seed: int) -> tuple[float, float]:
    """The usual bootstrap, which takes every bar for a draw of its own."""
    rng = np.random.default_rng(seed)
    drawn = returns[rng.integers(len(returns), size=(400, len(returns)))]
    return tuple(np.percentile(drawn.mean(axis=1) / drawn.std(axis=1, ddof=1), [2.5, 97.5]))


def test_on_a_dependent_series_the_independent_bootstrap_is_too_narrow_and_this_is_not() -> None:
    covered = {"stationary": 0, "independent": 0}
    rounds = 120
    for seed in range(rounds):
        returns = autoregressive(600, 0.6, seed)
        found = {
            "stationary": sharpe_interval(returns, 1.0, seed=seed, replications=300),
            "independent": independent_interval(returns, seed),
        }
        for name, (lower, upper) in found.items():
            covered[name] += lower <= 0.0 <= upper  # the true ratio
    assert covered["independent"] < 0.8 * rounds
    assert covered["stationary"] > 0.85 * rounds


def test_on_independent_returns_it_is_the_textbook_interval() -> None:
    returns = np.random.default_rng(0).normal(0.0005, 0.01, 4_000)
    lower, upper = sharpe_interval(returns, 252, seed=1)
    ratio = returns.mean() / returns.std(ddof=1) * math.sqrt(252)
    error = math.sqrt(252 / 4_000)
    assert lower == pytest.approx(ratio - 1.96 * error, abs=0.2 * error)
    assert upper == pytest.approx(ratio + 1.96 * error, abs=0.2 * error)


def test_equal_seeds_give_equal_intervals_and_levels_nest() -> None:
    returns = autoregressive(500, 0.2, 3, mean=0.05)
    wide = sharpe_interval(returns, 252, seed=7)
    assert wide == sharpe_interval(returns, 252, seed=7)
    assert wide != sharpe_interval(returns, 252, seed=8)
    narrow = sharpe_interval(returns, 252, seed=7, level=0.5)
    assert wide.lower < narrow.lower < narrow.upper < wide.upper


def test_a_difference_is_narrower_where_both_move_together() -> None:
    rng = np.random.default_rng(5)
    market = rng.normal(0, 0.01, 2_000)
    better = market + 0.0004 + rng.normal(0, 0.001, 2_000)
    together = sharpe_difference(better, market, 252, seed=1, replications=400)
    apart = sharpe_difference(better, rng.permutation(market), 252, seed=1, replications=400)
    assert together.lower > 0
    assert together.upper - together.lower < 0.3 * (apart.upper - apart.lower)
    mirrored = sharpe_difference(market, better, 252, seed=1, replications=400)
    assert mirrored[:3] == pytest.approx((-together.observed, -together.upper, -together.lower))
    assert together.observed == pytest.approx(sharpe(better, 252) - sharpe(market, 252))
    assert (together.at_least, mirrored.at_least) == (1.0, 0.0)


def test_a_series_that_never_traded_counts_as_zero() -> None:
    earning = autoregressive(1_000, 0.0, 1, mean=0.2)
    flat = np.zeros(1_000)
    against = sharpe_difference(earning, flat, 252, seed=2)
    assert against[1:3] == pytest.approx(sharpe_interval(earning, 252, seed=2), rel=0.2)
    assert 0.9 < against.at_least <= 1
    assert sharpe_difference(flat, flat, 252, seed=2) == (0.0, 0.0, 0.0, 1.0)
    assert all(map(math.isnan, sharpe_difference(flat[:9], flat[:9], 252, seed=2)))


@pytest.mark.parametrize("returns", [[], [0.1] * 9, np.zeros(100)])
def test_nothing_to_resample_is_nan(returns: list[float]) -> None:
    assert all(map(math.isnan, sharpe_interval(returns, 252, seed=0)))


def test_bad_arguments_are_refused() -> None:
    fine = autoregressive(50, 0.0, 0)
    with pytest.raises(TrainerError, match="one finite number a bar"):
        sharpe_interval([math.nan] * 50, 252, seed=0)
    with pytest.raises(TrainerError, match="one finite number a bar"):
        sharpe_interval(np.ones((50, 2)), 252, seed=0)
    with pytest.raises(TrainerError, match="`level` must be between 0 and 1, got 1"):
        sharpe_interval(fine, 252, seed=0, level=1)
    with pytest.raises(TrainerError, match="of the same bars, got 50 and 49"):
        sharpe_difference(fine, fine[1:], 252, seed=0)
