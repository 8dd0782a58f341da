"""Infer the calendar of bars from their times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from features.calendar_fit import (
    EXPLAINED,
    LARGEST,
    LEAST_CLOSED,
    UNEXPLAINED,
    Fit,
    are_moved,
    coverage,
    covered,
    fit_of,
    fit_spec,
    infer_hours,
    local_minute,
    quarters,
    sample_of,
)
from features.calendars import (
    ALWAYS,
    DAY_NS,
    MINUTE_NS,
    WEEK,
    CalendarSpec,
    Exchange,
    IntArray,
    exchanges,
)
from features.interval import Interval

#: Share of Saturday bars above which a market has no weekend; crypto has 1/7.
_SATURDAYS = 0.05
#: Share of dates on the days off of an exchange above which it is no candidate.
_WRONG_WEEKDAYS = 0.1
#: Span below which bars without a gap show no closed time.
_SHORTEST_NS = 5 * DAY_NS
#: Span in which every exchange has a holiday on a weekday.
_WITH_HOLIDAYS_NS = 300 * DAY_NS
#: Holidays on weekdays from which the exchange of daily bars is sure: Christmas and New Year do not
#: tell exchanges apart.
_LEAST_CLOSED_DAILY = 6
#: If no exchange explains the bars, the largest one is taken that has at most this multiple of the
#: fewest wrong bars.
_AS_GOOD = 2.5
#: Share of a day, in parts with bars, above which a market trades round the clock; and the minutes
#: that a session of such a market has at least.
_ROUND_THE_CLOCK, _LONG_SESSION = 0.85, 1_200
#: Share of wrong bars of a large exchange above which the smaller ones are compared.
_FEW = 0.004
#: A smaller exchange is taken before a large one if it has at most this multiple of its wrong bars.
_BETTER = 0.6
#: An exchange is a candidate if it agrees with the bars at least this much as the best one does.
_AGREES = 0.75
#: Share of daily bars at the open or close of an exchange above which they are its bars; a few
#: half days close at other times.
_STAMPED = 0.95


@dataclass(frozen=True)
class Inferred:
    """A calendar that was inferred from bars.

    Attributes
    ----------
    spec : CalendarSpec
        The calendar, with hours if they are not the regular ones.
    reason : str
        What it was inferred from, and how sure that is, as a sentence for users.
    """

    spec: CalendarSpec
    reason: str


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
    return _infer_by_sessions(time_ns, interval)


def _infer_by_sessions(time_ns: IntArray, interval: Interval) -> Inferred:
    """Return the calendar of bars that are neither those of crypto nor longer than a day."""
    coarse, longer = quarters(time_ns, interval)
    week = fit_spec(CalendarSpec(WEEK), coarse, longer)
    if interval.intraday and week.wrong <= UNEXPLAINED * len(coarse):
        return Inferred(
            week.spec, "calendar 24/5, inferred: bars in all hours from Sunday to Friday"
        )
    # Daily bars with the time of an open or a close are those of an exchange.
    stamped = not interval.intraday and _stamped_at_trading(time_ns)
    if not stamped and week.wrong == 0 and time_ns[-1] - time_ns[0] >= _WITH_HOLIDAYS_NS:
        return Inferred(week.spec, "calendar 24/5, inferred: a bar on every weekday, no holiday")
    fits = _exchange_fits(coarse, longer, _candidates(time_ns, interval))
    best = _best(fits, len(coarse))
    if best is None or (week.wrong < best.wrong and not stamped):
        best, fits = week, []
    sure = _sure(best, fits, len(coarse), interval)
    fit = fit_spec(infer_hours(best.spec.name, time_ns, interval), time_ns, interval)
    facts = f"{fit.missing:,} scheduled bars missing, {fit.unscheduled:,} bars not scheduled"
    return Inferred(
        fit.spec, f"calendar {fit.spec}, inferred from {len(time_ns):,} times ({facts}; {sure})"
    )


def _saturday_share(time_ns: IntArray, interval: Interval) -> float:
    """Return the share of Saturdays; a daily bar may be stamped in the evening before its day."""
    shifts = (0,) if interval.intraday else (0, DAY_NS // 2)
    return min(float((((time_ns + shift) // DAY_NS + 3) % 7 == 5).mean()) for shift in shifts)


def _exchange_fits(
    time_ns: IntArray, interval: Interval, candidates: dict[str, float]
) -> list[Fit]:
    """Return how well exchanges explain the bars; stop at one that explains all.

    Smaller exchanges are compared only if no large one explains nearly all bars in its regular
    hours.
    """
    large: list[Fit] = []
    for fit in _fits(time_ns, interval, candidates, large=True):
        if not fit.wrong:
            return [fit]
        large.append(fit)
    best = _best(large, len(time_ns))
    if best and best.wrong <= _FEW * len(time_ns) and not best.spec.hours:
        return large
    # Beside a large exchange only the regular hours of a smaller one count.
    explained = best is not None and (
        best.wrong <= UNEXPLAINED * len(time_ns) or best.missing <= EXPLAINED * len(time_ns)
    )
    fits = large
    for fit in _fits(time_ns, interval, candidates, large=False):
        if not (explained and fit.spec.hours):
            if not fit.wrong:
                return [fit]
            fits.append(fit)
    return fits


def _fits(
    time_ns: IntArray, interval: Interval, candidates: dict[str, float], *, large: bool
) -> Iterator[Fit]:
    """Yield how well the large or the smaller candidates explain the bars."""
    # Those in whose regular hours the bars lie come first: they explain the bars most often.
    for name in sorted(candidates, key=lambda name: (-round(candidates[name], 1), _rank(name))):
        if (name in LARGEST) is large:
            fit = fit_of(name, time_ns, interval)
            if fit is not None:
                yield fit


def _rank(name: str) -> int:
    return LARGEST.index(name) if name in LARGEST else len(LARGEST)


def _best(fits: Sequence[Fit], n_bars: int) -> Fit | None:
    """Return the fit with the fewest wrong bars; the largest market if none explains the bars."""
    if not fits:
        return None
    ordered = sorted(fits, key=lambda fit: _rank(fit.spec.name))
    best = min(ordered, key=lambda fit: fit.wrong)
    if best.unscheduled > UNEXPLAINED * n_bars:
        return next(fit for fit in ordered if fit.wrong <= _AS_GOOD * best.wrong)
    large = min((fit for fit in ordered if fit.spec.name in LARGEST), key=lambda fit: fit.wrong,
                default=best)  # fmt: skip
    return large if best.wrong > _BETTER * large.wrong else best


def _sure(best: Fit, fits: Iterable[Fit], n_bars: int, interval: Interval) -> str:
    """Say how sure it is that the bars are those of the calendar that explains them best."""
    least = LEAST_CLOSED if interval.intraday else _LEAST_CLOSED_DAILY
    others = [fit.spec.name for fit in fits if fit is not best and fit.wrong <= best.wrong]
    if best.wrong > UNEXPLAINED * n_bars:
        return "a guess: no calendar explains the bars"
    if others:
        verb = "explains" if len(others) == 1 else "explain"
        return f"a guess: {', '.join(others[:4])} {verb} the bars as well"
    if best.n_closed < least:
        return "a guess: the bars span too few holidays to tell exchanges apart"
    if best.wrong > _FEW * n_bars:
        return "likely: some bars are missing or not scheduled"
    if best.wrong and all(fit.spec.name in LARGEST for fit in fits):
        return "likely: smaller exchanges were not compared"
    if are_moved(best.spec):
        return f"a guess: the regular hours of {best.spec.name} are others"
    return "sure"


def _candidates(time_ns: IntArray, interval: Interval) -> dict[str, float]:
    """Return the exchanges whose regular hours and weekdays agree with the times of the bars.

    The values are the shares of bars in the regular hours.
    """
    sample = sample_of(time_ns)
    dates_only = not interval.intraday and (time_ns % DAY_NS == 0).all()
    weekday = (sample // DAY_NS + 3) % 7
    known = exchanges()
    of_day = covered(sample % DAY_NS // MINUTE_NS, 1440, interval)
    if interval.intraday and of_day.mean() > _ROUND_THE_CLOCK:
        # Futures: no exchange of shares has hours that long.
        known = {name: one for name, one in known.items() if one.length_minutes >= _LONG_SESSION}
    agreement: dict[str, float] = {}
    inside: dict[str, float] = {}
    for name, exchange in known.items():
        if dates_only:
            closed = np.array([mark == "0" for mark in exchange.weekdays])
            agreement[name] = float(closed[weekday].mean() <= _WRONG_WEEKDAYS)
        elif interval.intraday:
            since_open = (local_minute(sample, exchange.zone) - exchange.open_minute) % 1440
            agreement[name] = coverage(since_open, exchange, interval)
            inside[name] = float((since_open < exchange.length_minutes).mean())
        else:
            times = (0, *exchange.former_minutes)
            agreement[name] = float(np.isin(local_minute(sample, exchange.zone), times).mean())
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
        return float(np.isin(local_minute(time_ns, exchange.zone), minutes).mean())

    known = exchanges().values()
    if any(share(exchange, (0,)) >= _STAMPED for exchange in known):
        return False
    return any(share(exchange, exchange.former_minutes) >= _STAMPED for exchange in known)
