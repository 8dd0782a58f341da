"""The rolling functions, compared with slow definitions in pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.series import (
    FLAT,
    BarSeries,
    difference,
    log_change,
    mean,
    ratio,
    root_mean_square,
    z_score,
)

NAN = np.nan


def _values(n: int, seed: int) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).normal(0.0, 0.5, n))


def _series(n: int = 30) -> BarSeries:
    close = _values(n, seed=1)
    arrays = (close * 0.99, close * 1.02, close * 0.97, close, np.ones(n))
    return BarSeries(np.arange(n, dtype=np.int64), *arrays)


@settings(max_examples=30)
@given(n=st.integers(1, 60), lag=st.integers(1, 20), seed=st.integers(0, 999))
def test_changes(n: int, lag: int, seed: int) -> None:
    values = _values(n, seed)
    shifted = pd.Series(values).shift(lag)
    np.testing.assert_allclose(difference(values, lag), values - shifted, rtol=1e-12)
    np.testing.assert_allclose(log_change(values, lag), np.log(values / shifted), rtol=1e-12)


def test_a_power_of_two_on_all_values_does_not_change_a_log_change() -> None:
    values = _values(500, seed=3)
    np.testing.assert_array_equal(log_change(values * 2.0**20, 7), log_change(values, 7))


@settings(max_examples=30)
@given(window=st.integers(2, 20), seed=st.integers(0, 999))
def test_rolling_functions(window: int, seed: int) -> None:
    values = _values(60, seed)
    rolling = pd.Series(values).rolling(window)
    np.testing.assert_allclose(mean(values, window), rolling.mean(), rtol=1e-9)
    square = pd.Series(values**2).rolling(window).mean()
    np.testing.assert_allclose(root_mean_square(values, window), np.sqrt(square), rtol=1e-9)
    expected = (values - rolling.mean()) / rolling.std(ddof=0)
    np.testing.assert_allclose(z_score(values, window), expected, rtol=1e-6, atol=1e-9)


def test_a_mean_over_one_row_is_the_row() -> None:
    values = np.array([NAN, 1.0, 3.0])
    np.testing.assert_array_equal(mean(values, 1), values)
    np.testing.assert_array_equal(mean(values, 2), [NAN, NAN, 2.0])


def test_a_ratio_is_nan_where_the_denominator_is_not_positive() -> None:
    got = ratio(np.array([6.0, 1.0, 1.0, 0.0, 1.0]), np.array([2.0, 0.0, -2.0, 0.0, NAN]))
    np.testing.assert_array_equal(got, [3.0, NAN, NAN, NAN, NAN])


def test_flat_windows_are_nan() -> None:
    small = np.full(10, FLAT / 2)
    assert np.isnan(root_mean_square(small, 3)).all()
    assert np.isnan(z_score(np.full(10, 0.1), 3)).all()
    np.testing.assert_allclose(root_mean_square(small * 4, 3)[2:], 2 * FLAT)


def test_the_series_of_a_formula() -> None:
    series = _series()
    assert len(series) == 30
    close = pd.Series(series.close)
    np.testing.assert_allclose(series.log_return, np.log(close / close.shift()), rtol=1e-12)
    np.testing.assert_allclose(series.log_range, np.log(1.02 / 0.97), rtol=1e-12)
    np.testing.assert_array_equal(series.volatility(5), root_mean_square(series.log_return, 5))


def test_intermediate_results_are_computed_once() -> None:
    series = _series()
    assert series.log_return is series.log_return
    assert series.volatility(5) is series.volatility(5)
    assert series.volatility(5) is not series.volatility(6)
    calls: list[None] = []

    def compute() -> np.ndarray:
        calls.append(None)
        return np.zeros(30)

    assert series.memo("key", compute) is series.memo("key", compute)
    assert len(calls) == 1


@pytest.mark.parametrize("n", [1, 2])
def test_short_series_are_nan(n: int) -> None:
    assert np.isnan(_series(n).volatility(5)).all()
