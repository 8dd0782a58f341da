"""Bar lengths and trading calendars: what one bar stands for in time."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.errors import InputError

_UNIT_SECONDS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_HOUR_NS = 3_600 * 10**9
_DAY_NS = 24 * _HOUR_NS
_YEAR_NS = 365.25 * _DAY_NS
_WEEK_NS = 7 * _DAY_NS
_FX_WEEK_NS = (4 * 24 + 22) * _HOUR_NS

#: Trading calendars and the hours that one of their days trades.
CALENDARS = ("24/7", "24/5", "equity")
_DAYS_PER_YEAR = {"24/7": 365, "24/5": 260, "equity": 252}
_HOURS_PER_DAY = {"24/7": 24.0, "24/5": 24.0, "equity": 6.5}


@dataclass(frozen=True)
class Interval:
    """Length of one bar.

    Attributes
    ----------
    text : str
        As the user wrote it: a count and a unit, e.g. ``"15m"``, ``"1h"``, ``"1d"``, ``"1w"``.
    ns : int
        The same in nanoseconds.
    """

    text: str
    ns: int

    @classmethod
    def parse(cls, text: str) -> Interval:
        """Read ``"15m"``, ``"1h"``, ``"4h"``, ``"1d"``, ``"1w"``.

        Raises
        ------
        InputError
            If the text is not a positive count and one of the units m, h, d, w.
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
        """Whether several bars fit into one day."""
        return self.ns < _DAY_NS

    def periods_per_year(self, calendar: str) -> float:
        """Bars in one trading year: the factor that annualises a per-bar Sharpe ratio.

        Crypto (``24/7``) has 8,760 hours or 365 days, currencies (``24/5``) 6,240 hours or
        260 days, shares (``equity``) 1,638 hours or 252 days.
        """
        days = _DAYS_PER_YEAR[calendar]
        if self.intraday:
            return days * _HOURS_PER_DAY[calendar] * 3_600e9 / self.ns
        # A week holds one weekly bar however many of its days trade.
        return days / (self.ns / _DAY_NS) if self.ns == _DAY_NS else 365.25 * _DAY_NS / self.ns


def off_grid(time_ns: npt.NDArray[np.int64], interval: Interval) -> npt.NDArray[np.bool_]:
    """Find steps that are no multiple of the interval, changes of clocks aside.

    Bars of local days, or of local four hours, move by an hour against UTC twice a year.

    Returns
    -------
    bool array of shape (n - 1,)
        One value for each pair of neighbours.
    """
    beyond = np.diff(time_ns) % interval.ns
    off = np.minimum(beyond, interval.ns - beyond)
    odd = off != 0
    changes = 2 + 2 * (time_ns[-1] - time_ns[0]) / _YEAR_NS
    if interval.ns > _HOUR_NS and odd.sum() <= changes:
        odd &= off != _HOUR_NS
    return np.asarray(odd)


def infer_calendar(time_ns: npt.NDArray[np.int64], interval: Interval) -> str:
    """Tell the calendar from the bars: weekends traded, nights traded, or neither.

    Parameters
    ----------
    time_ns : int64 array of shape (n,)
        Bar open times, nanoseconds since 1970 UTC.
    interval : Interval
        Bar length.

    Returns
    -------
    str
        ``"24/7"`` if more than 1 % of the bars open on a Saturday, ``"24/5"`` if the bars cover
        the whole day (or Sundays, for daily bars), else ``"equity"``.
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
    """Count the bars that should stand between each bar and the one before it, but do not.

    Scheduled closures (weekends of ``24/5`` and ``equity``, nights of ``equity``) are not
    missing; holidays are, because no calendar of holidays is consulted.

    Returns
    -------
    int64 array of shape (n,)
        Missing bars right before each bar; 0 for the first.
    """
    missing = np.zeros(len(time_ns), dtype=np.int64)
    late = np.flatnonzero(np.diff(time_ns) > interval.ns) + 1
    if not len(late):
        return missing
    before, after = time_ns[late - 1], time_ns[late]
    if calendar == "24/7" or interval.ns > _DAY_NS:
        # To the nearest: a day on which clocks change has 23 or 25 hours.
        missing[late] = (after - before + interval.ns // 2) // interval.ns - 1
    elif calendar == "24/5" or not interval.intraday:
        # Brokers close between Friday 22:00 and Monday 00:00 UTC, each at an hour of its own:
        # bars there are welcome, and never missed.
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
    """Days since 1970; of daily bars the nearest one, as local midnights lie around UTC's."""
    shift = 0 if interval.intraday else _DAY_NS // 2
    return np.asarray((time_ns + shift) // _DAY_NS)


def _dates(time_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.datetime64]:
    return (time_ns // _DAY_NS).astype("datetime64[D]")


def _week_slot(
    time_ns: npt.NDArray[np.int64], step_ns: int, open_ns: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Count the slots of open weeks before each time, and tell whether it stands in one.

    A week opens on Monday 00:00 UTC for `open_ns`.
    """
    since_monday = time_ns + 3 * _DAY_NS  # 1970 began on a Thursday
    week, within = since_monday // _WEEK_NS, since_monday % _WEEK_NS // step_ns
    per_week = open_ns // step_ns
    slot = week * per_week + np.minimum(within, per_week)
    return slot.astype(np.int64), (within < per_week).astype(np.int64)
