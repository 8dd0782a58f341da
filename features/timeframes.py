"""Features of longer bars, from those of them that have closed: 4h and 1d beside bars of 1h."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.errors import InputError
from features.interval import Interval
from features.series import BarSeries, FloatArray

#: Parameters of a feature that say of which bars it is computed, and from which they are made.
TIMEFRAME, BASE = "timeframe", "interval"
_DAY = Interval.parse("1d")


@dataclass(frozen=True, eq=False)
class LongerBars:
    """Longer bars of a series, with the last closed one of each bar.

    Attributes
    ----------
    series : BarSeries
        One entry for each longer bar that contains a bar, the last one perhaps not closed.
    closed : int64 array of shape (n,)
        Index in `series` of the last longer bar that has closed when bar t closes; -1 for none.
    """

    series: BarSeries
    closed: npt.NDArray[np.int64]

    def align(self, values: FloatArray) -> FloatArray:
        """Return the value of the last closed longer bar at each bar, shape (n,); NaN for none."""
        return np.where(self.closed >= 0, values[self.closed], np.nan)


def longer_bars(bars: BarSeries, timeframe: Interval, base: Interval) -> LongerBars:
    """Join bars to longer ones, which begin at multiples of their length since 1970 UTC.

    A longer bar has closed when its time is over: when a bar closes at its end, or a later one
    opens. Bars that are missing change nothing about that.

    Parameters
    ----------
    bars : BarSeries
        n bars, oldest first.
    timeframe, base : Interval
        Lengths of the longer bars and of `bars`.

    Examples
    --------
    Two bars of 4h from bars of 1h. Bar 3 closes with the first one, bar 7 with the second one:

    >>> price = np.arange(1.0, 10.0)
    >>> hours = np.arange(9, dtype=np.int64) * Interval.parse("1h").ns
    >>> series = BarSeries(hours, price, price + 0.5, price - 0.5, price, np.ones(9))
    >>> longer = longer_bars(series, Interval.parse("4h"), Interval.parse("1h"))
    >>> longer.series.close.tolist(), longer.series.high.tolist(), longer.series.volume.tolist()
    ([4.0, 8.0, 9.0], [4.5, 8.5, 9.5], [4.0, 4.0, 1.0])
    >>> longer.align(longer.series.close).tolist()
    [nan, nan, nan, 4.0, 4.0, 4.0, 4.0, 8.0, 8.0]
    """
    number = bars.time_ns // timeframe.ns  # (n,)
    first = np.flatnonzero(np.diff(number, prepend=number[:1] - 1))  # (k,)
    last = np.append(first[1:], len(bars)) - 1  # (k,)
    index = np.cumsum(np.diff(number, prepend=number[:1] - 1) != 0) - 1  # (n,)
    over = bars.time_ns + base.ns >= (number + 1) * timeframe.ns
    series = BarSeries(
        number[first] * timeframe.ns,
        bars.open[first],
        np.maximum.reduceat(bars.high, first),
        np.minimum.reduceat(bars.low, first),
        bars.close[last],
        np.add.reduceat(bars.volume, first),
    )
    return LongerBars(series, index - ~over)


def memory_of(memory: int, timeframe: Interval, base: Interval) -> int:
    """Return the memory in bars of a feature that remembers so many longer bars.

    The longer bar at which the memory begins must be complete, and up to one that is not closed
    follows the last closed one.
    """
    return (memory + 2) * (timeframe.ns // base.ns)


def check_timeframe(text: object, base: Interval) -> Interval:
    """Return a timeframe; raise `InputError` if it cannot be made from bars of this length.

    It must be a multiple of the bar length, and a whole number of them must make one day, so that
    each day begins one.
    """
    if base.ns >= _DAY.ns:
        raise InputError(
            f"bars of {base.text} have no timeframes: a timeframe is longer than a bar and divides "
            "a day; leave `timeframes` out"
        )
    if not isinstance(text, str):
        raise InputError(f"`timeframes` must be named by texts as 4h, got {text!r}")
    try:
        timeframe = Interval.parse(text)
    except InputError as error:
        raise InputError(
            f"a timeframe must be a count and one of m, h, d, got {text!r}; write for example 4h "
            "or 1d"
        ) from error
    if timeframe.ns % base.ns or timeframe.ns == base.ns or _DAY.ns % timeframe.ns:
        raise InputError(
            f"a timeframe of bars of {base.text} must be a multiple of {base.text} that divides "
            f"a day, got {text!r}; use for example 4h or 1d"
        )
    return timeframe
