from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.calendar_fit import infer_hours
from features.calendars import DAY_NS, sessions
from features.inference import infer_calendar
from features.interval import Interval
from tests.exchange_bars import exchange_bars


def _ns(times: pd.DatetimeIndex) -> np.ndarray:
    return times.tz_localize(None).to_numpy().astype("datetime64[ns]").view(np.int64)


def _in_zone(
    start: str, stop: str, first: str, last: str, step: str, zone: str, closed: tuple[str, ...] = ()
) -> np.ndarray:
    """Bars of every weekday in local hours, but for closed days."""
    parts = [
        pd.date_range(f"{day:%Y-%m-%d} {first}", f"{day:%Y-%m-%d} {last}", freq=step, tz=zone,
                      inclusive="left")
        for day in pd.bdate_range(start, stop)
        if f"{day:%Y-%m-%d}" not in closed
    ]  # fmt: skip
    return _ns(parts[0].append(parts[1:]).tz_convert("UTC"))


HOURS = pd.date_range("2024-01-01", "2024-03-01", freq="h", tz="UTC")
DAYS = pd.date_range("2022-01-03", periods=400, tz="UTC")


@pytest.mark.parametrize(
    ("times", "interval", "calendar", "reason"),
    [
        (HOURS, "1h", "24/7", "calendar 24/7, inferred: 13% of bars on Saturdays"),
        (HOURS[HOURS.day_of_week < 5], "1h", "24/5", "bars in all hours from Sunday to Friday"),
        (DAYS, "1d", "24/7", "14% of bars on Saturdays"),
        (DAYS[DAYS.day_of_week < 5], "1d", "24/5", "a bar on every weekday, no holiday"),
        # Daily bars of currencies: the week of a broker starts with a Sunday bar.
        (DAYS[DAYS.day_of_week != 5], "1d", "24/5", "0 scheduled bars missing, 57 bars not sched"),
        (DAYS[::7], "1w", "24/7", "calendar 24/7: bars are longer than a day"),
    ],
    ids=["crypto-1h", "fx-1h", "crypto-1d", "weekdays-1d", "fx-1d", "weekly"],
)
def test_markets_without_sessions(
    times: pd.DatetimeIndex, interval: str, calendar: str, reason: str
) -> None:
    inferred = infer_calendar(_ns(times), Interval.parse(interval))
    assert str(inferred.spec) == calendar
    assert reason in inferred.reason


US_2023 = (
    "2023-01-02", "2023-01-16", "2023-02-20", "2023-04-07", "2023-05-29", "2023-06-19",
    "2023-07-04", "2023-09-04", "2023-11-23", "2023-12-25",
)  # fmt: skip


@pytest.mark.parametrize(
    ("hours", "calendar"),
    [
        (("09:30", "16:00"), "XNYS"),
        (("04:00", "20:00"), "XNYS@04:00-20:00"),
        (("08:00", "17:00"), "XNYS@08:00-17:00"),
        (("10:00", "15:30"), "XNYS@10:00-15:30"),
    ],
)
def test_hours_of_shares_in_new_york(hours: tuple[str, str], calendar: str) -> None:
    time_ns = _in_zone("2023-01-02", "2023-12-29", *hours, "30min", "America/New_York", US_2023)
    inferred = infer_calendar(time_ns, Interval.parse("30m"))
    assert str(inferred.spec) == calendar
    assert infer_hours("XNYS", time_ns, Interval.parse("30m")) == inferred.spec


def test_a_guess_says_so() -> None:
    """On bars that are made up for every weekday no calendar fits: the largest market is taken."""
    time_ns = _in_zone("2023-01-02", "2023-04-28", "04:00", "20:00", "5min", "America/New_York")
    inferred = infer_calendar(time_ns, Interval.parse("5m"))
    assert str(inferred.spec) == "XNYS@04:00-20:00"
    assert "768 bars not scheduled; a guess: no calendar explains the bars" in inferred.reason


def test_a_month_without_a_holiday_is_a_guess() -> None:
    time_ns = _in_zone("2023-08-01", "2023-08-25", "09:30", "16:00", "1h", "America/New_York")
    inferred = infer_calendar(time_ns, Interval.parse("1h"))
    assert str(inferred.spec) == "XNYS"
    assert "a guess: the bars span too few holidays" in inferred.reason


