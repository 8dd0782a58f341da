"""The default features written with TA-Lib and NumPy only: the speed that is attainable.

The formulas are the primitives of `features.indicators` in the same order, without feature kinds
and signatures. Series that several features use are computed once and passed by hand.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import talib

from features.bars import Bars

FloatArray = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]

#: A series is flat if the deviation of its log returns is not above this value.
FLAT = 1e-9


class _Columns:
    """Rows of the result by name; an assignment stores a series as float32 and drops it."""

    def __init__(self, names: tuple[str, ...], n: int) -> None:
        self.out = np.empty((len(names), n), dtype=np.float32)
        self._row = dict(zip(names, self.out, strict=True))

    def __setitem__(self, name: str, values: FloatArray) -> None:
        self._row.pop(name)[:] = values  # KeyError: written twice, or no such feature

    @property
    def missing(self) -> list[str]:
        return list(self._row)


class _Series:
    """Prices, volume, and the series that features of several groups use; all float64, (n,)."""

    def __init__(self, bars: Bars) -> None:
        self.open, self.high, self.low = bars.open, bars.high, bars.low
        self.close, self.volume = bars.close, bars.volume
        self.time_ns = bars.time_ns
        self.log_close = np.log(self.close)
        #: Log return of one bar.
        self.step = _diff(self.log_close, 1)
        self.log_range = np.log(self.high / self.low)
        square = self.step * self.step
        #: Volatility by window; NaN where prices are flat.
        self.vol: dict[int, FloatArray] = {}
        for w in (6, 12, 24, 72, 96, 168):
            mean_square = np.maximum(talib.SMA(square, w), 0.0)
            self.vol[w] = np.where(mean_square > FLAT * FLAT, np.sqrt(mean_square), np.nan)
        #: Log return by number of bars.
        self.moves = {w: _diff(self.log_close, w) for w in (12, 48)}


def matrix(bars: Bars, names: tuple[str, ...]) -> Matrix:
    """Return every default feature of an intraday series, float32 of shape (n, f)."""
    x, series = _Columns(names, len(bars)), _Series(bars)
    for add in (
        _add_returns,
        _add_volatility,
        _add_volume,
        _add_oscillators,
        _add_trend,
        _add_time,
    ):
        add(x, series)
    if x.missing:
        raise KeyError(f"not computed: {x.missing}")
    return x.out.T


def _add_returns(x: _Columns, s: _Series) -> None:
    for w in (1, 2, 3, 6, 12, 24, 48):
        x[f"ret_{w}"] = s.moves[w] if w in s.moves else _diff(s.log_close, w)
    gap = np.full(len(s.close), np.nan)
    gap[1:] = np.log(s.open[1:] / s.close[:-1])
    x["open_gap"] = gap
    lagged = np.full(len(s.close), np.nan)
    lagged[1:] = s.step[:-1]
    x["autocorr_48"] = talib.CORREL(s.step, lagged, 48)


def _add_volatility(x: _Columns, s: _Series) -> None:
    sma, vol, log_range, step = talib.SMA, s.vol, s.log_range, s.step
    for w in (12, 24, 72):
        x[f"vol_{w}"] = vol[w]
    range_square = log_range * log_range
    for w in (12, 48):
        variance = sma(range_square, w) / (4.0 * np.log(2.0))
        x[f"parkinson_{w}"] = np.sqrt(np.maximum(variance, 0.0))
    body = np.log(s.close / s.open)
    per_bar = 0.5 * range_square - (2.0 * np.log(2.0) - 1.0) * (body * body)
    x["garman_klass_24"] = np.sqrt(np.maximum(sma(per_bar, 24), 0.0))
    up, down = np.log(s.high / s.open), np.log(s.low / s.open)
    per_bar = up * (up - body) + down * (down - body)
    x["rogers_satchell_24"] = np.sqrt(np.maximum(sma(per_bar, 24), 0.0))
    for w in (6, 24):
        x[f"vol_ratio_{w}"] = np.log(_ratio(vol[w], vol[4 * w]))
    for w in (24, 72):
        x[f"range_z_{w}"] = _z(log_range, w)
    fall = np.minimum(step, 0.0)
    fall *= fall
    for w in (24, 72):
        x[f"downside_{w}"] = np.clip(_ratio(sma(fall, w), vol[w] * vol[w]), 0.0, 1.0)


def _add_volume(x: _Columns, s: _Series) -> None:
    sma, v = talib.SMA, s.volume
    for w in (24, 72):
        x[f"volume_z_{w}"] = _z(v, w)
    volume = {w: sma(v, w) for w in (6, 24, 96)}
    for w in (6, 24):
        x[f"volume_ratio_{w}"] = _ratio(volume[w], volume[4 * w])
    typical = (s.high + s.low + s.close) / 3.0
    value = typical * v
    signed = np.sign(_diff(typical, 1)) * value
    for w in (14, 48):
        x[f"money_flow_{w}"] = np.clip(_ratio(sma(signed, w), sma(value, w)), -1.0, 1.0)


def _add_oscillators(x: _Columns, s: _Series) -> None:
    o, h, low, c = s.open, s.high, s.low, s.close
    for w in (6, 14):
        x[f"rsi_{w}"] = talib.RSI(c, w) / 50.0 - 1.0
    for w in (14, 48):
        x[f"stoch_{w}"] = _place(c, talib.MIN(low, w), talib.MAX(h, w))
    x["close_place"] = _place(c, low, h)
    power = talib.BOP(o, h, low, c)
    x["bop_1"] = power
    x["bop_14"] = talib.SMA(power, 14)
    spread = h - low
    positive = spread > 0
    x["upper_wick"] = np.divide(h - np.maximum(o, c), spread, out=np.zeros(len(c)), where=positive)
    foot = np.minimum(o, c) - low
    x["lower_wick"] = np.divide(foot, spread, out=np.zeros(len(c)), where=positive)
    x["aroon_25"] = talib.AROONOSC(h, low, 25) / 100.0


def _add_trend(x: _Columns, s: _Series) -> None:
    sma, vol = talib.SMA, s.vol
    h, low, c = s.high, s.low, s.close
    mean = {w: sma(c, w) for w in (6, 12, 24, 72, 96, 168)}
    for w in (12, 24, 72, 168):
        x[f"mean_dist_{w}"] = _ratio(np.log(c / mean[w]), vol[w] * np.sqrt(w))
    for w in (6, 24):
        distance = np.log(mean[w] / mean[4 * w])
        x[f"mean_cross_{w}"] = _ratio(distance, vol[4 * w] * np.sqrt(4 * w))
    absolute = np.abs(s.step)
    for w in (12, 48):
        path = sma(absolute, w) * w
        net = _ratio(s.moves[w], np.where(path > FLAT, path, 0.0))
        x[f"efficiency_{w}"] = np.clip(net, -1.0, 1.0)
    x["adx_14"] = talib.ADX(h, low, c, 14) / 100.0
    x["di_spread_14"] = (talib.PLUS_DI(h, low, c, 14) - talib.MINUS_DI(h, low, c, 14)) / 100.0
    x["below_high_72"] = np.log(c / talib.MAX(h, 72))
    x["above_low_72"] = np.log(c / talib.MIN(low, 72))


def _add_time(x: _Columns, s: _Series) -> None:
    hour = 3_600 * 10**9
    for name, period, offset in (("hour", 24, 0), ("weekday", 168, 72)):
        angle = (s.time_ns + offset * hour) % (period * hour) / hour * (2.0 * np.pi / period)
        x[f"{name}_sin"], x[f"{name}_cos"] = np.sin(angle), np.cos(angle)


def _diff(values: FloatArray, lag: int) -> FloatArray:
    out = np.full(len(values), np.nan)
    out[lag:] = values[lag:] - values[:-lag]
    return out


def _ratio(top: FloatArray, bottom: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bottom > 0, top / bottom, np.nan)


def _z(values: FloatArray, w: int) -> FloatArray:
    average, spread = talib.SMA(values, w), talib.STDDEV(values, w)
    return _ratio(values - average, np.where(spread > 1e-6 * np.abs(average), spread, 0.0))


def _place(values: FloatArray, bottom: FloatArray, top: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        place = 2.0 * (values - bottom) / (top - bottom) - 1.0
    return np.where(top == bottom, 0.0, place)
