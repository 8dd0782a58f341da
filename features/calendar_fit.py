"""How well the hours of an exchange explain the times of bars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.calendars import (
    ALWAYS,
    DAY_NS,
    MINUTE_NS,
    WEEK,
    CalendarSpec,
    Exchange,
    IntArray,
    Sessions,
    exchanges,
    local_ns,
    sessions,
)
from features.errors import InputError
from features.interval import Interval
from features.schedule import make_schedule

#: Of exchanges that explain the bars equally well the first one is taken: the larger market.
LARGEST = (
    "XNYS", "XLON", "XETR", "XPAR", "XTKS", "XHKG", "XSHG", "XASX", "XTSE", "XBOM", "XTAI", "XSWX",
    "XAMS", "XMIL", "XMAD", "XSTO", "BVMF", "XJSE", "XSES", "XKRX", "CMES",
)  # fmt: skip
#: Share of bars that may be missing or unscheduled under a calendar that explains the bars.
EXPLAINED = 0.002
#: Share of unscheduled bars above which no calendar explains the closed days.
UNEXPLAINED = 0.02
#: Holidays on weekdays from which an exchange is told by them, with its hours.
LEAST_CLOSED = 3
#: Sessions from which hours can be inferred.
_LEAST_SESSIONS = 5
#: Number of times that are enough to find the hours of a market.
_MAX_SAMPLE = 10_000
#: Length of the parts of a day, in minutes.
_PART = 15


@dataclass(frozen=True)
class Fit:
    """How well a calendar explains the times of bars.

    Attributes
    ----------
    spec : CalendarSpec
        Calendar and hours.
    unscheduled, missing : int
        Bars that the calendar does not schedule, and scheduled bars that are missing.
    n_closed : int
        Weekdays without a session between the first and the last bar.
    """

    spec: CalendarSpec
    unscheduled: int
    missing: int
    n_closed: int

    @property
    def wrong(self) -> int:
        """Bars that are not scheduled, and scheduled bars that are missing."""
        return self.unscheduled + self.missing


def fit_spec(spec: CalendarSpec, time_ns: IntArray, interval: Interval) -> Fit:
    """Return how well a calendar explains the bars."""
    schedule = make_schedule(spec, interval, time_ns)
    placed = schedule.place(time_ns)
    missing = int(schedule.missing(time_ns).sum())
    n_closed = 0
    if spec.name != WEEK:
        first, last = int(time_ns[0]) // DAY_NS, int(time_ns[-1]) // DAY_NS
        weekdays = int(np.busday_count(*np.array([first, last + 1]).astype("datetime64[D]")))
        n_closed = max(weekdays - len(sessions(spec.name, first, last).day), 0)
    return Fit(spec, int((~placed.scheduled).sum()), missing, n_closed)


def fit_of(name: str, time_ns: IntArray, interval: Interval) -> Fit | None:
    """Return how well an exchange explains the bars; None if the library cannot compute it."""
    try:
        return fit_spec(infer_hours(name, time_ns, interval), time_ns, interval)
    except InputError:
        return None


def infer_hours(name: str, time_ns: IntArray, interval: Interval) -> CalendarSpec:
    """Return a calendar with the hours in which the bars trade.

    Hours are wider than the regular ones if half of the sessions have earlier or later bars, and
    narrower if 19 of 20 begin later or end earlier.
    """
    if name in (ALWAYS, WEEK) or not interval.intraday:
        return CalendarSpec(name)
    first, last = int(time_ns[0]) // DAY_NS - 2, int(time_ns[-1]) // DAY_NS + 2
    known = sessions(name, first, last)
    return CalendarSpec(name, _hours(known, time_ns, interval.ns))


def _hours(known: Sessions, time_ns: IntArray, step: int) -> tuple[int, int] | None:
    middle = (known.close_ns[:-1] + known.open_ns[1:]) // 2
    session = np.searchsorted(middle, time_ns, "right")  # the nearest session of each bar
    traded, first = np.unique(session, return_index=True)
    if len(traded) < _LEAST_SESSIONS:
        return None
    last = np.r_[first[1:], len(time_ns)] - 1
    early = known.open_ns[traded] - time_ns[first]
    late = time_ns[last] + step - known.close_ns[traded]
    # A bar that overlaps the open or the close is counted from a full hour: it is not outside.
    early[(early > 0) & (early < step)] = 0
    late[(late > 0) & (time_ns[last] < known.close_ns[traded])] = 0
    exchange = known.exchange
    before = _extension(early) // MINUTE_NS
    after = _extension(late) // MINUTE_NS
    if not before and not after:
        return None
    return (exchange.open_minute - before) % 1440, (exchange.close_minute + after) % 1440


def _extension(outside: IntArray) -> int:
    wider = int(np.quantile(outside, 0.5, method="nearest"))
    narrower = int(np.quantile(outside, 0.95, method="nearest"))
    if wider > 0:
        return wider
    return min(narrower, 0)  # a bar is missing at this end of nearly every session


def quarters(time_ns: IntArray, interval: Interval) -> tuple[IntArray, Interval]:
    """Return the quarters of an hour that have bars, for bars that are shorter.

    Bars of minutes are missing if nobody trades; that says nothing about the calendar.
    """
    quarter = Interval.parse("15m")
    if interval.ns >= quarter.ns:
        return time_ns, interval
    return np.unique(time_ns // quarter.ns * quarter.ns), quarter


def are_moved(spec: CalendarSpec) -> bool:
    """Return whether hours begin and end later than the regular ones, or both earlier."""
    if spec.hours is None:
        return False
    exchange = exchanges()[spec.name]
    later = [
        (minute - regular + 720) % 1440 - 720
        for minute, regular in zip(
            spec.hours, (exchange.open_minute, exchange.close_minute), strict=True
        )
    ]
    return later[0] * later[1] > 0


def sample_of(time_ns: IntArray) -> IntArray:
    """Return some of many times, always the same ones.

    They are not taken at equal steps, which could leave out hours of the day.
    """
    if len(time_ns) <= _MAX_SAMPLE:
        return time_ns
    chosen = np.random.default_rng(0).choice(len(time_ns), _MAX_SAMPLE, replace=False)
    return time_ns[np.sort(chosen)]


def coverage(since_open: IntArray, exchange: Exchange, interval: Interval) -> float:
    """Return the share of the regular hours in which there are bars.

    Parameters
    ----------
    since_open : int64 array of shape (n,)
        Minutes since the last regular open, 0 to 1439.
    exchange : Exchange
        Whose hours.
    interval : Interval
        Bar length.
    """
    # A bar that is counted from a full hour begins before the open.
    overlaps = since_open > 1440 - interval.ns // MINUTE_NS
    minute = np.where(overlaps, since_open - 1440, since_open)
    minute = minute[minute < exchange.length_minutes]
    first, last = ((m - exchange.open_minute) // _PART for m in exchange.break_minutes)
    parts = covered(minute, exchange.length_minutes, interval)
    return float(np.delete(parts, slice(first, last)).mean()) if len(minute) else 0.0


def covered(minute: IntArray, length: int, interval: Interval) -> npt.NDArray[np.bool_]:
    """Return which parts of `length` minutes have bars on most days, shape (parts,).

    Parameters
    ----------
    minute : int64 array of shape (n,)
        Minutes at which bars open, negative before the first part.
    length : int
        Minutes.
    interval : Interval
        Bar length.
    """
    n_parts = -(-length // _PART)
    width = max(int(interval.ns // MINUTE_NS) // _PART, 1)
    first = minute // _PART
    change = np.bincount(np.maximum(first, 0), minlength=n_parts + 1)
    change = change - np.bincount(np.clip(first + width, 0, n_parts), minlength=n_parts + 1)
    counts = np.cumsum(change)[:n_parts]
    return np.asarray(counts >= 0.3 * np.median(counts[counts > 0])) if counts.any() else counts > 0


def local_minute(time_ns: IntArray, zone: str) -> IntArray:
    """Return the minute of the local day of each time, shape (n,)."""
    return np.asarray(local_ns(time_ns, zone) % DAY_NS // MINUTE_NS)
