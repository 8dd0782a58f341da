"""The time axis of bars: bar length, trading calendar, missing bars."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from features.errors import InputError

_UNIT_SECONDS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_HOUR_NS = 3_600 * 10**9
_DAY_NS = 24 * _HOUR_NS
_YEAR_NS = 365.25 * _DAY_NS
_WEEK_NS = 7 * _DAY_NS
_FX_WEEK_NS = (4 * 24 + 22) * _HOUR_NS

#: ``24/7``: crypto. ``24/5``: currencies. ``equity``: shares, in the sessions of an exchange.
Calendar = Literal["24/7", "24/5", "equity"]
#: The names of all calendars.
CALENDARS: tuple[Calendar, ...] = get_args(Calendar)
_TRADING_DAYS_PER_YEAR = {"24/7": 365, "24/5": 260, "equity": 252}
_TRADING_HOURS_PER_DAY = {"24/7": 24.0, "24/5": 24.0, "equity": 6.5}


@dataclass(frozen=True)
class Interval:
    """Length of one bar.

    Attributes
    ----------
    text : str
        A count and a unit, as the user wrote it: ``"15m"``, ``"1h"``, ``"1d"``, ``"1w"``.
    ns : int
        The length in nanoseconds.
    """

    text: str
    ns: int

    @classmethod
    def parse(cls, text: str) -> Interval:
        """Parse a text such as ``"15m"``, ``"1h"``, ``"4h"``, ``"1d"`` or ``"1w"``.

        Raises
        ------
        InputError
            If the text is not a count from 1 to 9999 with one of the units m, h, d, w.
        """
        match = re.fullmatch(r"([1-9][0-9]{0,3})([mhdw])", text)
        if match is None:
            raise InputError(
                f"`interval` must be a count and one of m, h, d, w, got {text!r}; "
                "write for example 15m, 1h, 4h or 1d"
            )
        return cls(text, int(match[1]) * _UNIT_SECONDS[match[2]] * 10**9)

    @property
    def intraday(self) -> bool:
        """Whether a bar is shorter than one day."""
        return self.ns < _DAY_NS

    def periods_per_year(self, calendar: str) -> float:
        """Return the number of bars in one trading year.

        The square root of this number annualises a Sharpe ratio per bar.

        Examples
        --------
        >>> Interval.parse("1h").periods_per_year("24/7")  # 365 days of 24 hours
        8760.0
        >>> Interval.parse("1h").periods_per_year("equity")  # 252 days of 6.5 hours
        1638.0
        >>> Interval.parse("1d").periods_per_year("24/5")
        260.0
        """
        days = _TRADING_DAYS_PER_YEAR[calendar]
        if self.intraday:
            return days * _TRADING_HOURS_PER_DAY[calendar] * 3_600e9 / self.ns
        # A week contains one weekly bar, whatever the number of its trading days.
        return days / (self.ns / _DAY_NS) if self.ns == _DAY_NS else 365.25 * _DAY_NS / self.ns


def off_grid(time_ns: npt.NDArray[np.int64], interval: Interval) -> npt.NDArray[np.bool_]:
    """Mark the steps between bars that are not a multiple of the interval.

    Bars that open at local times move by one hour against UTC when the clocks change. Such steps
    are not marked, unless they are more frequent than two changes a year.

    Parameters
    ----------
    time_ns : int64 array of shape (n,)
        Bar open times, nanoseconds since 1970 UTC, increasing.
    interval : Interval
        Bar length.

    Returns
    -------
    bool array of shape (n - 1,)
        One value for each pair of successive bars.
    """
    remainder = np.diff(time_ns) % interval.ns
    deviation = np.minimum(remainder, interval.ns - remainder)
    marked = deviation != 0
    max_clock_changes = 2 + 2 * (time_ns[-1] - time_ns[0]) / _YEAR_NS
    if interval.ns > _HOUR_NS and marked.sum() <= max_clock_changes:
        marked &= deviation != _HOUR_NS
    return np.asarray(marked)


def infer_calendar(time_ns: npt.NDArray[np.int64], interval: Interval) -> Calendar:
    """Infer the trading calendar from the open times of the bars.

    Parameters
    ----------
    time_ns : int64 array of shape (n,)
        Bar open times, nanoseconds since 1970 UTC.
    interval : Interval
        Bar length.

    Returns
    -------
    {"24/7", "24/5", "equity"}
        ``"24/7"`` if more than 1 % of the bars open on a Saturday or a bar is longer than a day;
        ``"24/5"`` if intraday bars cover the whole day, or if more than 1 % of daily bars open on
        a Sunday; else ``"equity"``.
    """
    weekday = (_day(time_ns, interval) + 3) % 7
    if interval.ns > _DAY_NS or (weekday == 5).mean() > 0.01:
        return "24/7"
    if not interval.intraday:
        return "24/5" if (weekday == 6).mean() > 0.01 else "equity"
    hours = np.unique(time_ns % _DAY_NS // _HOUR_NS)
    expected = min(24, _DAY_NS // interval.ns)
    return "24/5" if len(hours) >= expected - 1 else "equity"


def missing_bars(
    time_ns: npt.NDArray[np.int64], interval: Interval, calendar: str
) -> npt.NDArray[np.int64]:
    """Count the bars that are missing between each bar and the bar before it.

    Scheduled closures (weekends of ``24/5`` and ``equity``, nights of ``equity``) do not count.
    Holidays count, because holiday calendars are not used.

    Parameters
    ----------
    time_ns : int64 array of shape (n,)
        Bar open times, nanoseconds since 1970 UTC, increasing.
    interval : Interval
        Bar length.
    calendar : {"24/7", "24/5", "equity"}
        Trading calendar.

    Returns
    -------
    int64 array of shape (n,)
        Missing bars right before each bar; 0 for the first.

    Examples
    --------
    Hourly bars of Friday 20:00 and 21:00, then of Monday 00:00 and 03:00. A currency market is
    closed at the weekend, so only Monday 01:00 and 02:00 are missing:

    >>> texts = ["2024-01-05T20", "2024-01-05T21", "2024-01-08T00", "2024-01-08T03"]
    >>> time_ns = np.array(texts, dtype="datetime64[ns]").view(np.int64)
    >>> missing_bars(time_ns, Interval.parse("1h"), "24/5").tolist()
    [0, 0, 0, 2]
    >>> missing_bars(time_ns, Interval.parse("1h"), "24/7").tolist()
    [0, 0, 50, 2]
    """
    missing = np.zeros(len(time_ns), dtype=np.int64)
    late = np.flatnonzero(np.diff(time_ns) > interval.ns) + 1
    if not len(late):
        return missing
    before, after = time_ns[late - 1], time_ns[late]
    if calendar == "24/7" or interval.ns > _DAY_NS:
        # Rounded to the nearest count: a day on which the clocks change has 23 or 25 hours.
        missing[late] = (after - before + interval.ns // 2) // interval.ns - 1
    elif calendar == "24/5" or not interval.intraday:
        # Brokers close between Friday 22:00 and Monday 00:00 UTC, at different hours: bars in
        # that time are accepted, and their absence does not count.
        open_ns = _FX_WEEK_NS if interval.intraday else 5 * _DAY_NS
        if not interval.intraday:
            before, after = (_day(t, interval) * _DAY_NS for t in (before, after))
        slot_before, open_before = _week_slot(before, interval.ns, open_ns)
        slot_after, _ = _week_slot(after, interval.ns, open_ns)
        missing[late] = np.maximum(slot_after - slot_before - open_before, 0)
    else:
        day = time_ns // _DAY_NS
        per_session = int(np.median(np.unique(day, return_counts=True)[1]))
        same_day = before // _DAY_NS == after // _DAY_NS
        nights = np.busday_count(_dates(before), _dates(after)) - 1
        missing[late] = np.where(
            same_day, (after - before) // interval.ns - 1, np.maximum(nights, 0) * per_session
        )
    return missing


def _day(time_ns: npt.NDArray[np.int64], interval: Interval) -> npt.NDArray[np.int64]:
    """Return days since 1970: of daily bars the nearest day, as they open at local midnight."""
    shift = 0 if interval.intraday else _DAY_NS // 2
    return np.asarray((time_ns + shift) // _DAY_NS)


def _dates(time_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.datetime64]:
    return (time_ns // _DAY_NS).astype("datetime64[D]")


def _week_slot(
    time_ns: npt.NDArray[np.int64], step_ns: int, open_ns: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Count the bar slots of open weeks before each time.

    A week is open from Monday 00:00 UTC for `open_ns`. A slot has the length `step_ns`.

    Returns
    -------
    slot : int64 array of shape (n,)
        Number of slots before each time.
    in_slot : int64 array of shape (n,)
        1 if the time lies in an open week, else 0.
    """
    since_monday = time_ns + 3 * _DAY_NS  # 1970-01-01 was a Thursday
    week, within = since_monday // _WEEK_NS, since_monday % _WEEK_NS // step_ns
    per_week = open_ns // step_ns
    slot = week * per_week + np.minimum(within, per_week)
    return slot.astype(np.int64), (within < per_week).astype(np.int64)
