"""Formulas compared with slow definitions in pandas, and the laws of every feature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.bars import Bars
from features.catalogue import BUILT_IN, FeatureKind
from features.errors import InputError
from features.feature_set import Column, FeatureSet
from features.indicators import FLAT, BarSeries
from features.interval import Interval

HOUR = Interval.parse("1h")
PRICES = ("open", "high", "low", "close")
COLUMNS = FeatureSet.build(interval=HOUR, kinds=BUILT_IN)
EACH = pytest.mark.parametrize("column", COLUMNS.columns, ids=lambda c: c.name)
LOG2 = np.log(2.0)


def _series(bars: Bars) -> BarSeries:
    return BarSeries(bars.time_ns, bars.open, bars.high, bars.low, bars.close, bars.volume)


def _values(column: Column, bars: Bars) -> np.ndarray:
    return column.kind.compute(_series(bars), **column.params)


# --- goldens: a slow, simple definition of each formula --------------------------------------


def _wilder(values: pd.Series, window: int) -> pd.Series:
    """Smoothing of Wilder (1978): the previous value has the weight 1 - 1 / window."""
    return values.ewm(alpha=1.0 / window, adjust=False).mean()


def _directional(f: pd.DataFrame, window: int) -> tuple[pd.Series, pd.Series]:
    up, down = f.high.diff(), -f.low.diff()
    true_range = np.maximum(f.high, f.close.shift()) - np.minimum(f.low, f.close.shift())
    plus = up.where((up > down) & (up > 0), 0.0)[1:]
    minus = down.where((down > up) & (down > 0), 0.0)[1:]
    smooth = _wilder(true_range[1:], window)
    rising, falling = _wilder(plus, window) / smooth, _wilder(minus, window) / smooth
    return rising.reindex(f.index), falling.reindex(f.index)


def _rsi(f: pd.DataFrame, window: int) -> pd.Series:
    change = f.close.diff()[1:]
    up, down = _wilder(change.clip(lower=0), window), _wilder(-change.clip(upper=0), window)
    return ((up - down) / (up + down)).reindex(f.index)


def _adx(f: pd.DataFrame, window: int) -> pd.Series:
    rising, falling = _directional(f, window)
    index = ((rising - falling).abs() / (rising + falling))[1:]
    return _wilder(index, window).reindex(f.index)


def _each_window(values: pd.DataFrame | pd.Series, window: int, function: Callable) -> pd.Series:
    out = [np.nan] * (window - 1)
    out += [function(values.iloc[i - window : i]) for i in range(window, len(values) + 1)]
    return pd.Series(out)


def _aroon(f: pd.DataFrame, window: int) -> pd.Series:
    # If several extremes of the window + 1 bars are equal, the latest counts.
    def one(part: pd.DataFrame) -> float:
        top = int(np.argmax(part.high.to_numpy()[::-1]))
        bottom = int(np.argmin(part.low.to_numpy()[::-1]))
        return (bottom - top) / window

    return _each_window(f, window + 1, one)


def _money_flow(f: pd.DataFrame, window: int) -> pd.Series:
    typical = (f.high + f.low + f.close) / 3
    value = typical * f.volume
    signed = value * np.sign(typical.diff())
    return signed.rolling(window).sum() / value.rolling(window).sum()


def _z(values: pd.Series, window: int) -> pd.Series:
    return _each_window(values, window, lambda p: (p.iloc[-1] - p.mean()) / p.std(ddof=0))


def _volatility(f: pd.DataFrame, window: int) -> pd.Series:
    return np.sqrt((np.log(f.close).diff() ** 2).rolling(window).mean())


def _place(value: pd.Series, bottom: pd.Series, top: pd.Series) -> pd.Series:
    return 2 * (value - bottom) / (top - bottom) - 1


def _root_mean(values: pd.Series, window: int) -> pd.Series:
    return np.sqrt(values.rolling(window).mean())


def _returns(f: pd.DataFrame) -> pd.Series:
    return np.log(f.close / f.close.shift())


def _sum_of_squares_of_falls(f: pd.DataFrame, window: int) -> pd.Series:
    return (_returns(f).clip(upper=0) ** 2).rolling(window).sum()


def _hour(f: pd.DataFrame) -> pd.Series:
    return f.timestamp.dt.hour + f.timestamp.dt.minute / 60


def _cycle(angle: pd.Series, shape: str) -> pd.Series:
    return {"sin": np.sin, "cos": np.cos}[shape](2 * np.pi * angle)


DEFINITIONS: dict[str, Callable[..., pd.Series]] = {
    "ret": lambda f, window: np.log(f.close / f.close.shift(window)),
    "open_gap": lambda f: np.log(f.open / f.close.shift(1)),
    "autocorr": lambda f, window: _returns(f).rolling(window).corr(_returns(f).shift(1)),
    "vol": _volatility,
    "parkinson": lambda f, window: _root_mean(np.log(f.high / f.low) ** 2 / (4 * LOG2), window),
    "garman_klass": lambda f, window: _root_mean(
        np.log(f.high / f.low) ** 2 / 2 - (2 * LOG2 - 1) * np.log(f.close / f.open) ** 2, window
    ),
    "rogers_satchell": lambda f, window: _root_mean(
        np.log(f.high / f.close) * np.log(f.high / f.open)
        + np.log(f.low / f.close) * np.log(f.low / f.open),
        window,
    ),
    "vol_ratio": lambda f, window: np.log(_volatility(f, window) / _volatility(f, 4 * window)),
    "range_z": lambda f, window: _z(np.log(f.high / f.low), window),
    "downside": lambda f, window: (
        _sum_of_squares_of_falls(f, window) / (_returns(f) ** 2).rolling(window).sum()
    ),
    "volume_z": lambda f, window: _z(f.volume, window),
    "volume_ratio": lambda f, window: (
        f.volume.rolling(window).mean() / f.volume.rolling(4 * window).mean()
    ),
    "money_flow": _money_flow,
    "rsi": _rsi,
    "stoch": lambda f, window: _place(
        f.close, f.low.rolling(window).min(), f.high.rolling(window).max()
    ),
    "close_place": lambda f: _place(f.close, f.low, f.high),
    "bop": lambda f, window: ((f.close - f.open) / (f.high - f.low)).rolling(window).mean(),
    "upper_wick": lambda f: (f.high - f[["open", "close"]].max(axis=1)) / (f.high - f.low),
    "lower_wick": lambda f: (f[["open", "close"]].min(axis=1) - f.low) / (f.high - f.low),
    "aroon": _aroon,
    "mean_dist": lambda f, window: (
        np.log(f.close / f.close.rolling(window).mean()) / _volatility(f, window) / window**0.5
    ),
    "mean_cross": lambda f, window: (
        np.log(f.close.rolling(window).mean() / f.close.rolling(4 * window).mean())
        / _volatility(f, 4 * window)
        / (4 * window) ** 0.5
    ),
    "efficiency": lambda f, window: (
        np.log(f.close / f.close.shift(window)) / _returns(f).abs().rolling(window).sum()
    ),
    "adx": _adx,
    "di_spread": lambda f, window: _directional(f, window)[0] - _directional(f, window)[1],
    "below_high": lambda f, window: np.log(f.close / f.high.rolling(window).max()),
    "above_low": lambda f, window: np.log(f.close / f.low.rolling(window).min()),
    "hour": lambda f, shape: _cycle(_hour(f) / 24, shape),
    "weekday": lambda f, shape: _cycle((f.timestamp.dt.day_of_week + _hour(f) / 24) / 7, shape),
}
#: Their first values depend on the start of the smoothing: rows before their memory are ignored.
RECURSIVE = {"rsi", "adx", "di_spread"}


@pytest.fixture(scope="module")
def bars(synthetic_bars: Callable[..., Bars]) -> Bars:
    return synthetic_bars(700)


@EACH
def test_golden(column: Column, bars: Bars) -> None:
    frame = bars.to_frame()
    expected = DEFINITIONS[column.kind.name](frame, **column.params).to_numpy()
    got = _values(column, bars)
    assert got.dtype == np.float64
    if column.kind.name in RECURSIVE:
        rows = slice(column.memory, None)
        np.testing.assert_allclose(got[rows], expected[rows], rtol=0, atol=2e-6)
    else:
        np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-10)


def test_every_kind_has_a_golden() -> None:
    assert set(DEFINITIONS) == {kind.name for kind in BUILT_IN}


#: Least and largest possible value, by kind.
BOUNDS = {
    **dict.fromkeys(["downside", "adx", "upper_wick", "lower_wick"], (0, 1)),
    **dict.fromkeys(["vol", "parkinson", "garman_klass", "rogers_satchell"], (0, np.inf)),
    **dict.fromkeys(["autocorr", "money_flow", "rsi", "stoch", "close_place", "bop"], (-1, 1)),
    **dict.fromkeys(["aroon", "efficiency", "di_spread", "hour", "weekday"], (-1, 1)),
    "volume_ratio": (0, 4),
    "below_high": (-np.inf, 0),
    "above_low": (0, np.inf),
}


def _with_idle_bars(bars: Bars) -> Bars:
    """Replace bars by runs of bars without trades, without volume and without range."""
    arrays = {name: getattr(bars, name).copy() for name in (*PRICES, "volume")}
    for name in PRICES:
        arrays[name][200:400] = bars.close[199]  # constant prices
    arrays["volume"][150:450] = 0.0
    for name in ("high", "low", "open"):
        arrays[name][460:470] = bars.close[460:470]  # moving prices, bars without range
    for name in ("high", "low"):
        pick = np.maximum if name == "high" else np.minimum
        arrays[name] = pick(pick(arrays["open"], arrays["close"]), arrays[name])
    return replace(bars, **arrays)


@EACH
def test_values_lie_within_bounds_in_idle_bars(column: Column, bars: Bars) -> None:
    low, high = BOUNDS.get(column.kind.name, (-np.inf, np.inf))
    for series in (bars, _with_idle_bars(bars)):
        values = _values(column, series)
        assert not np.isinf(values).any()
        known = values[~np.isnan(values)]
        assert known.min() >= low - 1e-12
        assert known.max() <= high + 1e-12


@EACH
def test_idle_bars_do_not_change_rows_after_the_memory(column: Column, bars: Bars) -> None:
    """A row whose memory contains no idle bar is equal to the row of the original bars."""
    after = 470 + column.memory
    if after >= len(bars):  # Only the memory of ADX is longer than the rest of the series.
        after = len(bars) - 1
        assert column.memory > 200
    expected, got = _values(column, bars)[after:], _values(column, _with_idle_bars(bars))[after:]
    tolerance = 2e-6 if column.memory <= 200 or column.kind.name != "adx" else 1e-3
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "name", ["volume_z_24", "volume_ratio_6", "volume_ratio_24", "money_flow_14"]
)
@pytest.mark.parametrize("seed", range(5))
def test_volume_features_are_nan_without_volume(
    name: str, seed: int, synthetic_bars: Callable[..., Bars]
) -> None:
    """Without volume a ratio would be a ratio of rounding errors."""
    column = COLUMNS.columns[COLUMNS.names.index(name)]
    bars = synthetic_bars(700, seed=seed)
    volume = np.where((np.arange(700) >= 150) & (np.arange(700) < 450), 0.0, bars.volume)
    bars = replace(bars, volume=volume)
    assert np.isnan(_values(column, bars)[150 + column.memory : 450]).all()


@EACH
def test_constant_prices_give_nan_or_zero(column: Column, bars: Bars) -> None:
    """Only features of the time, and the ratio of volumes, have other values."""
    one = np.full(len(bars), 100.0)
    flat = replace(bars, **dict.fromkeys(PRICES, one), volume=np.full(len(bars), 7.0))
    values = _values(column, flat)[column.memory :]
    if column.kind.group == "time":
        np.testing.assert_array_equal(values, _values(column, bars)[column.memory :])
    elif column.kind.name == "volume_ratio":
        np.testing.assert_allclose(values, 1.0)
    else:
        assert (np.isnan(values) | (values == 0.0)).all()


def test_a_flat_window_has_no_volatility(bars: Bars) -> None:
    values = _series(_with_idle_bars(bars)).volatility(12)
    assert np.isnan(values[215:400]).all()
    assert np.nanmin(values) > FLAT


@pytest.mark.parametrize("kind", [k for k in BUILT_IN if k.windowed], ids=lambda k: k.name)
@pytest.mark.parametrize("window", [1, 2, 3])
def test_the_smallest_windows_are_computed_or_refused(
    kind: FeatureKind, window: int, bars: Bars
) -> None:
    """A window that `FeatureSet` accepts must not cause an error in TA-Lib."""
    try:
        small = FeatureSet.build(interval=HOUR, kinds=[kind], windows={kind.name: [window]})
    except InputError as error:
        assert f"windows of {kind.name!r}" in str(error)  # noqa: PT017 - both results are valid
    else:
        values = small.compute(bars)
        assert np.isfinite(values[5 + 30 * window :]).any()


@EACH
@pytest.mark.parametrize("n", [1, 2, 3, 13, 14, 30])
def test_short_series_give_one_row_per_bar(column: Column, n: int, bars: Bars) -> None:
    np.testing.assert_array_equal(_values(column, bars.slice(0, n)), _values(column, bars)[:n])


# --- laws, for all features ------------------------------------------------------------------


@pytest.fixture(scope="module")
def series_of(bars: Bars, sample_bars: Callable[[str, str], Bars]) -> Callable[[str], Bars]:
    """Bars by name, because hypothesis prints the arguments of a failing example."""
    named = {
        "synthetic": bars,
        "idle": _with_idle_bars(bars),
        "EURUSD": sample_bars("EURUSD", "1h").slice(0, 900),
        "GOOGL": sample_bars("GOOGL", "1d").slice(0, 900),
    }
    return lambda name: named[name]


SERIES = pytest.mark.parametrize("name", ["synthetic", "idle", "EURUSD", "GOOGL"])


def _assert_same(a: np.ndarray, b: np.ndarray, tolerance: float = 0.0) -> None:
    same = np.isclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
    broken = np.array(COLUMNS.names)[~same.all(axis=0)]
    assert not len(broken), broken.tolist()


@SERIES
@settings(max_examples=25)
@given(cut=st.integers(1, 699))
def test_prefix_invariance(cut: int, name: str, series_of: Callable[[str], Bars]) -> None:
    series = series_of(name)
    whole = COLUMNS.compute(series)
    _assert_same(COLUMNS.compute(series.slice(0, cut)), whole[:cut])


@SERIES
@settings(max_examples=15)
@given(cut=st.integers(1, 699), seed=st.integers(0, 2**32 - 1))
def test_later_bars_do_not_change_earlier_rows(
    cut: int, seed: int, name: str, series_of: Callable[[str], Bars]
) -> None:
    series = series_of(name)
    rng = np.random.default_rng(seed)
    factor = np.where(np.arange(len(series)) < cut, 1.0, np.exp(rng.normal(0, 1, len(series))))
    # One factor for all prices of a bar: the bar stays valid, and the next one is far away.
    changed = {name: getattr(series, name) * factor for name in (*PRICES, "volume")}
    _assert_same(COLUMNS.compute(replace(series, **changed))[:cut], COLUMNS.compute(series)[:cut])


@settings(max_examples=15)
@given(price=st.floats(1e-8, 1e8, allow_nan=False), volume=st.floats(1e-8, 1e8, allow_nan=False))
def test_units_of_price_and_volume_change_values_by_rounding_only(
    price: float, volume: float, series_of: Callable[[str], Bars]
) -> None:
    bars = series_of("synthetic")
    scaled = {name: getattr(bars, name) * price for name in PRICES}
    scaled["volume"] = bars.volume * volume
    _assert_same(COLUMNS.compute(replace(bars, **scaled)), COLUMNS.compute(bars), 1e-5)


@SERIES
@settings(max_examples=25)
@given(price=st.integers(-30, 30), volume=st.integers(-30, 30))
def test_powers_of_two_do_not_change_values(
    price: int, volume: int, name: str, series_of: Callable[[str], Bars]
) -> None:
    series = series_of(name)
    scaled = {name: getattr(series, name) * 2.0**price for name in PRICES}
    scaled["volume"] = series.volume * 2.0**volume
    _assert_same(COLUMNS.compute(replace(series, **scaled)), COLUMNS.compute(series), 1e-6)


@settings(max_examples=25)
@given(start=st.integers(1, 650))
def test_the_start_does_not_matter_after_the_declared_memory(
    start: int, series_of: Callable[[str], Bars]
) -> None:
    bars = series_of("synthetic")
    whole, later = COLUMNS.compute(bars)[start:], COLUMNS.compute(bars.slice(start, len(bars)))
    for position, column in enumerate(COLUMNS.columns):
        rows = slice(column.memory, None)
        np.testing.assert_allclose(
            later[rows, position],
            whole[rows, position],
            rtol=2e-6,
            atol=2e-6,
            err_msg=column.name,
        )


def test_only_the_first_rows_are_nan(bars: Bars) -> None:
    matrix = COLUMNS.compute(bars)
    for position, column in enumerate(COLUMNS.columns):
        known = ~np.isnan(matrix[:, position])
        first = int(np.argmax(known))
        assert known[first:].all(), column.name
        assert first <= column.memory, column.name
        if column.kind.name not in RECURSIVE:
            # A window of w bars is complete at row w - 1, a window of w changes at row w.
            assert first >= column.memory - 1, column.name
