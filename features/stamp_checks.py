"""Refuse intraday bars whose times seem to be local clocks, or the closes of bars."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from features.calendar_fit import (
    EXPLAINED,
    LARGEST,
    LEAST_CLOSED,
    UNEXPLAINED,
    Fit,
    coverage,
    fit_of,
    fit_spec,
    local_minute,
    quarters,
    sample_of,
)
from features.calendars import (
    ALWAYS,
    HOUR_NS,
    MINUTE_NS,
    WEEK,
    CalendarSpec,
    IntArray,
    utc_ns,
)
from features.calendars import (
    exchanges as known_exchanges,
)
from features.errors import InputError
from features.interval import Interval

#: What times mean: a function from times as they are to opens of bars in UTC.
Reading = Callable[[IntArray], IntArray]

#: Share of the regular hours that bars must cover, and share of bars that must lie in them, before
#: the sessions of an exchange are compared with another reading of the times.
_COVERED, _INSIDE = 0.75, 0.9
#: Share of bars that may be missing from the regular hours, as thinly traded shares have it.
_MISSING = 0.3
#: Zones of people who trade elsewhere, beside those of the largest exchanges.
_MORE_ZONES = ("Europe/Athens",)
#: Clocks of many brokers: midnight is the end of the day of currencies in New York.
_BROKER_ZONE, _BROKER_AHEAD_NS = "America/New_York", 7 * HOUR_NS
_BROKER = "the clocks of a broker, 7 hours ahead of New York"


def check_stamps(
    chosen: CalendarSpec, time_ns: IntArray, interval: Interval, *, exchanges: Sequence[str]
) -> None:
    """Raise if another reading of the times explains them better than opens of bars in UTC.

    Bars that fit the regular hours of one of `exchanges` are not doubted. Others are read as times
    of local clocks, and as the closes of bars: the reading is named if it gives the regular
    sessions of an exchange, with holidays and clock changes.

    Parameters
    ----------
    chosen : CalendarSpec
        The calendar of the bars, as they are.
    time_ns : int64 array of shape (n,)
        Bar times, nanoseconds since 1970 UTC, increasing.
    interval : Interval
        Bar length; bars of a day or longer are not checked.
    exchanges : sequence of str
        The exchanges that the bars may be of.

    Raises
    ------
    InputError
        If there is such a reading; the message names it.
    """
    if not interval.intraday or chosen.name == ALWAYS:
        return
    wrong = fit_spec(chosen, time_ns, interval).wrong
    explains = wrong <= EXPLAINED * len(time_ns)
    if explains and chosen.name in (*exchanges, WEEK) and chosen.hours is None:
        return
    if chosen.name == WEEK:
        _check_broker(time_ns, interval, wrong)
    names = [name for name in dict.fromkeys((*exchanges, chosen.name)) if name in known_exchanges()]
    for name in names:
        if explains and chosen == CalendarSpec(name):
            continue
        limit = _limit(name, chosen, wrong, len(time_ns))
        zone = known_exchanges()[name].zone
        if _is_regular(name, _read_as(zone), time_ns, interval, limit):
            raise _clocks(f"clocks in {zone}", name, chosen)
        if _is_regular(name, lambda closes: closes - interval.ns, time_ns, interval, limit):
            raise _closes(name, chosen, interval)
    if wrong > UNEXPLAINED * len(time_ns):
        _check_other_clocks(chosen, *quarters(time_ns, interval), names)


def _limit(name: str, chosen: CalendarSpec, wrong: int, n_bars: int) -> float:
    """Return how many bars another reading may leave wrong, where `wrong` are so as they are.

    Of the exchange of the bars, a reading as regular hours need only be better.
    """
    if name != chosen.name:
        return EXPLAINED * n_bars
    if chosen.hours is None:
        return min(wrong / 2, _MISSING * n_bars)
    return max(EXPLAINED * n_bars, min(wrong, _MISSING * n_bars))


def _check_other_clocks(
    chosen: CalendarSpec, time_ns: IntArray, interval: Interval, names: Sequence[str]
) -> None:
    """Raise for clocks of another place, and for extended hours in those of the exchange."""
    if fit_spec(chosen, time_ns, interval).wrong <= UNEXPLAINED * len(time_ns):
        return  # thin trading: only bars of minutes are missing
    limit = EXPLAINED * len(time_ns)
    if interval.ns <= HOUR_NS:  # longer bars leave too many clocks possible
        zones = dict.fromkeys([*(known_exchanges()[name].zone for name in LARGEST), *_MORE_ZONES])
        readings = {f"clocks in {zone}": _read_as(zone) for zone in zones}
        for clocks, reading in (readings | {_BROKER: _read_as_broker}).items():
            for name in names:
                if _is_regular(name, reading, time_ns, interval, limit):
                    raise _clocks(clocks, name, chosen)
    for name in names:
        zone = known_exchanges()[name].zone
        fit = _fit(name, _read_as(zone), time_ns, interval, inside=0.0)
        if fit is not None and fit.wrong <= limit:
            raise _clocks(f"clocks in {zone}", name, chosen)


def _check_broker(time_ns: IntArray, interval: Interval, wrong: int) -> None:
    """Raise for currencies on the clocks of a broker."""
    week = fit_spec(CalendarSpec(WEEK), np.unique(_read_as_broker(time_ns)), interval)
    if week.wrong <= wrong / 4:
        raise _clocks(_BROKER, WEEK, CalendarSpec(WEEK))


def _read_as(zone: str) -> Reading:
    return lambda clock_ns: utc_ns(clock_ns, zone)


def _read_as_broker(clock_ns: IntArray) -> IntArray:
    return utc_ns(clock_ns - _BROKER_AHEAD_NS, _BROKER_ZONE)


def _is_regular(
    name: str, reading: Reading, time_ns: IntArray, interval: Interval, limit: float
) -> bool:
    """Return whether a reading gives the regular sessions of an exchange."""
    fit = _fit(name, reading, time_ns, interval, inside=_INSIDE)
    if fit is None or fit.spec.hours is not None or fit.wrong > limit:
        return False
    # A few long bars are those of the hours of many exchanges.
    return interval.ns <= HOUR_NS or fit.n_closed >= LEAST_CLOSED


def _fit(
    name: str, reading: Reading, time_ns: IntArray, interval: Interval, *, inside: float
) -> Fit | None:
    """Return how well an exchange explains a reading; None if it gives clearly other hours."""
    exchange = known_exchanges()[name]
    sample = local_minute(reading(sample_of(time_ns)), exchange.zone)
    since_open = (sample - exchange.open_minute) % 1440
    # A bar that is counted from a full hour begins before the open.
    step = interval.ns // MINUTE_NS
    share = ((since_open + step - 1) % 1440 < exchange.length_minutes + step - 1).mean()
    if share < inside or coverage(since_open, exchange, interval) < _COVERED:
        return None
    return fit_of(name, np.unique(reading(time_ns)), interval)


def _clocks(clocks: str, name: str, chosen: CalendarSpec) -> InputError:
    has_hours = chosen.hours is not None or chosen.name == WEEK
    sessions = "the week" if name == WEEK else "the sessions"
    return InputError(
        f"times seem to be those of {clocks}: so read, they are {sessions} of {name}, and in UTC "
        "they are those of no exchange; write UTC, or times with their offset, or give "
        f"--calendar {chosen if has_hours else f'{chosen}@regular'} if they are UTC"
    )


def _closes(name: str, chosen: CalendarSpec, interval: Interval) -> InputError:
    return InputError(
        f"times seem to be the closes of bars: {interval.text} earlier they are the regular "
        f"sessions of {name}, and as they are they begin {interval.text} after its open; subtract "
        f"{interval.text}, so that a time is the open of its bar, or give --calendar {chosen} if "
        "they are opens"
    )
