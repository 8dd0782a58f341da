"""The bars that a calendar schedules: which are missing, when each closes, how many a year has."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.calendars import (
    ALWAYS,
    DAY_NS,
    HOUR_NS,
    MINUTE_NS,
    WEEK,
    CalendarSpec,
    IntArray,
    Sessions,
    local_ns,
    sessions,
    utc_ns,
)
from features.errors import InputError
from features.interval import Interval

BoolArray = npt.NDArray[np.bool_]

#: A year has 365 days, so that crypto has 8,760 hourly bars a year.
YEAR_NS = 365 * DAY_NS
#: Days of the schedule after the last bar: no exchange closes for longer (New Year in China).
_DAYS_AHEAD = 20
_CURRENCY_ZONE, _CURRENCY_ROLL_NS = "America/New_York", 17 * HOUR_NS


class Segments(NamedTuple):
    """Stretches of time without a break in which a market trades; int64 arrays of shape (n,)."""

    open_ns: IntArray
    close_ns: IntArray


class Placement(NamedTuple):
    """Where bars stand among the scheduled bars; int64 arrays of shape (n,).

    `before` counts the scheduled bars before a bar, `through` those up to and with it. They are
    equal for a bar that is not scheduled.
    """

    before: IntArray
    through: IntArray

    @property
    def scheduled(self) -> BoolArray:
        """Whether a bar is scheduled, shape (n,)."""
        return self.through > self.before


@dataclass(frozen=True, eq=False)
class Schedule:
    """The bars that a calendar schedules, from before the first bar to after the last one.

    Attributes
    ----------
    spec : CalendarSpec
        Calendar and hours.
    interval : Interval
        Bar length.
    key : int64 array of shape (n,)
        One value for each scheduled bar, increasing: of daily bars the local date in days since
        1970, of others the open time in nanoseconds.
    open_ns, close_ns : int64 arrays of shape (n,)
        When the first trade of the bar can happen, and when the bar is complete.
    stamp : str
        How the time of a daily bar gives its date: ``UTC date``, ``local date``, ``evening`` (a
        session of futures opens in the evening of the day before) or, without an exchange,
        ``nearest day`` in UTC; empty for other bars.
    segments : Segments
        When the market trades; empty for bars of a day or longer.
    zone : str
        Time zone of the calendar.
    """

    spec: CalendarSpec
    interval: Interval
    key: IntArray
    open_ns: IntArray
    close_ns: IntArray
    stamp: str
    segments: Segments
    zone: str

    @cached_property
    def daily(self) -> bool:
        """Whether bars are counted by date: bars of one day."""
        return self.interval.ns == DAY_NS

    def keys(self, time_ns: IntArray) -> IntArray:
        """Return the key of each bar: of daily bars its date, of others its time, shape (n,)."""
        return _dates(time_ns, self.stamp, self.zone) if self.daily else time_ns

    def place(self, time_ns: IntArray) -> Placement:
        """Return where bars stand among the scheduled ones.

        A bar belongs to the scheduled bar in which its time lies. So bars of local time keep their
        place when the clocks change.
        """
        key = self.keys(time_ns)
        if not len(self.key):
            return Placement(np.zeros_like(key), np.zeros_like(key))
        through = np.searchsorted(self.key, key, "right")
        if self.daily:
            return Placement(np.searchsorted(self.key, key, "left"), through)
        latest = self.key[np.maximum(through - 1, 0)]
        inside = (through > 0) & (key < latest + self.interval.ns)
        return Placement(through - inside, through)

    def missing(self, time_ns: IntArray) -> IntArray:
        """Count the scheduled bars between each bar and the bar before it; 0 for the first."""
        missing = np.zeros(len(time_ns), dtype=np.int64)
        step = self.interval.ns
        if step > DAY_NS:
            # Rounded: a weekly bar opens on the first trading day of its week.
            missing[1:] = (np.diff(time_ns) + step // 2) // step - 1
        else:
            before, through = self.place(time_ns)
            missing[1:] = before[1:] - through[:-1]
        return np.maximum(missing, 0)

    def closes(self, time_ns: IntArray) -> IntArray:
        """Return when each bar is complete, nanoseconds since 1970 UTC, shape (n,).

        A bar ends with its session, so the last bar of a half day ends early.
        """
        step = self.interval.ns
        if step > DAY_NS or self.spec.name == ALWAYS or (self.daily and self.spec.name == WEEK):
            return time_ns + step
        before, through = self.place(time_ns)
        if self.daily:
            # A day without a session ends with the local date.
            end = utc_ns((self.keys(time_ns) + 1) * DAY_NS, self.zone)
            slot = np.minimum(before, len(self.key) - 1)
            return np.where(through > before, self.close_ns[slot], end)
        segment = np.searchsorted(self.segments.close_ns, time_ns, "right")
        segment = np.minimum(segment, len(self.segments.close_ns) - 1)
        overlaps = self.segments.open_ns[segment] < time_ns + step
        overlaps &= self.segments.close_ns[segment] > time_ns
        # A first bar that is stamped with the open of the session ends at the full hour.
        slot = np.maximum(through - 1, 0)
        end = np.where(self.key[slot] == time_ns, self.close_ns[slot], time_ns + step)
        return np.where(overlaps, np.minimum(end, self.segments.close_ns[segment]), end)

    def next_open(self, time_ns: IntArray) -> IntArray:
        """Return when the next scheduled bar opens after each bar; -1 if that is not known."""
        step = self.interval.ns
        if step > DAY_NS or (self.spec.name == ALWAYS and self.daily):
            return time_ns + step
        after = self.place(time_ns).through
        known = after < len(self.key)
        return np.where(known, self.open_ns[np.minimum(after, len(self.key) - 1)], -1)

    def n_late(self, time_ns: int, now_ns: int) -> int:
        """Count the scheduled bars after the bar of `time_ns` that are complete at `now_ns`."""
        if self.interval.ns > DAY_NS:
            return max(int((now_ns - time_ns) // self.interval.ns) - 1, 0)
        after = int(self.place(np.array([time_ns])).through[0])
        return int(np.searchsorted(self.close_ns[after:], now_ns, "right"))


def make_schedule(
    spec: CalendarSpec,
    interval: Interval,
    time_ns: IntArray,
    *,
    until_ns: int = 0,
    days_back: int = 0,
) -> Schedule:
    """Return the schedule around bars.

    Parameters
    ----------
    spec : CalendarSpec
        Calendar and hours.
    interval : Interval
        Bar length.
    time_ns : int64 array of shape (n,)
        Times of the bars. They say how daily bars are stamped, and where in an hour hourly bars
        open.
    until_ns : int, default 0
        The schedule reaches at least 20 days further than this and than the last bar.
    days_back : int, default 0
        Days before the first bar at which the schedule begins.
    """
    first = int(time_ns[0]) // DAY_NS - 2 - days_back
    last = max(int(time_ns[-1]), until_ns) // DAY_NS + _DAYS_AHEAD
    if interval.ns > DAY_NS:
        empty = np.empty(0, dtype=np.int64)
        return Schedule(spec, interval, empty, empty, empty, "", Segments(empty, empty), "UTC")
    if interval.ns == DAY_NS:
        return _daily(spec, interval, time_ns, first, last)
    zone, segments = _segments(spec, first, last, time_ns)
    key, close_ns = _grid(segments, interval.ns, time_ns, zone)
    segment = np.minimum(
        np.searchsorted(segments.close_ns, key, "right"), len(segments.close_ns) - 1
    )
    return Schedule(
        spec,
        interval,
        key,
        open_ns=np.maximum(key, segments.open_ns[segment]),
        close_ns=np.minimum(close_ns, segments.close_ns[segment]),
        stamp="",
        segments=segments,
        zone=zone,
    )


def periods_per_year(schedule: Schedule, time_ns: IntArray) -> float:
    """Return how many bars a year of 365 days has, by the sessions in the span of the bars.

    Bars that the calendar does not schedule count too. A span shorter than a year is extended to
    the year before the last bar.

    Examples
    --------
    >>> hours = np.arange(0, 100 * HOUR_NS, HOUR_NS)
    >>> hourly = Interval.parse("1h")
    >>> periods_per_year(make_schedule(CalendarSpec("24/7"), hourly, hours), hours)
    8760.0
    """
    step = schedule.interval.ns
    if step > DAY_NS:
        return YEAR_NS / step
    days_back = max(366 - int(time_ns[-1] - time_ns[0]) // DAY_NS, 0)
    if days_back:
        schedule = make_schedule(schedule.spec, schedule.interval, time_ns, days_back=days_back)
    key, unit = schedule.key, DAY_NS if schedule.daily else 1
    placed = schedule.place(time_ns)
    first, stop = int(placed.before[0]), int(placed.through[-1])
    unscheduled = int((~placed.scheduled).sum())
    if stop - first < 2:  # The calendar schedules none of the bars: they are all that is known.
        return len(time_ns) * YEAR_NS / (int(time_ns[-1] - time_ns[0]) + step)
    outside = 1 + unscheduled / (stop - first)
    if days_back:
        end = int(key[stop - 1])
        return int(((key > end - YEAR_NS // unit) & (key <= end)).sum()) * outside
    if schedule.daily:
        days = schedule.keys(time_ns[[0, -1]])
        return (stop - first + unscheduled - 1) * 365 / int(days[1] - days[0])
    # From an open to an open, so that the closed time after the last bar is counted, too.
    stop = min(stop, len(key) - 1)
    return (stop - first) * YEAR_NS / int(key[stop] - key[first]) * outside


def off_grid(schedule: Schedule, time_ns: IntArray) -> BoolArray:
    """Mark the steps between bars that do not fit the bar length.

    Two bars at times of the schedule always fit. Bars of local time move by one hour against UTC
    when the clocks change: such steps fit, unless they are more frequent than two a year.

    Returns
    -------
    bool array of shape (n - 1,)
    """
    step = schedule.interval.ns
    remainder = np.diff(time_ns) % step
    deviation = np.minimum(remainder, step - remainder)
    marked: BoolArray = deviation != 0
    if not marked.any():
        return marked
    if schedule.daily:
        marked &= np.diff(schedule.keys(time_ns)) < 1
        return marked
    max_clock_changes = 2 + 2 * (time_ns[-1] - time_ns[0]) / YEAR_NS
    if step > HOUR_NS and marked.sum() <= max_clock_changes:
        marked &= deviation != HOUR_NS
    expected = np.isin(time_ns, schedule.key)
    marked &= ~(expected[1:] & expected[:-1])
    return marked


def _segments(spec: CalendarSpec, first: int, last: int, time_ns: IntArray) -> tuple[str, Segments]:
    """Return the zone of a calendar and when it trades, for bars shorter than a day."""
    if spec.name == ALWAYS:
        return "UTC", Segments(np.array([first * DAY_NS]), np.array([last * DAY_NS]))
    if spec.name == WEEK:
        return _CURRENCY_ZONE, _currency_weeks(first, last, time_ns)
    known = _known_sessions(spec, first, last)
    return known.exchange.zone, trading_segments(known, spec)


def _known_sessions(spec: CalendarSpec, first: int, last: int) -> Sessions:
    """Return the sessions of an exchange around bars; raise if the library knows none."""
    known = sessions(spec.name, first, last)
    if not len(known.day):
        end = pd.Timestamp(known.last_day * DAY_NS)
        raise InputError(
            f"`calendar` {spec.name} has no session near these bars: exchange_calendars knows it "
            f"until {end:%Y-%m-%d}; install a newer release of exchange_calendars, or name another "
            "calendar"
        )
    return known


def trading_segments(known: Sessions, spec: CalendarSpec) -> Segments:
    """Return when an exchange trades: its sessions, cut at breaks, widened to the hours."""
    before, after = _extension(known, spec)
    opens = np.column_stack([known.open_ns - before, known.break_end_ns])
    closes = np.column_stack([known.break_start_ns, known.close_ns])
    has_break = known.break_start_ns < known.break_end_ns
    keep = np.column_stack([np.ones(len(has_break), dtype=bool), has_break])
    closes[:, 0] = np.where(has_break, closes[:, 0], known.close_ns)
    # The extension is on the outer edges only.
    closes[has_break, 1] += after
    closes[~has_break, 0] += after
    opens, closes = opens[keep], closes[keep]
    return Segments(opens[opens < closes], closes[opens < closes])


def _extension(known: Sessions, spec: CalendarSpec) -> tuple[int, int]:
    """Return by how much hours begin before the regular open and end after the close."""
    if spec.hours is None:
        return 0, 0
    exchange = known.exchange
    first, last = spec.hours
    half = 720

    def signed(minutes: int) -> int:
        # The shorter way around the clock, so that 17:00 to 16:00 shortens a session by an hour.
        return (minutes + half) % 1440 - half

    before = signed(exchange.open_minute - first)
    after = signed(last - exchange.close_minute)
    return before * MINUTE_NS, after * MINUTE_NS


def _currency_weeks(first: int, last: int, time_ns: IntArray) -> Segments:
    """Return the weeks of currencies: from Sunday 17:00 in New York to Friday 17:00.

    Of brokers whose week begins on Monday 00:00 UTC the hours of Sunday are not scheduled.
    """
    # Whole years, as in `features.calendars.sessions`: a live model computes them once.
    years = [pd.Timestamp(day * DAY_NS).year for day in (first - 7, last)]
    monday, opens, closes = _weeks_of_years(*years)
    # From the last Sunday that is at least a week before the first day.
    kept = slice(*np.searchsorted(monday, [(first - 6) * DAY_NS, (last + 1) * DAY_NS + 1]).tolist())
    monday, opens, closes = monday[kept], opens[kept], closes[kept]
    week = np.searchsorted(opens, time_ns, "right") - 1
    traded = np.unique(week)
    on_sunday = np.unique(week[time_ns < monday[week]])
    if 2 * len(on_sunday) < len(traded):
        opens = monday
    return Segments(opens, closes)


@lru_cache(maxsize=64)
def _weeks_of_years(first_year: int, last_year: int) -> tuple[IntArray, IntArray, IntArray]:
    """Return Monday 00:00 UTC, the open before it and the close of each week, shape (n,) each."""
    sundays = pd.date_range(f"{first_year}-01-01", f"{last_year}-12-31", freq="W-SUN")
    sunday = sundays.as_unit("ns").to_numpy().view(np.int64)
    opens = utc_ns(sunday + _CURRENCY_ROLL_NS, _CURRENCY_ZONE)
    closes = utc_ns(sunday + 5 * DAY_NS + _CURRENCY_ROLL_NS, _CURRENCY_ZONE)
    return sunday + DAY_NS, opens, closes


def _grid(
    segments: Segments, step_ns: int, time_ns: IntArray, zone: str
) -> tuple[IntArray, IntArray]:
    """Return when the scheduled bars open, increasing, and when they close if trading goes on.

    Bars are counted from the open of each segment, or from full hours: as the given bars are. Bars
    of more than an hour may be counted from full hours in UTC or of the exchange's clocks.
    """
    from_open = _ragged(segments.open_ns, segments.close_ns, step_ns)
    grids = [(from_open, from_open + step_ns)]
    phases = _phases(time_ns, step_ns)
    counted = ((segments.open_ns - phases[0]) % step_ns == 0).all()
    if counted and (step_ns <= HOUR_NS or _share(time_ns, from_open) == 1):
        return grids[0]
    for phase in phases if step_ns > HOUR_NS else phases[:1]:
        start = phase + (segments.open_ns - phase) // step_ns * step_ns
        grids += _from_full_hours(segments, start, step_ns)
    if step_ns > HOUR_NS and zone != "UTC":
        local = local_ns(segments.open_ns, zone) // step_ns * step_ns
        grids += _from_full_hours(segments, utc_ns(local, zone), step_ns)
    return max(grids, key=lambda grid: _share(time_ns, grid[0]))


def _from_full_hours(
    segments: Segments, start: IntArray, step_ns: int
) -> list[tuple[IntArray, IntArray]]:
    """Return the bars that are counted from the full hour before each segment.

    The first bar is stamped with that hour, or with the open of its segment.
    """
    key = _ragged(start, segments.close_ns, step_ns)
    opens = np.repeat(segments.open_ns, _counts(start, segments.close_ns, step_ns))
    whole = np.unique(key)
    return [(whole, whole + step_ns), (np.maximum(key, opens), key + step_ns)]


def _ragged(start: IntArray, stop: IntArray, step: int) -> IntArray:
    """Return ``start[i], start[i] + step, ...`` below ``stop[i]``, for every i in sequence."""
    counts = _counts(start, stop, step)
    offset = np.repeat(np.cumsum(counts) - counts, counts)
    return np.asarray(np.repeat(start, counts) + step * (np.arange(counts.sum()) - offset))


def _counts(start: IntArray, stop: IntArray, step: int) -> IntArray:
    return np.asarray(np.maximum(-(-(stop - start) // step), 0))


def _share(time_ns: IntArray, key: IntArray) -> float:
    place = np.minimum(np.searchsorted(key, time_ns), len(key) - 1)
    return float((key[place] == time_ns).mean()) if len(key) else 0.0


def _phases(time_ns: IntArray, step_ns: int) -> list[int]:
    """Return the two most frequent remainders of the times by the bar length, or the only one."""
    remainder = time_ns % step_ns
    if (remainder == remainder[0]).all():
        return [int(remainder[0])]
    unique, counts = np.unique(remainder, return_counts=True)
    return [int(phase) for phase in unique[np.argsort(-counts, kind="stable")[:2]]]


def _daily(
    spec: CalendarSpec, interval: Interval, time_ns: IntArray, first: int, last: int
) -> Schedule:
    if spec.name in (ALWAYS, WEEK):
        day = np.arange(first, last + 1)
        if spec.name == WEEK:
            day = day[(day + 3) % 7 < 5]
        zone, known = "UTC", None
    else:
        known = _known_sessions(spec, first, last)
        day, zone = known.day, known.exchange.zone
    stamp = _stamp(time_ns, day, zone, known)
    if known is None:
        # A day of 24 hours begins at the bar's own time, for example 22:00 UTC.
        opens = day * DAY_NS + int(time_ns[-1] - DAY_NS * _dates(time_ns[-1:], stamp, zone)[0])
        closes = opens + DAY_NS
    else:
        opens, closes = known.open_ns, known.close_ns
    none = np.empty(0, dtype=np.int64)
    return Schedule(spec, interval, day, opens, closes, stamp, Segments(none, none), zone)


def _stamp(time_ns: IntArray, day: IntArray, zone: str, known: Sessions | None) -> str:
    """Return how daily bars are stamped: the reading with the fewest bars on closed days."""
    readings = (
        ["UTC date", "nearest day"] if known is None else ["UTC date", "local date", "evening"]
    )
    if known is not None and not known.exchange.evening:
        readings.remove("evening")
    midnight = (time_ns % DAY_NS == 0).all()
    if not midnight:
        readings = readings[1:] + readings[:1]

    def n_wrong(reading: str) -> int:
        date = _dates(time_ns, reading, zone)
        repeated = int((np.diff(date) <= 0).sum())
        return repeated * len(time_ns) + int((~np.isin(date, day)).sum())

    return min(readings, key=n_wrong)


def _dates(time_ns: IntArray, stamp: str, zone: str) -> IntArray:
    """Return the date of each daily bar, days since 1970, by the way in which it is stamped."""
    if stamp == "UTC date":
        return np.asarray(time_ns // DAY_NS)
    if stamp == "nearest day":
        return np.asarray((time_ns + DAY_NS // 2) // DAY_NS)
    local = local_ns(time_ns, zone)
    if stamp == "evening":
        # Futures open at 16:00 at the earliest, the day before: 8 hours later it is the next date.
        local = local + 8 * HOUR_NS
    return np.asarray(local // DAY_NS)
