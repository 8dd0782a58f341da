"""Bootstrap intervals: their coverage on dependent returns, and exact numbers of two of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trainer.errors import TrainerError
from trainer.statistics.bootstrap import block_length, sharpe_difference, sharpe_interval
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
    """The usual bootstrap, which draws single bars."""
    rng = np.random.default_rng(seed)
    drawn = returns[rng.integers(len(returns), size=(400, len(returns)))]
    return tuple(np.percentile(drawn.mean(axis=1) / drawn.std(axis=1, ddof=1), [2.5, 97.5]))


def test_on_a_dependent_series_the_independent_bootstrap_is_too_narrow_and_this_is_not() -> None:
    covered = {"stationary": 0, "independent": 0}
    rounds = 120
    for seed in range(rounds):
        returns = autoregressive(600, 0.6, seed)
        intervals = {
            "stationary": sharpe_interval(returns, 1.0, seed=seed, replications=300),
            "independent": independent_interval(returns, seed),
        }
        for name, (lower, upper) in intervals.items():
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


def plain_block_length(returns: np.ndarray) -> float:
    """Politis and White (2004), corrected (2009), for the stationary bootstrap, term by term."""
    n = len(returns)
    centred = returns - returns.mean()
    covariance = [sum(centred[k:] * centred[: n - k]) / n for k in range(n // 2)]
    # The first of five successive lags whose correlations are all within two standard errors.
    small = 2 * math.sqrt(math.log10(n) / n)
    lag = next(
        m
        for m in range(n // 2)
        if all(abs(covariance[m + k]) / covariance[0] < small for k in range(5))
    )
    window = 2 * max(lag, 1)
    flat_top = [min(1.0, 2 * (1 - k / window)) for k in range(window + 1)]
    g = sum(2 * flat_top[k] * k * covariance[k] for k in range(1, window + 1))
    spectrum = covariance[0] + sum(2 * flat_top[k] * covariance[k] for k in range(1, window + 1))
    return (2 * g**2 / (2 * spectrum**2)) ** (1 / 3) * n ** (1 / 3)


def plain_stationary_ratios(
    returns: np.ndarray, length: int, seed: int, replications: int
) -> list[float]:
    """Politis and Romano (1994), bar by bar: a new block begins with probability 1 / length."""
    rng = np.random.default_rng(seed)
    n, ratios = len(returns), []
    for _ in range(replications):
        begins, chance = rng.integers(n, size=n), rng.random(n)
        at, drawn = 0, []
        for bar in range(n):
            new_block = bar == 0 or chance[bar] <= 1 / length
            at = begins[bar] if new_block else (at + 1) % n
            drawn.append(returns[at])
        ratios.append(np.mean(drawn) / np.std(drawn, ddof=1))
    return ratios


@pytest.mark.parametrize(
    ("rho", "seed", "length", "interval"),
    [
        (0.6, 0, 10, (-0.196081408, 0.170628589)),
        (0.6, 2, 7, (-0.164244338, 0.102539290)),
        (0.3, 2, 4, (-0.099618305, 0.117837974)),
    ],
)
def test_block_length_and_interval_are_those_of_a_plain_stationary_bootstrap(
    rho: float, seed: int, length: int, interval: tuple[float, float]
) -> None:
    """The circular bootstrap, with blocks of one length, would need blocks of 12, 8 and 5 bars."""
    returns = autoregressive(400, rho, seed, mean=0.05)
    assert math.ceil(plain_block_length(returns)) == length
    assert block_length(returns[:, None]) == length
    ratios = plain_stationary_ratios(returns, length, seed=7, replications=200)
    lower, upper = np.percentile(ratios, [2.5, 97.5])
    computed = sharpe_interval(returns, 1.0, seed=7, replications=200)
    assert computed == pytest.approx((lower, upper), abs=1e-12)
    assert computed == pytest.approx(interval, abs=1e-9)


def test_the_longest_dependence_gives_the_block_length() -> None:
    short, long = autoregressive(600, 0.0, 1), autoregressive(600, 0.7, 2)
    both = block_length(np.column_stack([short, long]))
    assert both == block_length(long[:, None]) > block_length(short[:, None])
    # A constant column has no dependence, also if it is constant up to rounding only.
    almost = 0.001 + np.random.default_rng(3).normal(0, 1e-17, 600)
    assert block_length(np.column_stack([almost, long])) == both


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


def growth(rate: float, n: int = 500) -> np.ndarray:
    """Returns of a price that grows by the same rate in every bar: equal up to rounding."""
    price = 100 * (1 + rate) ** np.arange(n + 1)
    returns = price[1:] / price[:-1] - 1
    assert returns.min() < returns.max()
    return returns


def test_a_series_that_is_constant_up_to_rounding_counts_as_constant() -> None:
    earning, flat = autoregressive(500, 0.0, 1, mean=0.2), np.zeros(500)
    constant = growth(1e-3)
    assert sharpe_difference(earning, constant, 252, seed=2) == sharpe_difference(
        earning, flat, 252, seed=2
    )
    rounded = constant + np.random.default_rng(0).normal(0, 1e-17, 500)
    assert (rounded != constant).any()
    assert sharpe_difference(rounded, constant, 252, seed=2) == (0.0, 0.0, 0.0, 1.0)
    assert all(map(math.isnan, sharpe_difference(constant, flat, 252, seed=2)))


@pytest.mark.parametrize(
    "returns",
    [[], [0.1] * 9, np.zeros(100), growth(1e-3), growth(-2e-5)],
    ids=["none", "nine", "zero", "growth", "decay"],
)
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
