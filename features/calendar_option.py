"""The calendar that the option `--calendar` means for given bars."""

from __future__ import annotations

from features.calendar_fit import LARGEST, are_moved, infer_hours
from features.calendars import RETIRED, WEEK, CalendarSpec, IntArray
from features.inference import Inferred, infer_calendar
from features.interval import Interval
from features.stamp_checks import check_stamps

#: Ending of a calendar option that asks for the regular hours, whatever the hours of the bars.
REGULAR = "@regular"


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
        If there is no such calendar, the library cannot compute it, or the times seem to be those
        of local clocks or the closes of bars.
    """
    if text == "auto":
        inferred = infer_calendar(time_ns, interval)
        check_stamps(inferred.spec, time_ns, interval, exchanges=LARGEST)
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
    if spec.name != WEEK:
        check_stamps(spec, time_ns, interval, exchanges=(spec.name,))
    how = ", hours inferred from the bars" if spec.hours else ""
    if are_moved(spec):
        how += f"; they are not the regular ones of {spec.name}: is the zone of the times right?"
    return Inferred(spec, f"calendar {spec}{how}")
