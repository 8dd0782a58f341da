"""Sessions of exchanges, from the library exchange_calendars."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.errors import InputError
from features.session_store import stored

IntArray = npt.NDArray[np.int64]

MINUTE_NS = 60 * 10**9
HOUR_NS, DAY_NS = 60 * MINUTE_NS, 1_440 * MINUTE_NS
#: Calendars without sessions: crypto trades always, currencies from Sunday to Friday.
ALWAYS, WEEK = "24/7", "24/5"
#: The calendar of all shares in models of Barwright 0.1: 252 days of 6.5 hours.
RETIRED = "equity"
#: First and last year of which sessions are computed: the span hardly changes the time.
_YEARS = (1990, 2030)
_SPEC = re.compile(r"([^@\s]+)(?:@(\d{2}):(\d{2})-(\d{2}):(\d{2}))?")


@dataclass(frozen=True)
class CalendarSpec:
    """A calendar and the hours in which its bars trade.

    Attributes
    ----------
    name : str
        ``24/7``, ``24/5``, or the name of an exchange in exchange_calendars, such as ``XNYS``.
    hours : tuple of int, optional
        First and last minute of the local day between which bars trade, if these are not the
        regular hours of the exchange: ``(240, 1200)`` is 04:00 to 20:00.
    """

    name: str
    hours: tuple[int, int] | None = None

    @classmethod
    def parse(cls, text: str) -> CalendarSpec:
        """Parse ``XNYS`` or, with hours, ``XNYS@04:00-20:00``; an alias becomes its own name.

        Raises
        ------
        InputError
            If the library has no such calendar, or the hours are not two times of the day.

        Examples
        --------
        >>> CalendarSpec.parse("XNYS@04:00-20:00")
        CalendarSpec(name='XNYS', hours=(240, 1200))
        >>> CalendarSpec.parse("NASDAQ")
        CalendarSpec(name='XNYS', hours=None)
        """
        match = _SPEC.fullmatch(text)
        numbers = [int(number) for number in match.groups()[1:] if number] if match else []
        if match is None or any(n > 24 for n in numbers[::2]) or any(n > 59 for n in numbers[1::2]):
            raise InputError(
                f"`calendar` must be a name, or a name with hours, got {text!r}; write for example "
                "XNYS or XNYS@04:00-20:00"
            )
        name = match[1]
        if name in (ALWAYS, WEEK):
            if numbers:
                raise InputError(f"`calendar` {name} has no hours, got {text!r}; write {name}")
            return cls(name)
        hours = (numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]) if numbers else None
        return cls(_canonical(name), hours)

    def __str__(self) -> str:
        if self.hours is None:
            return self.name
        first, last = (f"{minute // 60:02}:{minute % 60:02}" for minute in self.hours)
        return f"{self.name}@{first}-{last}"


@dataclass(frozen=True)
class Exchange:
    """What the library states about an exchange without its sessions.

    Attributes
    ----------
    name, zone : str
        Name of the calendar, and its time zone.
    open_minute, close_minute : int
        Regular hours today, minutes of the local day.
    break_minutes : tuple of int
        First and last minute of the break at noon; twice `close_minute` without one.
    former_minutes : tuple of int
        Every open and close of the past and of today.
    weekdays : str
        ``1`` for each weekday with sessions, from Monday: ``1111100``.
    evening : bool
        Whether a session opens in the evening of the day before: futures.
    """

    name: str
    zone: str
    open_minute: int
    close_minute: int
    break_minutes: tuple[int, int]
    former_minutes: tuple[int, ...]
    weekdays: str
    evening: bool

    @property
    def length_minutes(self) -> int:
        """Length of a regular session."""
        return (self.close_minute - self.open_minute - 1) % 1440 + 1


@dataclass(frozen=True, eq=False)
class Sessions:
    """Sessions of an exchange in a span of days.

    Attributes
    ----------
    exchange : Exchange
        The exchange.
    day : int64 array of shape (n,)
        Local dates, days since 1970, increasing.
    open_ns, close_ns : int64 arrays of shape (n,)
        First and last moment, nanoseconds since 1970 UTC; of half days the early close.
    break_start_ns, break_end_ns : int64 arrays of shape (n,)
        The break at noon; both are `close_ns` on days without a break.
    last_day : int
        The day up to which the library knows the sessions.
    """

    exchange: Exchange
    day: IntArray
    open_ns: IntArray
    close_ns: IntArray
    break_start_ns: IntArray
    break_end_ns: IntArray
    last_day: int

    def between(self, first_day: int, last_day: int) -> Sessions:
        """Return the sessions of these days, both included."""
        cut = slice(*np.searchsorted(self.day, [first_day, last_day + 1]).tolist())
        names = ("day", "open_ns", "close_ns", "break_start_ns", "break_end_ns")
        arrays = {name: getattr(self, name)[cut] for name in names}
        return Sessions(self.exchange, **arrays, last_day=self.last_day)


def local_ns(time_ns: IntArray, zone: str) -> IntArray:
    """Return times as they stand on the clocks of a zone, in nanoseconds, shape (n,)."""
    local = pd.DatetimeIndex(time_ns.view("datetime64[ns]"), tz="UTC").tz_convert(zone)
    return np.asarray(local.tz_localize(None).to_numpy().view(np.int64))


def utc_ns(clock_ns: IntArray, zone: str) -> IntArray:
    """Return in UTC the times that the clocks of a zone showed, in nanoseconds, shape (n,).

    Of an hour that the clocks show twice the first one is meant, and an hour that they leave out
    is the next one.
    """
    clock = pd.DatetimeIndex(clock_ns.view("datetime64[ns]")).tz_localize(
        zone, nonexistent="shift_forward", ambiguous=np.ones(len(clock_ns), dtype=bool)
    )
    return np.asarray(clock.tz_convert(None).as_unit("ns").to_numpy().view(np.int64))


def calendar_requirements(text: str) -> tuple[str, ...]:
    """Return the distributions that are needed to read bars of a calendar."""
    return () if text in (ALWAYS, WEEK) else ("exchange_calendars",)


@lru_cache(maxsize=1)
def exchanges() -> dict[str, Exchange]:
    """Return every exchange of the library.

    The library offers these facts only of a calendar with sessions, and computing the sessions of
    all calendars takes 20 seconds. So they are read from classes whose constructor has not run.
    """
    from exchange_calendars.calendar_utils import global_calendar_dispatcher

    known = {}
    for name, kind in global_calendar_dispatcher._calendar_factories.items():
        if name in (ALWAYS, WEEK):
            continue
        bare = object.__new__(kind)
        opens, closes = _minutes(bare.open_times), _minutes(bare.close_times)
        starts = _minutes(bare.break_start_times or ()) or closes
        ends = _minutes(bare.break_end_times or ()) or closes
        known[name] = Exchange(
            name,
            zone=str(bare.tz),
            open_minute=opens[-1],
            close_minute=closes[-1],
            break_minutes=(starts[-1], ends[-1]),
            former_minutes=(*opens, *closes),
            weekdays=bare.weekmask,
            evening=bare.open_offset < 0,
        )
    return known


def _minutes(times: Sequence[tuple[Any, time | None]]) -> list[int]:
    """Return the times of the day of the library, each with the date from which it holds."""
    return [moment.hour * 60 + moment.minute for _, moment in times if moment is not None]


def sessions(name: str, first_day: int, last_day: int) -> Sessions:
    """Return the sessions of an exchange.

    Parameters
    ----------
    name : str
        Name of a calendar of the library, not an alias.
    first_day, last_day : int
        Days since 1970; days that the library does not know have no session.

    Raises
    ------
    InputError
        If the library cannot compute this calendar.
    """
    first_year = min(pd.Timestamp(first_day * DAY_NS).year, _YEARS[0])
    last_year = max(pd.Timestamp(last_day * DAY_NS).year, _YEARS[1])
    return _sessions_of_years(name, first_year, last_year).between(first_day, last_day)


@lru_cache(maxsize=128)
def _sessions_of_years(name: str, first_year: int, last_year: int) -> Sessions:
    # The number is that of the format: increase it if `_computed` returns other arrays.
    key = f"sessions-1-{name}-{first_year}-{last_year}"
    arrays = stored(key, lambda: _computed(name, first_year, last_year))
    last_day = int(arrays.pop("last_day")[0])
    return Sessions(exchanges()[name], **arrays, last_day=last_day)


def _computed(name: str, first_year: int, last_year: int) -> dict[str, IntArray]:
    """Return the arrays of `Sessions`, and `last_day` as an array."""
    from exchange_calendars.calendar_utils import global_calendar_dispatcher

    kind = global_calendar_dispatcher._calendar_factories[name]
    # Sessions of the year before and after: the first bar may follow a closed day.
    first, last = pd.Timestamp(first_year - 1, 12, 1), pd.Timestamp(last_year + 1, 1, 31)
    first = max(first, kind.bound_min() or first)
    last = min(last, kind.bound_max() or last)
    try:
        calendar = kind(start=first, end=last)
        schedule = calendar.schedule
    except (ValueError, NotImplementedError) as error:
        reason = str(error).splitlines()[0][:120]
        raise InputError(
            f"`calendar` {name} cannot be computed by exchange_calendars "
            f"{version('exchange_calendars')} ({reason}); name another calendar with the same "
            "sessions, or install another release of it"
        ) from error
    close = _nanoseconds(schedule["close"])
    return {
        "day": calendar.sessions.as_unit("ns").to_numpy().view(np.int64) // DAY_NS,
        "open_ns": _nanoseconds(schedule["open"]),
        "close_ns": close,
        "break_start_ns": _nanoseconds(schedule["break_start"], close),
        "break_end_ns": _nanoseconds(schedule["break_end"], close),
        "last_day": np.array([last.value // DAY_NS]),
    }


def _nanoseconds(column: pd.Series, default: IntArray | None = None) -> IntArray:
    times = column.dt.tz_convert(None).to_numpy().astype("datetime64[ns]")
    known = ~np.isnat(times)
    return (
        times.view(np.int64) if default is None else np.where(known, times.view(np.int64), default)
    )


def _canonical(name: str) -> str:
    """Return the name of a calendar; raise for a name that the library does not know."""
    library = _library()
    if name == RETIRED:
        raise InputError(
            f"`calendar` {RETIRED} was replaced by the calendars of exchanges; write auto, or name "
            "the exchange: XNYS for shares in New York"
        )
    known = library.get_calendar_names(include_aliases=True)
    if name not in known:
        near = get_close_matches(name.upper(), known, n=1)
        hint = f"did you mean {near[0]}?" if near else "for example XNYS, XETR, XTKS or CMES"
        raise InputError(
            f"`calendar` must be auto, 24/7, 24/5 or a name of exchange_calendars, got {name!r}; "
            f"{hint}"
        )
    resolved: str = library.resolve_alias(name)
    return resolved


def _library() -> Any:
    # Importing it takes 0.2 s; bars of 24/7 and 24/5 do not need it.
    import exchange_calendars

    return exchange_calendars
