"""Formulas of the built-in features: causal, stationary, independent of the price level.

Every function takes a `BarSeries` and returns a float64 array of shape (n,). Row t depends on bars
<= t only. It is NaN where the history is too short or the value is undefined; NaN is never filled.
A constant factor on all prices, or on all volumes, changes a value by rounding only.

The code of these functions, names of local variables and constants included, is part of the
feature signature in every registered model (`features.signature.formula_digest`): a change makes
registered models refuse to load. Comments, docstrings and layout do not count.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from features.series import (
    FLAT,
    BarSeries,
    FloatArray,
    difference,
    log_change,
    mean,
    ratio,
    talib,
    z_score,
)

#: Memory of Wilder's smoothing, in windows: its start then has the weight e^-16, about 1e-7.
WILDER_MEMORY = 16
NS_PER_HOUR = 3_600_000_000_000


# --- returns ---------------------------------------------------------------------------------


def log_return(bars: BarSeries, window: int) -> FloatArray:
    """Return the log return of the close over `window` bars."""
    return log_change(bars.close, window)


def open_gap(bars: BarSeries) -> FloatArray:
    """Return ``log(open / previous close)``."""
    out = np.full(len(bars), np.nan)
    out[1:] = np.log(bars.open[1:] / bars.close[:-1])
    return out


def autocorrelation(bars: BarSeries, window: int) -> FloatArray:
    """Return the correlation of log returns at lag one, over `window` bars."""
    lagged = np.full(len(bars), np.nan)
    lagged[1:] = bars.log_return[:-1]
    result: FloatArray = talib.CORREL(bars.log_return, lagged, window)
    return result


# --- volatility ------------------------------------------------------------------------------


def volatility(bars: BarSeries, window: int) -> FloatArray:
    """Return the volatility per bar: the root mean square of log returns over `window` bars."""
    return bars.volatility(window)


def parkinson(bars: BarSeries, window: int) -> FloatArray:
    """Return the volatility per bar from high and low (Parkinson 1980)."""
    variance = mean(bars.log_range * bars.log_range, window) / (4.0 * np.log(2.0))
    result: FloatArray = np.sqrt(np.maximum(variance, 0.0))
    return result


def garman_klass(bars: BarSeries, window: int) -> FloatArray:
    """Return the volatility per bar from all four prices (Garman and Klass 1980)."""
    body = np.log(bars.close / bars.open)
    variance: FloatArray = 0.5 * bars.log_range**2 - (2.0 * np.log(2.0) - 1.0) * body**2
    return np.sqrt(np.maximum(mean(variance, window), 0.0))


def rogers_satchell(bars: BarSeries, window: int) -> FloatArray:
    """Return the drift-independent volatility per bar (Rogers and Satchell 1991)."""
    up, down = np.log(bars.high / bars.open), np.log(bars.low / bars.open)
    body = np.log(bars.close / bars.open)
    return np.sqrt(np.maximum(mean(up * (up - body) + down * (down - body), window), 0.0))


def volatility_ratio(bars: BarSeries, window: int) -> FloatArray:
    """Return the log of the volatility of `window` bars over that of four times as many bars."""
    return np.log(ratio(bars.volatility(window), bars.volatility(4 * window)))


def range_z(bars: BarSeries, window: int) -> FloatArray:
    """Return the z-score of the log range within the last `window` bars."""
    return z_score(bars.log_range, window)


def downside_share(bars: BarSeries, window: int) -> FloatArray:
    """Return the share of falls in the squared returns of `window` bars, in [0, 1]."""
    falls = mean(np.minimum(bars.log_return, 0.0) ** 2, window)
    return np.clip(ratio(falls, bars.volatility(window) ** 2), 0.0, 1.0)


# --- volume ----------------------------------------------------------------------------------


def volume_z(bars: BarSeries, window: int) -> FloatArray:
    """Return the z-score of the volume within the last `window` bars; NaN without any volume."""
    return np.where(_traded(bars, window), z_score(bars.volume, window), np.nan)


def _traded(bars: BarSeries, window: int) -> npt.NDArray[np.bool_]:
    """Return whether the window has any volume, by its maximum: running sums leave residues."""
    traded: npt.NDArray[np.bool_] = talib.MAX(bars.volume, window) > 0
    return traded


def volume_ratio(bars: BarSeries, window: int) -> FloatArray:
    """Return the mean volume of `window` bars over that of four times as many, in [0, 4]."""
    share = ratio(mean(bars.volume, window), mean(bars.volume, 4 * window))
    return np.where(_traded(bars, 4 * window), np.clip(share, 0.0, 4.0), np.nan)


def money_flow(bars: BarSeries, window: int) -> FloatArray:
    """Return the traded value at rising minus falling typical prices, as a share, in [-1, 1].

    This is the money-flow index, but NaN without any volume, where `talib.MFI` gives a number.
    """
    typical = bars.memo("typical", lambda: (bars.high + bars.low + bars.close) / 3.0)
    value = typical * bars.volume
    signed = np.sign(difference(typical, 1)) * value
    share = np.clip(ratio(mean(signed, window), mean(value, window)), -1.0, 1.0)
    return np.where(_traded(bars, window), share, np.nan)


# --- oscillators -----------------------------------------------------------------------------


def rsi(bars: BarSeries, window: int) -> FloatArray:
    """Return the relative strength index (Wilder 1978) in [-1, 1]; 0 if all closes are equal."""
    top, bottom = talib.MAX(bars.close, window), talib.MIN(bars.close, window)
    return np.where(top == bottom, 0.0, talib.RSI(bars.close, window) / 50.0 - 1.0)


def stochastic(bars: BarSeries, window: int) -> FloatArray:
    """Return where the close lies in the range of `window` bars, in [-1, 1]; 0 without range."""
    top, bottom = talib.MAX(bars.high, window), talib.MIN(bars.low, window)
    return _place(bars.close, bottom, top)


def close_place(bars: BarSeries) -> FloatArray:
    """Return where the close lies in the range of its bar, in [-1, 1]; 0 without range."""
    return _place(bars.close, bars.low, bars.high)


def _place(values: FloatArray, bottom: FloatArray, top: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        place = 2.0 * (values - bottom) / (top - bottom) - 1.0
    return np.where(top == bottom, 0.0, place)


def balance_of_power(bars: BarSeries, window: int) -> FloatArray:
    """Return the mean of body / range over `window` bars, in [-1, 1]; 0 for a bar without range."""
    raw = bars.memo("bop", lambda: talib.BOP(bars.open, bars.high, bars.low, bars.close))
    return mean(raw, window)


def upper_wick(bars: BarSeries) -> FloatArray:
    """Return the share of the bar's range above its body, in [0, 1]; 0 without range."""
    return _share(bars.high - np.maximum(bars.open, bars.close), bars.high - bars.low)


