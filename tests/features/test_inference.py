from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.calendars import DAY_NS, CalendarSpec, local_ns, sessions
from features.errors import InputError
from features.inference import check_calendar, choose_calendar, infer_calendar, infer_hours
from features.interval import Interval
from features.schedule import make_schedule


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
    named = choose_calendar("XNYS", time_ns, Interval.parse("30m"))
    assert named.spec == inferred.spec
    told = "hours inferred from the bars" if "@" in calendar else "calendar XNYS"
    assert told in named.reason


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


@pytest.mark.parametrize("step", ["15min", "30min", "1h"])
@pytest.mark.parametrize(
    ("name", "zone"),
    [
        *(("XNYS", "America/New_York"), ("XETR", "Europe/Berlin"), ("XLON", "Europe/London")),
        *(("XTKS", "Asia/Tokyo"), ("XASX", "Australia/Sydney"), ("CMES", "America/Chicago")),
    ],
)
def test_times_of_the_clocks_of_an_exchange_are_suspected_by_name(
    name: str, zone: str, step: str
) -> None:
    interval = Interval.parse(step.removesuffix("in"))
    first, last = (pd.Timestamp(day).value // DAY_NS for day in ("2022-03-01", "2023-03-03"))
    bars = make_schedule(CalendarSpec(name), interval, sessions(name, first, last).open_ns)
    time_ns = bars.key[(bars.key >= first * DAY_NS) & (bars.key < last * DAY_NS)]
    assert str(choose_calendar("auto", time_ns, interval).spec) == name
    clocks = np.unique(local_ns(time_ns, zone))
    text = f"^times seem to be those of clocks in {zone}: so read, they are the sessions of {name},"
    with pytest.raises(InputError, match=text):
        choose_calendar("auto", clocks, interval)
    assert choose_calendar(f"{name}@regular", clocks, interval).spec.name == name


@pytest.mark.slow
def test_clocks_of_an_exchange_that_the_library_does_not_know_so_late_are_not_suspected() -> None:
    """The library knows Hong Kong until 2049; other exchanges do not explain these bars."""
    time_ns = _in_zone("2060-01-05", "2060-06-30", "09:30", "16:00", "30min", "UTC")
    time_ns = np.delete(time_ns, np.arange(0, len(time_ns), 7))
    inferred = choose_calendar("auto", time_ns, Interval.parse("30m"))
    assert "no calendar explains the bars" in inferred.reason


@pytest.mark.slow
def test_an_exchange_with_missing_bars_is_not_sure_while_smaller_ones_are_untried() -> None:
    first, last = (pd.Timestamp(day).value // DAY_NS for day in ("2021-09-13", "2024-02-28"))
    warsaw = infer_calendar(sessions("XWAR", first, last).day * DAY_NS, Interval.parse("1d"))
    assert warsaw.reason.endswith("; likely: smaller exchanges were not compared)")


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


@pytest.mark.parametrize("calendar", ["XNYS@regular", "XNYS@09:30-16:00"])
def test_given_hours_are_kept(calendar: str) -> None:
    time_ns = _in_zone("2023-03-01", "2023-03-31", "04:00", "20:00", "1h", "America/New_York")
    chosen = choose_calendar(calendar, time_ns, Interval.parse("1h"))
    assert str(chosen.spec) == calendar.removesuffix("@regular")


def test_one_early_bar_does_not_widen_the_hours() -> None:
    time_ns = _in_zone("2023-03-01", "2023-03-31", "09:30", "16:00", "30min", "America/New_York")
    early = np.sort(np.r_[time_ns, time_ns[0] - 1_800 * 10**9])
    assert infer_hours("XNYS", early, Interval.parse("30m")).hours is None


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


def test_the_retired_calendar_is_inferred_anew() -> None:
    time_ns = _in_zone("2023-01-02", "2023-12-29", "09:30", "16:00", "1h", "America/New_York",
                       US_2023)  # fmt: skip
    chosen = choose_calendar("equity", time_ns, Interval.parse("1h"))
    assert str(chosen.spec) == "XNYS"
    assert chosen.reason.startswith(
        "calendar equity of an earlier version: calendar XNYS, inferred"
    )


@pytest.mark.parametrize(
    "text", ["auto", "24/7", "24/5", "XNYS", "XNYS@regular", "XNYS@04:00-20:00"]
)
def test_options_that_can_be_read(text: str) -> None:
    assert check_calendar(text) == text


@pytest.mark.parametrize("text", ["equity", "XNYS@", "@regular", "xnys", "24-7"])
def test_options_that_cannot_be_read(text: str) -> None:
    with pytest.raises(InputError, match="`calendar` "):
        check_calendar(text)
