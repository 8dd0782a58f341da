from __future__ import annotations

import numpy as np
import pytest

from features.calendar_fit import are_moved, coverage, covered, fit_of, infer_hours
from features.calendars import HOUR_NS, CalendarSpec, exchanges
from features.interval import Interval
from tests.exchange_bars import exchange_bars

MARCH = ("2023-03-01", "2023-03-31")


def test_one_early_bar_does_not_widen_the_hours() -> None:
    time_ns = exchange_bars("XNYS", "30m", days=MARCH)
    early = np.sort(np.r_[time_ns, time_ns[0] - HOUR_NS // 2])
    assert infer_hours("XNYS", early, Interval.parse("30m")).hours is None


@pytest.mark.parametrize("hours", [(240, 1200), (480, 1020), (600, 930)])
def test_hours_come_from_the_bars(hours: tuple[int, int]) -> None:
    time_ns = exchange_bars("XNYS", "30m", hours=hours, days=MARCH)
    assert infer_hours("XNYS", time_ns, Interval.parse("30m")).hours == hours


@pytest.mark.parametrize("step", ["15m", "2h"])
def test_a_last_bar_that_is_always_missing_shortens_the_hours(step: str) -> None:
    """Frankfurt closes at 17:30: bars until 17:00 lack half an hour, a bar of any length."""
    time_ns = exchange_bars("XETR", step, hours=(540, 1020))
    fit = fit_of("XETR", time_ns, Interval.parse(step))
    assert fit is not None
    assert (fit.spec.hours, fit.wrong) == ((540, 1020), 0)


@pytest.mark.parametrize(
    ("hours", "moved"),
    [
        (None, False),
        ((240, 1200), False),
        ((600, 930), False),
        ((540, 930), True),
        ((600, 990), True),
    ],
)
def test_moved_hours(hours: tuple[int, int] | None, moved: bool) -> None:
    assert are_moved(CalendarSpec("XNYS", hours)) is moved


def test_a_fit_counts_missing_and_unscheduled_bars() -> None:
    """Good Friday of 2023 is 7 April, and the next weekday off is 29 May."""
    time_ns = exchange_bars("XNYS", "1h", days=("2023-03-01", "2023-06-15"))
    beside = np.sort(np.r_[np.delete(time_ns, [10, 50]), time_ns[20] + 12 * HOUR_NS])
    fit = fit_of("XNYS", beside, Interval.parse("1h"))
    assert fit is not None
    assert (fit.missing, fit.unscheduled, fit.wrong, fit.n_closed) == (2, 1, 3, 2)


def test_an_exchange_that_the_library_cannot_compute_has_no_fit() -> None:
    time_ns = exchange_bars("XNYS", "1h", days=MARCH)
    assert fit_of("XTAE", time_ns, Interval.parse("1h")) is None


def test_parts_of_a_day_with_bars() -> None:
    """A bar of 30 minutes at 15 and at 60 covers parts of 15 minutes; one at -15 half of it."""
    minute = np.array([15, 60, -15])
    assert covered(minute, 105, Interval.parse("30m")).tolist() == [
        *(True, True, True, False, True, True, False)
    ]


def test_a_bar_from_a_full_hour_covers_the_first_hours_of_a_session() -> None:
    """Bars of 4 hours in Hong Kong open at 08:00 and 12:00; trading is 9:30-12:00, 13:00-16:00."""
    since_open = np.array([1440 - 90, 150])
    assert coverage(since_open, exchanges()["XHKG"], Interval.parse("4h")) == 1
    assert coverage(since_open[1:], exchanges()["XHKG"], Interval.parse("4h")) == 12 / 22
