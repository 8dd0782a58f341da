"""Validated price bars, which `validate_bars` makes from a table."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.bar_checks import (
    check_grid,
    check_jumps,
    check_order,
    check_values,
    describe_time,
    floats,
    utc_nanoseconds,
)
from features.calendar_option import choose_calendar
from features.calendars import DAY_NS, CalendarSpec
from features.errors import InputError
from features.interval import Interval
from features.schedule import Schedule, make_schedule, periods_per_year

FloatArray = npt.NDArray[np.float64]

PRICES = ("open", "high", "low", "close")
COLUMNS = ("timestamp", *PRICES, "volume")
#: Share of bars outside the sessions above which the bars are not those of a named calendar.
_FOREIGN = 0.2


@dataclass(frozen=True, eq=False)
class Bars:
    """Validated price bars of one symbol.

    Attributes
    ----------
    symbol : str
        Name of the instrument.
    schedule : Schedule
        The bars that the calendar schedules around these.
    time_ns : int64 array of shape (n,)
        Bar OPEN times, nanoseconds since 1970 UTC, strictly increasing; of daily bars the times
        with which they are stamped.
    open, high, low, close : float64 arrays of shape (n,)
        Finite, positive, ``low <= min(open, close)`` and ``high >= max(open, close)``.
    volume : float64 array of shape (n,)
        Finite, not negative.
    missing : int64 array of shape (n,)
        Scheduled bars missing right before each bar.
    notes : tuple of str
        What was inferred, left out or accepted, as sentences for users.
    open_bar_ns : int
        Time of the last bar if it was still open and is left out, else -1.
    """

    symbol: str
    schedule: Schedule
    time_ns: npt.NDArray[np.int64]
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    missing: npt.NDArray[np.int64]
    notes: tuple[str, ...] = ()
    open_bar_ns: int = -1

    def __len__(self) -> int:
        return len(self.time_ns)

    @property
    def interval(self) -> Interval:
        """Return the bar length."""
        return self.schedule.interval

    @property
    def calendar(self) -> str:
        """Return the calendar with its hours: ``24/7``, ``XNYS``, ``XNYS@04:00-20:00``."""
        return str(self.schedule.spec)

    @property
    def timestamps(self) -> pd.DatetimeIndex:
        """Return the bar open times as a UTC index of shape (n,)."""
        return pd.DatetimeIndex(self.time_ns.view("datetime64[ns]"), tz="UTC", name="timestamp")

    @property
    def feature_time_ns(self) -> npt.NDArray[np.int64]:
        """Return the times that features read, shape (n,): of daily bars midnight of their date.

        So the same daily bars give the same features, whether they are stamped at the open, at the
        close or with a date.
        """
        if not self.schedule.daily:
            return self.time_ns
        return self.schedule.keys(self.time_ns) * DAY_NS

    def dates(self) -> npt.NDArray[np.datetime64]:
        """Return the dates of daily bars by their sessions, datetime64[D] of shape (n,).

        A bar that is stamped at midnight in Tokyo has the date of Tokyo.
        """
        return self.schedule.keys(self.time_ns).astype("datetime64[D]")

    @cached_property
    def periods_per_year(self) -> float:
        """Return the number of bars in a year of 365 days (`features.schedule`)."""
        return periods_per_year(self.schedule, self.time_ns)

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of symbol, interval, calendar and every value, in hexadecimal."""
        sha = hashlib.sha256(f"{self.symbol}|{self.interval.text}|{self.calendar}".encode())
        for name in ("time_ns", *PRICES, "volume"):
            sha.update(np.ascontiguousarray(getattr(self, name)).data)
        if self.schedule.daily:
            sha.update(np.ascontiguousarray(self.feature_time_ns).data)
        return sha.hexdigest()

    def count_gaps(self) -> dict[str, int]:
        """Return the number of ``gaps``, ``missing_bars`` in them, and those of the ``longest``."""
        return {
            "gaps": int((self.missing > 0).sum()),
            "missing_bars": int(self.missing.sum()),
            "longest": int(self.missing.max()),
        }

    def segment_start(self, max_gap_bars: int) -> npt.NDArray[np.int64]:
        """Return for each bar the index of the first bar of its segment.

        A segment starts at bar 0 and after each gap of more than `max_gap_bars` missing bars.

        Returns
        -------
        int64 array of shape (n,)
        """
        starts = np.where(self.missing > max_gap_bars, np.arange(len(self)), 0)
        return np.maximum.accumulate(starts)

    def slice(self, start: int, stop: int) -> Bars:
        """Return the bars of indices ``start`` to ``stop - 1``; their arrays are views."""
        cut = slice(start, stop)
        names = ("time_ns", *PRICES, "volume", "missing")
        arrays = {name: getattr(self, name)[cut] for name in names}
        return Bars(
            self.symbol, self.schedule, **arrays, notes=self.notes, open_bar_ns=self.open_bar_ns
        )

    def to_frame(self) -> pd.DataFrame:
        """Return columns timestamp (UTC), open, high, low, close, volume, with one row per bar."""
        data = {name: getattr(self, name) for name in (*PRICES, "volume")}
        return pd.DataFrame({"timestamp": self.timestamps, **data})


