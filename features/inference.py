"""Infer the calendar of bars from their times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.calendars import (
    ALWAYS,
    DAY_NS,
    MINUTE_NS,
    RETIRED,
    WEEK,
    CalendarSpec,
    Exchange,
    IntArray,
    Sessions,
    exchanges,
    local_ns,
    sessions,
    utc_ns,
)
from features.errors import InputError
from features.interval import Interval
from features.schedule import make_schedule

#: Ending of a calendar option that asks for the regular hours, whatever the hours of the bars.
REGULAR = "@regular"
#: Of exchanges that explain the bars equally well the first one is taken: the larger market.
_LARGEST = (
    "XNYS", "XLON", "XETR", "XPAR", "XTKS", "XHKG", "XSHG", "XASX", "XTSE", "XBOM", "XTAI", "XSWX",
    "XAMS", "XMIL", "XMAD", "XSTO", "BVMF", "XJSE", "XSES", "XKRX", "CMES",
)  # fmt: skip
#: Share of Saturday bars above which a market has no weekend; crypto has 1/7.
_SATURDAYS = 0.05
#: Share of bars that may be missing or unscheduled under a calendar that explains the bars.
_EXPLAINED = 0.002
#: Share of unscheduled bars above which no calendar explains the closed days.
_UNEXPLAINED = 0.02
#: Share of dates on the days off of an exchange above which it is no candidate.
_WRONG_WEEKDAYS = 0.1
#: Span below which bars without a gap show no closed time.
_SHORTEST_NS = 5 * DAY_NS
#: Span in which every exchange has a holiday on a weekday.
_WITH_HOLIDAYS_NS = 300 * DAY_NS
#: Holidays on weekdays from which an exchange is sure: of intraday bars, whose hours few exchanges
#: have, and of daily bars, which Christmas and New Year do not tell apart.
_LEAST_CLOSED, _LEAST_CLOSED_DAILY = 3, 6
#: If no exchange explains the bars, the largest one is taken that has at most this multiple of the
#: fewest wrong bars.
_AS_GOOD = 2.5
#: Share of a day, in parts with bars, above which a market trades round the clock; and the minutes
#: that a session of such a market has at least.
_ROUND_THE_CLOCK, _LONG_SESSION = 0.85, 1_200
#: An exchange is a candidate if it agrees with the bars at least this much as the best one does.
_AGREES = 0.75
#: Sessions from which hours can be inferred.
_LEAST_SESSIONS = 5
#: Share of daily bars at the open or close of an exchange above which they are its bars; a few
#: half days close at other times.
_STAMPED = 0.95
#: Times that are looked at to find candidates, and the length of the parts of a day, in minutes.
_MAX_SAMPLE, _PART = 20_000, 15


@dataclass(frozen=True)
class Inferred:
    """A calendar that was inferred from bars.

    Attributes
    ----------
    spec : CalendarSpec
        The calendar, with hours if they are not the regular ones.
    reason : str
        What it was inferred from, and how sure that is, as a sentence for users.
    explains : bool
        Whether the calendar explains nearly all of the bars.
    """

    spec: CalendarSpec
    reason: str
    explains: bool = True


@dataclass(frozen=True)
class _Fit:
    """How well a calendar explains the times of bars."""

    spec: CalendarSpec
    unscheduled: int
    missing: int
    n_closed: int

    @property
    def wrong(self) -> int:
        return self.unscheduled + self.missing


def check_calendar(text: str) -> str:
    """Return the text of the option `--calendar` if `choose_calendar` can read it.

    Raises
    ------
    InputError
        If it names no calendar.
    """
    if text != "auto":
        CalendarSpec.parse(text.removesuffix(REGULAR))
    return text


def choose_calendar(text: str, time_ns: IntArray, interval: Interval) -> Inferred:
    """Return the calendar that an option names; what it leaves open is inferred from the bars.

    Parameters
    ----------
    text : str
        ``auto``; ``24/7``, ``24/5`` or an exchange such as ``XNYS``, of which the hours are
        inferred; or with hours: ``XNYS@regular``, ``XNYS@04:00-20:00``.
    time_ns : int64 array of shape (n,)
        Bar times, nanoseconds since 1970 UTC, increasing.
    interval : Interval
        Bar length.

    Raises
    ------
    InputError
        If there is no such calendar, or the library cannot compute it.
    """
    if text == "auto":
        inferred = infer_calendar(time_ns, interval)
        if interval.intraday and not inferred.explains:
            _check_clocks(time_ns, interval)
        return inferred
    if text == RETIRED:  # of a model of Barwright 0.1
        inferred = infer_calendar(time_ns, interval)
        return Inferred(
            inferred.spec, f"calendar {RETIRED} of an earlier version: {inferred.reason}"
        )
    if text.endswith(REGULAR):
        return Inferred(CalendarSpec.parse(text.removesuffix(REGULAR)), f"calendar {text}")
    spec = CalendarSpec.parse(text)
    if spec.hours is not None:
        return Inferred(spec, f"calendar {spec}")
    spec = infer_hours(spec.name, time_ns, interval)
    how = ", hours inferred from the bars" if spec.hours else ""
    return Inferred(spec, f"calendar {spec}{how}")


def infer_calendar(time_ns: IntArray, interval: Interval) -> Inferred:
    """Return the calendar that explains the times of bars best.

    A calendar is wrong by each bar that it does not schedule, and by each scheduled bar that is
    missing. Daily bars are compared by their dates only, however they are stamped.

    Parameters
    ----------
    time_ns : int64 array of shape (n,)
        Bar times, nanoseconds since 1970 UTC, increasing.
    interval : Interval
        Bar length.
    """
    if interval.ns > DAY_NS:
        return Inferred(CalendarSpec(ALWAYS), "calendar 24/7: bars are longer than a day")
    saturdays = _saturday_share(time_ns, interval)
    if saturdays > _SATURDAYS:
        return Inferred(
            CalendarSpec(ALWAYS), f"calendar 24/7, inferred: {saturdays:.0%} of bars on Saturdays"
        )
    if time_ns[-1] - time_ns[0] < _SHORTEST_NS and (np.diff(time_ns) == interval.ns).all():
        return Inferred(CalendarSpec(ALWAYS), "calendar 24/7, a guess: bars of less than a week")
    week = _fit(CalendarSpec(WEEK), time_ns, interval)
    if interval.intraday and week.wrong <= _UNEXPLAINED * len(time_ns):
        return Inferred(
            week.spec, "calendar 24/5, inferred: bars in all hours from Sunday to Friday"
        )
    # Daily bars with the time of an open or a close are those of an exchange.
    stamped = not interval.intraday and _stamped_at_trading(time_ns)
    if not stamped and week.wrong == 0 and time_ns[-1] - time_ns[0] >= _WITH_HOLIDAYS_NS:
        return Inferred(week.spec, "calendar 24/5, inferred: a bar on every weekday, no holiday")
    fits = _exchange_fits(time_ns, interval, _candidates(time_ns, interval))
    best = _best(fits, len(time_ns))
    if best is None or (week.wrong < best.wrong and not stamped):
        best, fits = week, []
    explains = best.wrong <= _UNEXPLAINED * len(time_ns)
    return Inferred(best.spec, _reason(best, fits, len(time_ns), interval), explains)


def _check_clocks(time_ns: IntArray, interval: Interval) -> None:
    """Raise if an exchange explains the times as those of its own clocks, and not as UTC."""
    known = exchanges()
    minute = time_ns % DAY_NS // MINUTE_NS
    for name in filter(known.__contains__, _LARGEST):
        exchange = known[name]
        since_open = (minute - exchange.open_minute) % 1440
        if (since_open < exchange.length_minutes).mean() < _AGREES:
            continue
        moved = utc_ns(time_ns, exchange.zone)
        fit = _fit_of(name, moved, interval)
        if fit is not None and fit.wrong <= _EXPLAINED * len(time_ns):
            raise InputError(
                f"times seem to be those of clocks in {exchange.zone}: so read, they are the "
                f"sessions of {name}, and in UTC they are those of no exchange; write UTC, or "
                "times with their offset, or give --calendar if they are UTC"
            )


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
    before = _extension(early, step) // MINUTE_NS
    after = _extension(late, step) // MINUTE_NS
    if not before and not after:
        return None
    return (exchange.open_minute - before) % 1440, (exchange.close_minute + after) % 1440


def _extension(outside: IntArray, step: int) -> int:
    wider = int(np.quantile(outside, 0.5, method="nearest"))
    narrower = int(np.quantile(outside, 0.95, method="nearest"))
    if wider > 0:
        return wider
    return narrower if narrower <= -step else 0


def _saturday_share(time_ns: IntArray, interval: Interval) -> float:
    """Return the share of Saturdays; a daily bar may be stamped in the evening before its day."""
    shifts = (0,) if interval.intraday else (0, DAY_NS // 2)
    return min(float((((time_ns + shift) // DAY_NS + 3) % 7 == 5).mean()) for shift in shifts)


def _fit(spec: CalendarSpec, time_ns: IntArray, interval: Interval) -> _Fit:
    schedule = make_schedule(spec, interval, time_ns)
    placed = schedule.place(time_ns)
    missing = int(schedule.missing(time_ns).sum())
    n_closed = 0
    if spec.name != WEEK:
        first, last = int(time_ns[0]) // DAY_NS, int(time_ns[-1]) // DAY_NS
        weekdays = int(np.busday_count(*np.array([first, last + 1]).astype("datetime64[D]")))
        n_closed = max(weekdays - len(sessions(spec.name, first, last).day), 0)
    return _Fit(spec, int((~placed.scheduled).sum()), missing, n_closed)


def _fit_of(name: str, time_ns: IntArray, interval: Interval) -> _Fit | None:
    """Return how well an exchange explains the bars; None if the library cannot compute it."""
    try:
        return _fit(infer_hours(name, time_ns, interval), time_ns, interval)
    except InputError:
        return None


def _exchange_fits(
    time_ns: IntArray, interval: Interval, candidates: dict[str, float]
) -> list[_Fit]:
    """Return how well exchanges explain the bars; stop at one that explains nearly all."""
    rank = {
        name: place for place, name in enumerate((*_LARGEST, *candidates)) if name in candidates
    }
    fits: list[_Fit] = []
    for large in (True, False):
        # Those in whose regular hours the bars lie come first: they explain the bars most often.
        for name in sorted(candidates, key=lambda name: -round(candidates[name], 1)):
            if (name in _LARGEST) is not large:
                continue
            fit = _fit_of(name, time_ns, interval)
            if fit is None:
                continue
            if fit.wrong <= _EXPLAINED * len(time_ns):
                return [fit]
            fits.append(fit)
        fits.sort(key=lambda fit: rank[fit.spec.name])
        best = _best(fits, len(time_ns))
        if best is not None and (
            best.wrong <= _UNEXPLAINED * len(time_ns) or best.missing <= _EXPLAINED * len(time_ns)
        ):
            return fits
    return fits


def _best(fits: Sequence[_Fit], n_bars: int) -> _Fit | None:
    """Return the fit with the fewest wrong bars; the first one if none explains the bars."""
    if not fits:
        return None
    best = min(fits, key=lambda fit: fit.wrong)
    if best.unscheduled > _UNEXPLAINED * n_bars:
        return next(fit for fit in fits if fit.wrong <= _AS_GOOD * best.wrong)
    return best


def _reason(best: _Fit, fits: Iterable[_Fit], n_bars: int, interval: Interval) -> str:
    """Say what a calendar was inferred from, and how sure that is."""
    least = _LEAST_CLOSED if interval.intraday else _LEAST_CLOSED_DAILY
    others = [fit.spec.name for fit in fits if fit is not best and fit.wrong <= best.wrong]
    if best.wrong > _UNEXPLAINED * n_bars:
        sure = "a guess: no calendar explains the bars"
    elif others:
        sure = f"a guess: {', '.join(others[:4])} explain the bars as well"
    elif best.n_closed < least:
        sure = "a guess: the bars span too few holidays to tell exchanges apart"
    elif best.wrong and all(fit.spec.name in _LARGEST for fit in fits):
        sure = "likely: smaller exchanges were not compared"
    else:
        sure = "sure"
    facts = f"{best.missing:,} scheduled bars missing, {best.unscheduled:,} bars not scheduled"
    return f"calendar {best.spec}, inferred from {n_bars:,} times ({facts}; {sure})"


def _candidates(time_ns: IntArray, interval: Interval) -> dict[str, float]:
    """Return the exchanges whose regular hours and weekdays agree with the times of the bars.

    The values are the shares of bars in the regular hours, the larger markets first.
    """
    sample = time_ns[:: max(1, len(time_ns) // _MAX_SAMPLE)]
    dates_only = not interval.intraday and (time_ns % DAY_NS == 0).all()
    weekday = (sample // DAY_NS + 3) % 7
    known = exchanges()
    of_day = _covered(sample % DAY_NS // MINUTE_NS, 1440, interval)
    if interval.intraday and of_day.mean() > _ROUND_THE_CLOCK:
        # Futures: no exchange of shares has hours that long.
        known = {name: one for name, one in known.items() if one.length_minutes >= _LONG_SESSION}
    agreement: dict[str, float] = {}
    inside: dict[str, float] = {}
    for name in sorted(known, key=lambda name: _LARGEST.index(name) if name in _LARGEST else 99):
        exchange = known[name]
        if dates_only:
            closed = np.array([mark == "0" for mark in exchange.weekdays])
            agreement[name] = float(closed[weekday].mean() <= _WRONG_WEEKDAYS)
        elif interval.intraday:
            since_open = (_local_minute(sample, exchange.zone) - exchange.open_minute) % 1440
            agreement[name] = _coverage(since_open, exchange, interval)
            inside[name] = float((since_open < exchange.length_minutes).mean())
        else:
            times = (0, *exchange.former_minutes)
            agreement[name] = float(np.isin(_local_minute(sample, exchange.zone), times).mean())
    least = _AGREES * max(agreement.values())
    return {n: inside.get(n, 1.0) for n, share in agreement.items() if share >= least and share > 0}


def _stamped_at_trading(time_ns: IntArray) -> bool:
    """Return whether daily bars stand at the open or the close of an exchange.

    A time that is midnight somewhere says nothing: 15:00 UTC is midnight in Tokyo, and the close
    in Johannesburg.
    """
    if (time_ns % DAY_NS == 0).all():
        return False

    def share(exchange: Exchange, minutes: Sequence[int]) -> float:
        return float(np.isin(_local_minute(time_ns, exchange.zone), minutes).mean())

    known = exchanges().values()
    if any(share(exchange, (0,)) >= _STAMPED for exchange in known):
        return False
    return any(share(exchange, exchange.former_minutes) >= _STAMPED for exchange in known)


def _coverage(since_open: IntArray, exchange: Exchange, interval: Interval) -> float:
    """Return the share of the regular hours in which there are bars."""
    inside = since_open[since_open < exchange.length_minutes]
    first, last = ((m - exchange.open_minute) // _PART for m in exchange.break_minutes)
    covered = _covered(inside, exchange.length_minutes, interval)
    return float(np.delete(covered, slice(first, last)).mean()) if len(inside) else 0.0


def _covered(minute: IntArray, length: int, interval: Interval) -> npt.NDArray[np.bool_]:
    """Return which parts of `length` minutes have bars on most days, shape (parts,)."""
    n_parts = -(-length // _PART)
    width = max(int(interval.ns // MINUTE_NS) // _PART, 1)
    first = minute // _PART
    change = np.bincount(first, minlength=n_parts + 1)
    change = change - np.bincount(np.minimum(first + width, n_parts), minlength=n_parts + 1)
    counts = np.cumsum(change)[:n_parts]
    return np.asarray(counts >= 0.3 * np.median(counts[counts > 0])) if counts.any() else counts > 0


def _local_minute(time_ns: IntArray, zone: str) -> IntArray:
    return np.asarray(local_ns(time_ns, zone) % DAY_NS // MINUTE_NS)
