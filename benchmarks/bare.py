"""The default features written with TA-Lib and NumPy alone: what is attainable.

The same primitives in the same order as `features.indicators`, without feature kinds, signature
or remembered intermediates; what several features share is shared by hand.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import talib

from features.bars import Bars

FloatArray = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]

#: Spread of log returns below which a series is flat.
FLAT = 1e-9


class _Columns:
    """Rows of the result by name: what is assigned is stored as float32 and let go."""

    def __init__(self, names: tuple[str, ...], n: int) -> None:
        self.out = np.empty((len(names), n), dtype=np.float32)
        self._row = dict(zip(names, self.out, strict=True))

    def __setitem__(self, name: str, values: FloatArray) -> None:
        self._row.pop(name)[:] = values  # KeyError: written twice, or no such feature

    @property
    def missing(self) -> list[str]:
        return list(self._row)


def matrix(bars: Bars, names: tuple[str, ...]) -> Matrix:
    """Every default feature of an intraday series, float32 of shape (n, f)."""
    o, h, low, c, v = bars.open, bars.high, bars.low, bars.close, bars.volume
    sma = talib.SMA
    x = _Columns(names, len(bars))
    log_close = np.log(c)
    step = _diff(log_close, 1)
    log_range = np.log(h / low)
    square = step * step
    vol: dict[int, FloatArray] = {}
    for w in (6, 12, 24, 72, 96, 168):
        mean_square = np.maximum(sma(square, w), 0.0)
        vol[w] = np.where(mean_square > FLAT * FLAT, np.sqrt(mean_square), np.nan)

    moves = {w: _diff(log_close, w) for w in (12, 48)}
    for w in (1, 2, 3, 6, 12, 24, 48):
        x[f"ret_{w}"] = moves[w] if w in moves else _diff(log_close, w)
    gap = np.full(len(c), np.nan)
    gap[1:] = np.log(o[1:] / c[:-1])
    x["open_gap"] = gap
    lagged = np.full(len(c), np.nan)
    lagged[1:] = step[:-1]
    x["autocorr_48"] = talib.CORREL(step, lagged, 48)

    for w in (12, 24, 72):
        x[f"vol_{w}"] = vol[w]
    range_square = log_range * log_range
    for w in (12, 48):
        variance = sma(range_square, w) / (4.0 * np.log(2.0))
        x[f"parkinson_{w}"] = np.sqrt(np.maximum(variance, 0.0))
    body = np.log(c / o)
    per_bar = 0.5 * range_square - (2.0 * np.log(2.0) - 1.0) * (body * body)
    x["garman_klass_24"] = np.sqrt(np.maximum(sma(per_bar, 24), 0.0))
    up, down = np.log(h / o), np.log(low / o)
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

    for w in (24, 72):
        x[f"volume_z_{w}"] = _z(v, w)
    volume = {w: sma(v, w) for w in (6, 24, 96)}
    for w in (6, 24):
        x[f"volume_ratio_{w}"] = _ratio(volume[w], volume[4 * w])
    typical = (h + low + c) / 3.0
    value = typical * v
    signed = np.sign(_diff(typical, 1)) * value
    for w in (14, 48):
        x[f"money_flow_{w}"] = np.clip(_ratio(sma(signed, w), sma(value, w)), -1.0, 1.0)

    for w in (6, 14):
        x[f"rsi_{w}"] = talib.RSI(c, w) / 50.0 - 1.0
    for w in (14, 48):
        x[f"stoch_{w}"] = _place(c, talib.MIN(low, w), talib.MAX(h, w))
    x["close_place"] = _place(c, low, h)
    power = talib.BOP(o, h, low, c)
    x["bop_1"] = power
    x["bop_14"] = sma(power, 14)
    spread = h - low
    positive = spread > 0
    x["upper_wick"] = np.divide(h - np.maximum(o, c), spread, out=np.zeros(len(c)), where=positive)
    foot = np.minimum(o, c) - low
    x["lower_wick"] = np.divide(foot, spread, out=np.zeros(len(c)), where=positive)
    x["aroon_25"] = talib.AROONOSC(h, low, 25) / 100.0

    mean = {w: sma(c, w) for w in (6, 12, 24, 72, 96, 168)}
    for w in (12, 24, 72, 168):
        x[f"mean_dist_{w}"] = _ratio(np.log(c / mean[w]), vol[w] * np.sqrt(w))
    for w in (6, 24):
        distance = np.log(mean[w] / mean[4 * w])
        x[f"mean_cross_{w}"] = _ratio(distance, vol[4 * w] * np.sqrt(4 * w))
    walked = np.abs(step)
    for w in (12, 48):
        path = sma(walked, w) * w
        moved = _ratio(moves[w], np.where(path > FLAT, path, 0.0))
        x[f"efficiency_{w}"] = np.clip(moved, -1.0, 1.0)
    x["adx_14"] = talib.ADX(h, low, c, 14) / 100.0
    x["di_spread_14"] = (talib.PLUS_DI(h, low, c, 14) - talib.MINUS_DI(h, low, c, 14)) / 100.0
    x["below_high_72"] = np.log(c / talib.MAX(h, 72))
    x["above_low_72"] = np.log(c / talib.MIN(low, 72))

    hour = 3_600 * 10**9
    for name, period, offset in (("hour", 24, 0), ("weekday", 168, 72)):
        angle = (bars.time_ns + offset * hour) % (period * hour) / hour * (2.0 * np.pi / period)
        x[f"{name}_sin"], x[f"{name}_cos"] = np.sin(angle), np.cos(angle)
    if x.missing:
        raise KeyError(f"not computed: {x.missing}")
    return x.out.T


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