@pytest.mark.parametrize(("last", "sure"), [("2024-01-15", False), ("2024-12-31", True)])
def test_dates_of_two_months_are_a_guess(last: str, sure: bool) -> None:
    """Christmas and New Year are holidays in London, Frankfurt and Hong Kong."""
    first_day, last_day = (pd.Timestamp(day).value // DAY_NS for day in ("2023-11-15", last))
    known = sessions("XETR", first_day, last_day)
    inferred = infer_calendar(known.day * DAY_NS, Interval.parse("1d"))
    assert inferred.reason.endswith("; sure)") is sure
    assert str(inferred.spec) == ("XETR" if sure else "XLON")


def test_futures_with_an_hour_of_rest_have_shorter_hours() -> None:
    """Chicago rests from 16:00 to 17:00; the library's session has 24 hours."""
    zone = "America/Chicago"
    parts = [
        pd.date_range(f"{day:%Y-%m-%d} 17:00", periods=23, freq="h", tz=zone)
        for day in pd.date_range("2024-01-07", "2024-04-25")
        if day.day_of_week in (6, 0, 1, 2, 3)
    ]
    time_ns = _ns(parts[0].append(parts[1:]).tz_convert("UTC"))
    inferred = infer_calendar(time_ns, Interval.parse("1h"))
    assert str(inferred.spec) == "CMES@17:00-16:00"


def test_daily_bars_of_an_exchange_are_told_from_their_stamps() -> None:
    """Bars on every weekday, stamped 09:30 in New York: the stamps name the exchange."""
    days = pd.bdate_range("2016-01-04", "2024-12-31")
    opens = (days + pd.Timedelta("9h30min")).tz_localize("America/New_York").tz_convert("UTC")
    day = Interval.parse("1d")
    assert str(infer_calendar(_ns(opens), day).spec) == "XNYS"
    assert str(infer_calendar(_ns(days.tz_localize("UTC")), day).spec) == "24/5"
    # Midnight in Tokyo is the close in Johannesburg, and says nothing.
    tokyo = days.tz_localize("Asia/Tokyo").tz_convert("UTC")
    assert str(infer_calendar(_ns(tokyo), day).spec) == "24/5"


@pytest.mark.slow
@pytest.mark.parametrize("n_missing", [0, 5])
@pytest.mark.parametrize("name", ["XWAR", "XHEL", "XWBO", "XMEX", "XNYS"])
def test_a_smaller_exchange_is_told_by_its_holidays(name: str, n_missing: int) -> None:
    """Of Warsaw the Italian calendar explains 98 % of the days, of Helsinki the Swedish one."""
    first, last = (pd.Timestamp(day).value // DAY_NS for day in ("2021-09-13", "2024-02-28"))
    time_ns = sessions(name, first, last).day * DAY_NS
    gone = np.random.default_rng(1).integers(1, len(time_ns) - 1, n_missing)
    inferred = infer_calendar(np.delete(time_ns, gone), Interval.parse("1d"))
    assert inferred.spec.name == name
    assert f"({n_missing} scheduled bars missing, 0 bars not scheduled; " in inferred.reason
    sure = "likely: some bars are missing or not scheduled" if n_missing else "sure"
    if (name, n_missing) == ("XNYS", 5):
        sure = "a guess: XCBF explains the bars as well"
    assert inferred.reason.endswith(f"; {sure})")


def test_hours_that_are_moved_are_not_sure() -> None:
    """Bars of Zurich on the clocks of Athens lie at hours at which Reykjavik does not trade."""
    time_ns = exchange_bars("XICE", "30m", hours=(600, 1110))
    inferred = infer_calendar(time_ns, Interval.parse("30m"))
    assert inferred.reason.endswith("; a guess: the regular hours of XICE are others)")


@pytest.mark.slow
@pytest.mark.parametrize("step", ["30m", "1h", "4h"])
@pytest.mark.parametrize("grid", ["open", "clock"])
@pytest.mark.parametrize("name", ["XNYS", "XETR", "XHKG", "BVMF", "XWAR", "XOSL", "XTKS", "CMES"])
def test_intraday_bars_of_an_exchange(name: str, grid: str, step: str) -> None:
    """Bars counted from the open, and from full hours: the first one then begins before it."""
    time_ns = exchange_bars(name, step, grid=grid)
    inferred = infer_calendar(time_ns, Interval.parse(step))
    assert str(inferred.spec) == name
    assert inferred.reason.endswith("(0 scheduled bars missing, 0 bars not scheduled; sure)")
