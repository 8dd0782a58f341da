"""The bar series that a formula receives, with the rolling functions that formulas share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import talib as talib  # formulas import it from here

FloatArray = npt.NDArray[np.float64]

if not TYPE_CHECKING:
    # TA-Lib's functions without their wrapper, which looks for series of pandas and polars in the
    # arguments: on the bars of one decision it takes as long as the function itself.
    talib = SimpleNamespace(
        **{name: inspect.unwrap(getattr(talib, name)) for name in talib.get_functions()}
    )

#: Volatility of log returns below which a series counts as flat. Running sums leave rounding
#: errors of 1e-11, which must not count as movement.
FLAT = 1e-9


class BarSeries:
    """One series of bars that keeps intermediate results for several features.

    Parameters
    ----------
    time_ns : int64 array of shape (n,)
        Bar open times, nanoseconds since 1970 UTC.
    open, high, low, close, volume : float64 arrays of shape (n,)
        Validated bars.
    """

    def __init__(
        self,
        time_ns: npt.NDArray[np.int64],
        open: FloatArray,
        high: FloatArray,
        low: FloatArray,
        close: FloatArray,
        volume: FloatArray,
    ) -> None:
        self.time_ns = time_ns
        self.open, self.high, self.low, self.close = open, high, low, close
        self.volume = volume
        self._memo: dict[Hashable, FloatArray] = {}

    def __len__(self) -> int:
        return len(self.close)

    def memo(self, key: Hashable, compute: Callable[[], FloatArray]) -> FloatArray:
        """Return the result stored under `key`; compute and store it at the first call."""
        if key not in self._memo:
            self._memo[key] = compute()
        return self._memo[key]

    @property
    def log_return(self) -> FloatArray:
        """Return the close-to-close log return over one bar; NaN in the first row."""
        return self.memo("log_return", lambda: log_change(self.close, 1))

    @property
    def log_range(self) -> FloatArray:
        """Return the logarithm of high / low, at least 0."""
        return self.memo("log_range", lambda: np.log(self.high / self.low))

    def volatility(self, window: int) -> FloatArray:
        """Return the root mean square of the last `window` log returns; NaN where it is flat."""
        return self.memo(("volatility", window), lambda: root_mean_square(self.log_return, window))


def difference(values: FloatArray, lag: int) -> FloatArray:
    """Return the change over `lag` rows; NaN in the first `lag` rows."""
    out = np.full(len(values), np.nan)
    out[lag:] = values[lag:] - values[:-lag]
    return out


def log_change(values: FloatArray, lag: int) -> FloatArray:
    """Return ``log(values[t] / values[t - lag])``; NaN in the first `lag` rows.

    A difference of logarithms would change with a factor on all values, by rounding. The ratio
    does not change at all if the factor is a power of two.
    """
    out = np.full(len(values), np.nan)
    out[lag:] = np.log(values[lag:] / values[:-lag])
    return out


def mean(values: FloatArray, window: int) -> FloatArray:
    """Return the mean of the last `window` rows; only the first rows of `values` may be NaN."""
    if window == 1:
        return values
    result: FloatArray = talib.SMA(values, window)
    return result


def root_mean_square(values: FloatArray, window: int) -> FloatArray:
    """Return the root mean square of the last `window` rows; NaN where it is at most `FLAT`."""
    square = np.maximum(mean(values * values, window), 0.0)
    return np.where(square > FLAT * FLAT, np.sqrt(square), np.nan)


def ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Return the quotient; NaN where the denominator is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def z_score(values: FloatArray, window: int) -> FloatArray:
    """Return the distance from the mean of the last `window` rows, in standard deviations.

    NaN where the standard deviation is at most 1e-6 of the mean: such a window counts as constant.
    """
    average = mean(values, window)
    spread: FloatArray = talib.STDDEV(values, window)
    return ratio(values - average, np.where(spread > 1e-6 * np.abs(average), spread, 0.0))
