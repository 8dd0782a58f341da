from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from features.bars import Bars
from features.catalogue import BUILT_IN, FeatureKind
from features.errors import InputError
from features.feature_set import FeatureSet
from features.indicators import BarSeries
from features.interval import Interval
from features.probe import probe

HOUR = Interval.parse("1h")


def _returns(bars: BarSeries) -> pd.Series:
    return pd.Series(bars.log_return)


def _centred(bars: BarSeries) -> np.ndarray:
    return _returns(bars).rolling(5, center=True).mean().to_numpy()


def _next_bar(bars: BarSeries) -> np.ndarray:
    return _returns(bars).shift(-1).to_numpy()


def _back_filled(bars: BarSeries) -> np.ndarray:
    # The value of 23:00 is filled back to the whole day, as in a daily bar that is still open.
    last_hour = bars.time_ns // (3_600 * 10**9) % 24 == 23
    return _returns(bars).where(last_hour).bfill().to_numpy()


def _whole_series_z(bars: BarSeries) -> np.ndarray:
    returns = _returns(bars)
    return ((returns - returns.mean()) / returns.std()).to_numpy()


def _whole_series_rank(bars: BarSeries) -> np.ndarray:
    return _returns(bars).rank(pct=True).to_numpy()


def _price(bars: BarSeries) -> np.ndarray:
    return bars.close.copy()


def _tiny_price(bars: BarSeries) -> np.ndarray:
    return bars.close * 1e-9


def _log_volume(bars: BarSeries) -> np.ndarray:
    return np.log1p(bars.volume)


def _ten_back(bars: BarSeries) -> np.ndarray:
    return _returns(bars).shift(10).to_numpy()


def _on_balance(bars: BarSeries) -> np.ndarray:
    signed = np.sign(np.nan_to_num(bars.log_return)) * bars.volume
    return np.cumsum(signed) / np.cumsum(bars.volume)


def _slow_mean(bars: BarSeries) -> np.ndarray:
    return np.log(bars.close) - pd.Series(np.log(bars.close)).ewm(span=200).mean().to_numpy()


def _filled_with_zero(bars: BarSeries) -> np.ndarray:
    return np.nan_to_num(_returns(bars).shift(10).to_numpy())


BROKEN = [
    (_centred, 5, "uses later bars"),
    (_next_bar, 1, "uses later bars"),
    (_back_filled, 24, "uses later bars"),
    (_whole_series_z, 50, "uses later bars"),
    (_whole_series_rank, 50, "uses later bars"),
    (_price, 0, "depends on the level of price or volume"),
    (_tiny_price, 0, "depends on the level of price or volume"),
    (_log_volume, 0, "depends on the level of price or volume"),
    (_ten_back, 10, "needs more than its memory, or uses the whole series"),
    (_filled_with_zero, 9, "needs more than its memory, or uses the whole series"),
    (_on_balance, 50, "needs more than its memory, or uses the whole series"),
    (_slow_mean, 200, "needs more than its memory, or uses the whole series"),
]


def _features(function: Callable[..., np.ndarray], memory: int) -> FeatureSet:
    kind = FeatureKind("odd", "odd", function, lambda: memory)
    return FeatureSet.build(interval=HOUR, kinds=[BUILT_IN[0].with_windows([1]), kind])


@pytest.mark.parametrize(
    ("function", "memory", "breach"), BROKEN, ids=lambda v: getattr(v, "__name__", None)
)
def test_broken_features_are_detected(
    function: Callable[..., np.ndarray],
    memory: int,
    breach: str,
    synthetic_bars: Callable[..., Bars],
) -> None:
    bars, features = synthetic_bars(500), _features(function, memory)
    text = (
        rf"features of SYNTH cannot be trusted: odd {breach}; repair them, or the bars before 2024-"
    )
    with pytest.raises(InputError, match=text):
        probe(features, bars, features.compute(bars))


@pytest.mark.parametrize(
    ("function", "memory"), [(_ten_back, 11), (_slow_mean, 1_500)], ids=["ten_back", "slow_mean"]
)
def test_features_that_declare_their_memory_pass(
    function: Callable[..., np.ndarray], memory: int, synthetic_bars: Callable[..., Bars]
) -> None:
    bars, features = synthetic_bars(2_000), _features(function, memory)
    probe(features, bars, features.compute(bars))


def test_each_feature_is_checked_with_its_own_memory(
    synthetic_bars: Callable[..., Bars],
) -> None:
    bars = synthetic_bars(500)
    kinds = [
        FeatureKind("correct", "odd", _ten_back, lambda: 11),
        FeatureKind("short", "odd", _ten_back, lambda: 10),
    ]
    features = FeatureSet.build(interval=Interval.parse("1h"), kinds=kinds)
    with pytest.raises(InputError, match="cannot be trusted: short needs more than its memory"):
        probe(features, bars, features.compute(bars))


@pytest.mark.parametrize(("symbol", "interval"), [("EURUSD", "1h"), ("GOOGL", "1d")])
def test_the_built_in_features_pass(
    symbol: str, interval: str, sample_bars: Callable[[str, str], Bars]
) -> None:
    bars = sample_bars(symbol, interval)
    features = FeatureSet.build(interval=bars.interval, kinds=BUILT_IN)
    probe(features, bars, features.compute(bars), rows=40)


def test_the_error_contains_every_feature_that_breaks_a_law(
    synthetic_bars: Callable[..., Bars],
) -> None:
    kinds = [
        FeatureKind(name, "odd", function, lambda: 30)
        for name, function in (("a", _centred), ("b", _ten_back), ("c", _price))
    ]
    bars, features = synthetic_bars(300), FeatureSet.build(interval=HOUR, kinds=kinds)
    with pytest.raises(InputError, match=r"trusted: a uses later bars; c depends on the level"):
        probe(features, bars, features.compute(bars))


def test_a_matrix_of_other_bars_is_detected(synthetic_bars: Callable[..., Bars]) -> None:
    features = FeatureSet.build(interval=HOUR, kinds=BUILT_IN)
    matrix = features.compute(synthetic_bars(500))
    with pytest.raises(InputError, match=r"needs more than its memory, or uses the whole series"):
        probe(features, synthetic_bars(500, seed=1), matrix)


def test_a_series_shorter_than_the_memory_has_no_row_to_check(
    synthetic_bars: Callable[..., Bars],
) -> None:
    features = FeatureSet.build(interval=HOUR, kinds=BUILT_IN)
    bars = synthetic_bars(features.memory)
    probe(features, bars, features.compute(bars))


@pytest.mark.parametrize("spread", [1e-3, 1e-5, 1e-6])
def test_no_false_alarm_in_a_quiet_market(
    spread: float, synthetic_bars: Callable[..., Bars]
) -> None:
    """Minute bars of a pegged pair: the rounding of logarithms must not count as a level."""
    bars = synthetic_bars(1_500, interval="1m", price=1.0, spread=spread)
    features = FeatureSet.build(interval=bars.interval, kinds=BUILT_IN)
    probe(features, bars, features.compute(bars), rows=200)