def lower_wick(bars: BarSeries) -> FloatArray:
    """Return the share of the bar's range below its body, in [0, 1]; 0 without range."""
    return _share(np.minimum(bars.open, bars.close) - bars.low, bars.high - bars.low)


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def aroon(bars: BarSeries, window: int) -> FloatArray:
    """Return the Aroon oscillator (Chande 1995) in [-1, 1]; positive if the high is more recent."""
    result: FloatArray = talib.AROONOSC(bars.high, bars.low, window) / 100.0
    return result


# --- trend -----------------------------------------------------------------------------------


def mean_distance(bars: BarSeries, window: int) -> FloatArray:
    """Return the log distance of the close from its mean, in volatilities over `window` bars."""
    distance = np.log(bars.close / mean(bars.close, window))
    return ratio(distance, bars.volatility(window) * np.sqrt(window))


def mean_cross(bars: BarSeries, window: int) -> FloatArray:
    """Return the log distance of the mean of `window` closes from that of four times as many.

    Its unit is the volatility over the longer window.
    """
    distance = np.log(mean(bars.close, window) / mean(bars.close, 4 * window))
    return ratio(distance, bars.volatility(4 * window) * np.sqrt(4 * window))


def efficiency(bars: BarSeries, window: int) -> FloatArray:
    """Return the net move over the sum of absolute moves (Kaufman 1995), signed, in [-1, 1]."""
    path = mean(np.abs(bars.log_return), window) * window
    moved = log_change(bars.close, window)
    return np.clip(ratio(moved, np.where(path > FLAT, path, 0.0)), -1.0, 1.0)


def adx(bars: BarSeries, window: int) -> FloatArray:
    """Return the average directional index (Wilder 1978), in [0, 1]: strength of a trend."""
    result: FloatArray = talib.ADX(bars.high, bars.low, bars.close, window) / 100.0
    return result


def directional_spread(bars: BarSeries, window: int) -> FloatArray:
    """Return the rising minus the falling directional indicator (Wilder 1978), in [-1, 1]."""
    rising = talib.PLUS_DI(bars.high, bars.low, bars.close, window)
    falling = talib.MINUS_DI(bars.high, bars.low, bars.close, window)
    result: FloatArray = (rising - falling) / 100.0
    return result


def below_high(bars: BarSeries, window: int) -> FloatArray:
    """Return ``log(close / highest high of window bars)``, at most 0."""
    return np.log(bars.close / talib.MAX(bars.high, window))


def above_low(bars: BarSeries, window: int) -> FloatArray:
    """Return ``log(close / lowest low of window bars)``, at least 0."""
    return np.log(bars.close / talib.MIN(bars.low, window))


# --- time ------------------------------------------------------------------------------------


def _cycle(hours: FloatArray, period_hours: int, shape: str) -> FloatArray:
    angle = 2.0 * np.pi * hours / period_hours
    return np.sin(angle) if shape == "sin" else np.cos(angle)


def hour_of_day(bars: BarSeries, shape: str) -> FloatArray:
    """Return the sine or cosine of the open time within the UTC day."""
    return _cycle(bars.time_ns % (24 * NS_PER_HOUR) / NS_PER_HOUR, 24, shape)


def day_of_week(bars: BarSeries, shape: str) -> FloatArray:
    """Return the sine or cosine of the open time within the week; Monday 00:00 UTC is angle 0."""
    since_monday = (bars.time_ns + 3 * 24 * NS_PER_HOUR) % (168 * NS_PER_HOUR)
    return _cycle(since_monday / NS_PER_HOUR, 168, shape)
