"""The default features written with pandas: rolling windows and exponential means.

The code is what a careful user of pandas writes: series are shared, and no Python loop runs over
bars. Guards against flat windows are left out, in favour of pandas. Wilder's smoothing starts from
the first value instead of a mean; the difference fades within the declared memory of the features.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from features.bars import Bars
from features.feature_set import Matrix

#: In the stubs of pandas, `np.log` of a Series is an array.
Series: TypeAlias = Any
_CHUNK = 65_536


class _Shared:
    """Prices, volume, and the series that features of several groups use."""

    def __init__(self, bars: Bars) -> None:
        frame: Any = bars.to_frame().set_index("timestamp")
        self.open, self.high, self.low = frame["open"], frame["high"], frame["low"]
        self.close, self.volume = frame["close"], frame["volume"]
        log_close: Series = np.log(self.close)
        #: Log return of one bar.
        self.step: Series = log_close.diff()
        #: Log return by number of bars.
        self.moves = {w: log_close.diff(w) for w in (1, 2, 3, 6, 12, 24, 48)}
        self.log_range = np.log(self.high / self.low)
        square = self.step**2
        #: Volatility by window.
        self.vol = {w: np.sqrt(square.rolling(w).mean()) for w in (6, 12, 24, 72, 96, 168)}


def compute(bars: Bars) -> dict[str, Series]:
    """Return every default feature of an intraday series, by column name, float64."""
    shared = _Shared(bars)
    return {
        **_returns(shared),
        **_volatility(shared),
        **_volume(shared),
        **_oscillators(shared),
        **_trend(shared),
        **_time(shared),
    }


def _returns(s: _Shared) -> dict[str, Series]:
    x = {f"ret_{w}": move for w, move in s.moves.items()}
    x["open_gap"] = np.log(s.open / s.close.shift())
    x["autocorr_48"] = s.step.rolling(48).corr(s.step.shift())
    return x


def _volatility(s: _Shared) -> dict[str, Series]:
    o, h, low, c, vol = s.open, s.high, s.low, s.close, s.vol
    x = {f"vol_{w}": vol[w] for w in (12, 24, 72)}
    range_square = s.log_range**2
    for w in (12, 48):
        x[f"parkinson_{w}"] = np.sqrt(range_square.rolling(w).mean() / (4 * np.log(2)))
    body = np.log(c / o)
    per_bar = 0.5 * range_square - (2 * np.log(2) - 1) * body**2
    x["garman_klass_24"] = np.sqrt(per_bar.rolling(24).mean())
    up, down = np.log(h / o), np.log(low / o)
    per_bar = up * (up - body) + down * (down - body)
    x["rogers_satchell_24"] = np.sqrt(per_bar.rolling(24).mean())
    for w in (6, 24):
        x[f"vol_ratio_{w}"] = np.log(vol[w] / vol[4 * w])
    for w in (24, 72):
        x[f"range_z_{w}"] = _z(s.log_range, w)
    fall = s.step.clip(upper=0) ** 2
    for w in (24, 72):
        x[f"downside_{w}"] = fall.rolling(w).mean() / vol[w] ** 2
    return x


def _volume(s: _Shared) -> dict[str, Series]:
    v = s.volume
    x = {f"volume_z_{w}": _z(v, w) for w in (24, 72)}
    volume = {w: v.rolling(w).mean() for w in (6, 24, 96)}
    for w in (6, 24):
        x[f"volume_ratio_{w}"] = volume[w] / volume[4 * w]
    typical = (s.high + s.low + s.close) / 3
    value = typical * v
    signed = np.sign(typical.diff()) * value
    for w in (14, 48):
        x[f"money_flow_{w}"] = signed.rolling(w).mean() / value.rolling(w).mean()
    return x


def _oscillators(s: _Shared) -> dict[str, Series]:
    o, h, low, c = s.open, s.high, s.low, s.close
    x: dict[str, Series] = {}
    for w in (6, 14):
        rise = _wilder(c.diff().clip(lower=0), w)
        drop = _wilder(-c.diff().clip(upper=0), w)
        x[f"rsi_{w}"] = 2 * rise / (rise + drop) - 1
    for w in (14, 48):
        bottom, top = low.rolling(w).min(), h.rolling(w).max()
        x[f"stoch_{w}"] = 2 * (c - bottom) / (top - bottom) - 1
    spread = h - low
    x["close_place"] = 2 * (c - low) / spread - 1
    x["bop_1"] = (c - o) / spread
    x["bop_14"] = x["bop_1"].rolling(14).mean()
    x["upper_wick"] = (h - o.where(o > c, c)) / spread
    x["lower_wick"] = (o.where(o < c, c) - low) / spread
    x["aroon_25"] = (_age(-low, 26) - _age(h, 26)) / 25
    return x


def _trend(s: _Shared) -> dict[str, Series]:
    h, low, c, vol = s.high, s.low, s.close, s.vol
    x: dict[str, Series] = {}
    mean = {w: c.rolling(w).mean() for w in (6, 12, 24, 72, 96, 168)}
    for w in (12, 24, 72, 168):
        x[f"mean_dist_{w}"] = np.log(c / mean[w]) / (vol[w] * np.sqrt(w))
    for w in (6, 24):
        x[f"mean_cross_{w}"] = np.log(mean[w] / mean[4 * w]) / (vol[4 * w] * np.sqrt(4 * w))
    absolute = s.step.abs()
    for w in (12, 48):
        x[f"efficiency_{w}"] = s.moves[w] / absolute.rolling(w).sum()
    rising, falling = h.diff(), -low.diff()
    plus = _wilder(rising.where((rising > falling) & (rising > 0), 0.0), 14)
    minus = _wilder(falling.where((falling > rising) & (falling > 0), 0.0), 14)
    before = c.shift()
    true_range = np.maximum(h, before) - np.minimum(low, before)
    average_range = _wilder(true_range, 14)
    x["adx_14"] = _wilder((plus - minus).abs() / (plus + minus), 14)
    x["di_spread_14"] = (plus - minus) / average_range
    x["below_high_72"] = np.log(c / h.rolling(72).max())
    x["above_low_72"] = np.log(c / low.rolling(72).min())
    return x


def _time(s: _Shared) -> dict[str, Series]:
    index = s.close.index
    x: dict[str, Series] = {}
    hours = index.hour + index.minute / 60
    for name, at, period in (
        ("hour", hours, 24),
        ("weekday", index.dayofweek * 24 + hours, 168),
    ):
        angle = pd.Series(at * (2 * np.pi / period), index=index)
        x[f"{name}_sin"], x[f"{name}_cos"] = np.sin(angle), np.cos(angle)
    return x


def matrix(bars: Bars, names: tuple[str, ...]) -> Matrix:
    """Return `compute` as the matrix that models read, float32 of shape (n, f)."""
    columns = compute(bars)
    return pd.DataFrame({name: columns[name] for name in names}).to_numpy(dtype=np.float32)


def _z(values: Series, w: int) -> Series:
    rolling = values.rolling(w)
    return (values - rolling.mean()) / rolling.std(ddof=0)


def _wilder(values: Series, w: int) -> Series:
    return values.ewm(alpha=1 / w, adjust=False).mean()


def _age(values: Series, w: int) -> Series:
    """Return the bars since the highest of `w` values.

    It uses NumPy because `rolling.apply` takes seconds.
    """
    windows = sliding_window_view(values.to_numpy()[::-1], w)[::-1]  # (n - w + 1, w)
    out = np.full(len(values), np.nan)
    for start in range(0, len(windows), _CHUNK):
        part = windows[start : start + _CHUNK]
        out[w - 1 + start : w - 1 + start + len(part)] = part.argmax(axis=1)
    return pd.Series(out, index=values.index)
