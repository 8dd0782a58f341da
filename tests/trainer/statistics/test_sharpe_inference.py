"""Sharpe inference against published figures and against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from trainer.errors import TrainerError
from trainer.statistics.sharpe_inference import (
    Moments,
    annual_factor,
    deflated_sharpe,
    expected_maximum_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
)

#: Bailey and Lopez de Prado (2014), numerical example: 2.5 a year over five years of days.
EXAMPLE = Moments(2.5 / math.sqrt(250), -3.0, 10.0, 1250)
VARIANCE = 1 / 500


def test_the_published_deflated_sharpe_ratio() -> None:
    assert expected_maximum_sharpe(100, VARIANCE) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(EXAMPLE, 100, VARIANCE) == pytest.approx(0.9004, abs=5e-5)
    assert deflated_sharpe(EXAMPLE, 46, VARIANCE) == pytest.approx(0.9505, abs=5e-5)
    normal = Moments(EXAMPLE.sharpe, 0.0, 3.0, 1250)
    assert deflated_sharpe(normal, 88, VARIANCE) == pytest.approx(0.95, abs=1e-3)


def test_the_published_minimum_track_records() -> None:
    monthly = Moments(2 / math.sqrt(12), -0.72, 5.78, 60)
    assert minimum_track_record(monthly, 1 / math.sqrt(12)) == pytest.approx(59.895, abs=5e-4)
    daily = Moments(2 / math.sqrt(250), 0.0, 3.0, 1_000)
    years = minimum_track_record(daily, 1 / math.sqrt(250)) / 250
    assert years == pytest.approx(2.73, abs=5e-3)


def test_moments_are_those_of_scipy() -> None:
    returns = np.random.default_rng(0).standard_t(5, 5_000) * 0.01 + 0.001
    moments = Moments.of(returns)
    assert moments.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1))
    assert moments.skew == pytest.approx(stats.skew(returns))
    assert moments.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False))
    assert moments.n == 5_000


def test_the_probability_is_right_as_often_as_it_says() -> None:
    """Of skilless series, one in ten has a PSR above 0.9: skewed returns included."""
    rng = np.random.default_rng(1)
    for draw in (rng.normal, lambda size: rng.exponential(size=size) - 1):
        series = draw(size=(4_000, 250))
        values = [probabilistic_sharpe(Moments.of(row)) for row in series]
        assert np.mean(np.array(values) > 0.9) == pytest.approx(0.1, abs=0.025)


def test_the_luckiest_of_many_is_where_it_is_expected() -> None:
    rng = np.random.default_rng(2)
    for trials in (5, 50, 500):
        best = rng.normal(0, 0.03, (4_000, trials)).max(axis=1).mean()
        assert expected_maximum_sharpe(trials, 0.03**2) == pytest.approx(best, rel=0.04)
    assert expected_maximum_sharpe(1, 0.03**2) == 0.0


def test_the_mean_of_the_trials_moves_the_luckiest_one() -> None:
    """By hand, with the normal quantiles of a table: 10 trials, deviation 0.04, mean -0.05.

    ``(1 - gamma) z(1 - 1/10) + gamma z(1 - 1/(10 e)) = 0.42278 x 1.28155 + 0.57722 x 1.78920``
    is 1.57458, so the luckiest ratio is ``-0.05 + 0.04 x 1.57458 = 0.01298``.
    """
    assert expected_maximum_sharpe(10, 0.04**2, -0.05) == pytest.approx(0.01298, abs=1e-5)
    assert expected_maximum_sharpe(10, 0.04**2) == pytest.approx(0.06298, abs=1e-5)
    # PSR of an observed 0.1 over 101 periods of normal returns against 0.01298:
    # (0.1 - 0.01298) x sqrt(100) / sqrt(1 + 0.1^2 / 2) = 0.86803, and N(0.86803) = 0.80731.
    moments = Moments(0.1, 0.0, 3.0, 101)
    assert deflated_sharpe(moments, 10, 0.04**2, -0.05) == pytest.approx(0.80731, abs=1e-4)
    assert deflated_sharpe(moments, 10, 0.04**2, 0.05) < deflated_sharpe(moments, 10, 0.04**2)
    rng = np.random.default_rng(3)
    best = rng.normal(-0.05, 0.03, (4_000, 50)).max(axis=1).mean()
    assert expected_maximum_sharpe(50, 0.03**2, -0.05) == pytest.approx(best, rel=0.15)


def test_more_trials_and_less_data_prove_less() -> None:
    values = [deflated_sharpe(EXAMPLE, n, VARIANCE) for n in (1, 2, 10, 100, 1_000)]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 5
    shorter = Moments(EXAMPLE.sharpe, EXAMPLE.skew, EXAMPLE.kurtosis, 600)
    assert probabilistic_sharpe(shorter) < probabilistic_sharpe(EXAMPLE)


def test_a_record_of_the_minimum_length_is_just_long_enough() -> None:
    needed = minimum_track_record(EXAMPLE, 0.05)
    just = Moments(EXAMPLE.sharpe, EXAMPLE.skew, EXAMPLE.kurtosis, math.ceil(needed))
    short = Moments(EXAMPLE.sharpe, EXAMPLE.skew, EXAMPLE.kurtosis, math.floor(needed))
    assert probabilistic_sharpe(just, 0.05) >= 0.95 > probabilistic_sharpe(short, 0.05)


def growth(rate: float) -> np.ndarray:
    """Returns of a price that grows by the same rate in every bar: equal up to rounding."""
    price = 100 * (1 + rate) ** np.arange(501)
    returns = price[1:] / price[:-1] - 1
    assert returns.min() < returns.max()
    return returns


@pytest.mark.parametrize(
    "returns",
    [[], [0.1], [0.1, 0.2], [0.1] * 50, np.zeros(50), growth(1e-3), growth(-2e-5)],
    ids=["none", "one", "two", "constant", "zero", "growth", "decay"],
)
def test_what_has_no_ratio_is_nan_everywhere(returns: list[float]) -> None:
    moments = Moments.of(returns)
    assert math.isnan(moments.sharpe)
    assert math.isnan(probabilistic_sharpe(moments))
    assert math.isnan(deflated_sharpe(moments, 10, 0.01))
    assert math.isnan(minimum_track_record(moments))


def test_a_ratio_below_the_benchmark_never_gets_there() -> None:
    assert minimum_track_record(EXAMPLE, EXAMPLE.sharpe) == math.inf


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(TrainerError, match="`returns` must be finite"):
        Moments.of([0.1, np.nan, 0.2])
    with pytest.raises(TrainerError, match="`n_trials` must be >= 1 and `variance` >= 0, got 0"):
        expected_maximum_sharpe(0, 0.1)
    with pytest.raises(TrainerError, match=r"got 2 and -0\.1"):
        expected_maximum_sharpe(2, -0.1)
    with pytest.raises(TrainerError, match=r"`confidence` must be between 0\.5 and 1, got 1"):
        minimum_track_record(EXAMPLE, confidence=1)


@pytest.mark.parametrize(("rho", "factor"), [(0.0, 3.46), (0.2, 2.88), (-0.2, 4.17)])
def test_the_published_annual_factors(rho: float, factor: float) -> None:
    assert annual_factor(12, rho) == pytest.approx(factor, abs=5e-3)


def test_the_annual_factor_is_the_ratio_of_summed_returns() -> None:
    """Against the definition: q means over the deviation of a sum of q AR(1) terms."""
    for rho in (-0.5, 0.0, 0.3):
        lags = np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
        assert annual_factor(12, rho) == pytest.approx(12 / math.sqrt((rho**lags).sum()))


def test_an_autocorrelation_of_one_has_no_annual_factor() -> None:
    with pytest.raises(TrainerError, match="`periods` must be >= 1 and `autocorrelation` in"):
        annual_factor(12, 1.0)