def validate_bars(
    frame: pd.DataFrame,
    *,
    symbol: str,
    interval: Interval,
    calendar: str | CalendarSpec = "auto",
    allow_jumps: bool = False,
    now: pd.Timestamp | None = None,
) -> Bars:
    """Check that a table is a usable series of bars.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns timestamp, open, high, low, close, volume; others are ignored. Timestamps are
        bar OPEN times: UTC-aware, or naive and then read as UTC. Daily bars may be stamped at the
        open or the close of their session, at local midnight or with a date. Rows are not sorted
        or filled.
    symbol : str
        Used in messages and in the digest.
    interval : Interval
        Length that the bars must have.
    calendar : str or CalendarSpec, default "auto"
        ``auto`` to infer it from the bars; ``24/7``, ``24/5`` or an exchange such as ``XNYS``,
        whose hours are then inferred; ``XNYS@regular`` or ``XNYS@04:00-20:00``, or a
        `CalendarSpec`, for given hours.
    allow_jumps : bool, default False
        Accept one-bar moves of more than a factor 1.42 (`JUMP_BOUND`), which look like splits.
    now : pandas.Timestamp, optional
        If given, a last bar that is not complete at this time is left out, and times further in
        the future are an error.

    Returns
    -------
    Bars

    Raises
    ------
    InputError
        On a missing column, no rows, NaN or infinite values, unsorted, duplicate or future
        times, prices that are not positive or break ``low <= open, close <= high`` by more than
        rounding, an interval or a calendar other than the given one, or a suspected split.
    """
    absent = [name for name in COLUMNS if name not in frame.columns]
    if absent:
        raise InputError(
            f"bars of {symbol} lack the column(s) {', '.join(absent)}; "
            f"needed are {', '.join(COLUMNS)}, got {', '.join(map(str, frame.columns))}"
        )
    if not len(frame):
        raise InputError(f"bars of {symbol} are empty; give a series with at least one bar")
    time_ns = utc_nanoseconds(frame["timestamp"], symbol)
    values = {name: floats(frame[name], symbol, name) for name in (*PRICES, "volume")}
    check_order(time_ns, symbol, interval)
    schedule, notes = _schedule(time_ns, symbol, interval, calendar)
    n_closed = _n_closed(schedule, time_ns, symbol, now)
    open_bar_ns = -1
    if n_closed < len(time_ns):
        open_bar_ns = int(time_ns[n_closed])
        left_out = f"the last bar, {describe_time(time_ns, n_closed)}, is still open, and left out"
        notes = (*notes, left_out)
    time_ns = time_ns[:n_closed]
    values = {name: array[:n_closed] for name, array in values.items()}
    check_grid(schedule, time_ns, symbol)
    values, rounded = check_values(time_ns, values, symbol)
    if not allow_jumps:
        check_jumps(time_ns, values["open"], values["close"], symbol)
    return Bars(
        symbol,
        schedule,
        time_ns,
        **values,
        missing=schedule.missing(time_ns),
        notes=(*notes, *rounded),
        open_bar_ns=open_bar_ns,
    )


def _schedule(
    time_ns: npt.NDArray[np.int64], symbol: str, interval: Interval, calendar: str | CalendarSpec
) -> tuple[Schedule, tuple[str, ...]]:
    """Return the schedule of a calendar, and what users must know about it."""
    if isinstance(calendar, CalendarSpec):
        return make_schedule(calendar, interval, time_ns), ()
    chosen = choose_calendar(calendar, time_ns, interval)
    schedule = make_schedule(chosen.spec, interval, time_ns)
    if interval.ns > DAY_NS:
        return schedule, (chosen.reason,)
    outside = np.flatnonzero(~schedule.place(time_ns).scheduled)
    if not len(outside):
        return schedule, (chosen.reason,)
    first = describe_time(time_ns, int(outside[0]))
    if len(outside) > _FOREIGN * len(time_ns):
        raise InputError(
            f"bars of {symbol} are not bars of the calendar {chosen.spec}: {len(outside):,} of "
            f"{len(time_ns):,} lie outside its sessions, the first one {first}; give "
            "--calendar auto, 24/7 or the exchange of the bars"
        )
    note = f"{len(outside):,} bars outside the sessions of {chosen.spec}, the first one {first}"
    return schedule, (chosen.reason, note)


def _n_closed(
    schedule: Schedule, time_ns: npt.NDArray[np.int64], symbol: str, now: pd.Timestamp | None
) -> int:
    """Return how many bars are complete at `now`; raise unless all or all but the last are."""
    if now is None:
        return len(time_ns)
    is_open = schedule.closes(time_ns[-2:]) > now.value
    if not is_open[-1]:
        return len(time_ns)
    if len(time_ns) == 1:
        raise InputError(
            f"bars of {symbol} are one bar only, which is still open; wait until it closes"
        )
    if is_open[0]:
        raise InputError(
            f"times of {symbol} must not lie in the future: the bar of "
            f"{describe_time(time_ns, len(time_ns) - 2)} is still open, but it is not the "
            "last one; give times in UTC, or with their offset"
        )
    return len(time_ns) - 1
