from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.calendars import CalendarSpec, local_ns, sessions, utc_ns
from features.errors import InputError
from features.interval import Interval
from features.schedule import make_schedule, off_grid, periods_per_year, trading_segments

HOUR, DAY, WEEK = (Interval.parse(text) for text in ("1h", "1d", "1w"))


def _ns(times: pd.DatetimeIndex) -> np.ndarray:
    return times.tz_localize(None).to_numpy().astype("datetime64[ns]").view(np.int64)


def _hours(start: str, stop: str) -> pd.DatetimeIndex:
    return pd.date_range(start, stop, freq="h", tz="UTC")


def _currency_hours() -> pd.DatetimeIndex:
    """Three weeks of hours, Monday 00:00 to Friday 21:00 UTC, in winter."""
    hours = _hours("2024-01-01", "2024-01-19 21:00")
    return hours[(hours.day_of_week < 4) | ((hours.day_of_week == 4) & (hours.hour < 22))]


def _missing(times: pd.DatetimeIndex, interval: Interval, calendar: str) -> dict[str, int]:
    schedule = make_schedule(CalendarSpec.parse(calendar), interval, _ns(times))
    missing = schedule.missing(_ns(times))
    assert missing.dtype == np.int64
    assert missing[0] == 0
    return {f"{times[row]:%m-%d %H:%M}": int(missing[row]) for row in np.flatnonzero(missing)}


def test_missing_in_a_market_without_closures() -> None:
    times = _hours("2024-01-05", "2024-01-08").delete([5, 30, 31, 32])  # Row 31 is Saturday 07:00.
    assert _missing(times, HOUR, "24/7") == {"01-05 06:00": 1, "01-06 09:00": 3}


def test_missing_in_a_currency_week() -> None:
    times = _currency_hours()
    assert _missing(times, HOUR, "24/5") == {}
    # Friday 20:00 and 21:00, Monday 00:00 and Wednesday 12:00; row 118 is Monday 00:00.
    drop = [116, 117, 118, 60]
    assert _missing(times.delete(drop), HOUR, "24/5") == {"01-03 13:00": 1, "01-08 01:00": 3}


def test_missing_a_whole_week_of_currencies() -> None:
    times = _currency_hours()
    assert _missing(times.delete(range(118, 236)), HOUR, "24/5") == {"01-15 00:00": 118}


@pytest.mark.parametrize("month", [1, 7])
def test_currency_weeks_end_at_17_in_new_york_in_winter_and_summer(month: int) -> None:
    zone = "America/New_York"
    weeks = [
        pd.date_range(f"{sunday:%Y-%m-%d} 17:00", periods=120, freq="h", tz=zone)
        for sunday in pd.date_range(f"2024-{month:02}-07", periods=4, freq="W-SUN")
    ]
    times = weeks[0].append(weeks[1:]).tz_convert("UTC")
    schedule = make_schedule(CalendarSpec("24/5"), HOUR, _ns(times))
    assert schedule.missing(_ns(times)).sum() == 0
    assert schedule.place(_ns(times)).scheduled.all()
    friday, sunday = _ns(times)[119], _ns(times)[120]
    assert schedule.next_open(np.array([friday])).tolist() == [sunday]
    assert periods_per_year(schedule, _ns(times)) == pytest.approx(120 * 365 / 7, rel=0.005)


def test_missing_daily_shares() -> None:
    times = pd.bdate_range("2024-01-01", periods=15, tz="UTC")
    assert _missing(times, DAY, "24/5") == {}
    assert _missing(times.delete([1, 9, 10]), DAY, "24/5") == {"01-03 00:00": 1, "01-16 00:00": 2}
    # New York was closed on 1 and 15 January.
    held = times.delete([0, 10])
    assert _missing(held, DAY, "XNYS") == {}
    assert _missing(held.delete([3]), DAY, "XNYS") == {"01-08 00:00": 1}


def test_missing_weeks() -> None:
    times = pd.date_range("2024-01-01", periods=10, freq="7D", tz="UTC").delete([4, 5])
    assert _missing(times, WEEK, "24/7") == {"02-12 00:00": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1h", 8_760), ("15m", 35_040), ("1d", 365), ("4h", 2_190), ("1w", 365 / 7), ("1m", 525_600)],
)
@pytest.mark.parametrize("years", [0.2, 3])
def test_periods_of_a_market_without_closures_are_exact(
    text: str, expected: float, years: float
) -> None:
    interval = Interval.parse(text)
    n = max(int(years * expected), 3) if text != "1m" else 5_000
    time_ns = pd.Timestamp("2024-01-01").value + interval.ns * np.arange(n)
    schedule = make_schedule(CalendarSpec("24/7"), interval, time_ns)
    assert periods_per_year(schedule, time_ns) == expected


@pytest.mark.parametrize(
    ("hours", "bars_a_day"), [("09:30-16:00", 78), ("04:00-20:00", 192), ("08:00-16:30", 102)]
)
def test_periods_are_those_of_the_hours_that_are_traded(hours: str, bars_a_day: int) -> None:
    spec = CalendarSpec.parse(f"XNYS@{hours}")
    whole = make_schedule(spec, Interval.parse("5m"), _ns(_hours("2023-01-03", "2024-12-31")))
    time_ns = whole.key[(whole.key >= _ns(_hours("2023-01-03", "2023-01-03"))[0])]
    time_ns = time_ns[time_ns < pd.Timestamp("2025-01-01").value]
    schedule = make_schedule(spec, Interval.parse("5m"), time_ns)
    a_year = periods_per_year(schedule, time_ns)
    # 502 sessions in 731 days, five of them three hours shorter.
    expected = (502 * bars_a_day - 5 * 36) * 365 / 731
    assert a_year == pytest.approx(expected, rel=0.004)


def test_bars_outside_the_sessions_count_towards_a_year() -> None:
    days = pd.bdate_range("2016-01-04", "2024-12-31", tz="UTC")  # on holidays, too
    year = [
        periods_per_year(make_schedule(CalendarSpec(name), DAY, _ns(days)), _ns(days))
        for name in ("XNYS", "24/5")
    ]
    assert year[0] == year[1] == pytest.approx(365 * 5 / 7, rel=0.001)


def test_bars_of_which_the_calendar_schedules_none_are_counted_in_their_span() -> None:
    saturday = pd.date_range("2024-01-06", periods=20, freq="h", tz="UTC").delete([3, 4])
    schedule = make_schedule(CalendarSpec("XNYS"), HOUR, _ns(saturday))
    assert periods_per_year(schedule, _ns(saturday)) == 18 * 8_760 / 20


@pytest.mark.parametrize(
    ("calendar", "stamp", "opens"),
    [
        ("XNYS", "00:00", "2024-05-07 13:30"),  # UTC dates: in New York this is the day before
        ("XNYS", "04:00", "2024-05-07 13:30"),  # local midnight
        ("XTKS", "00:00", "2024-05-07 00:00"),
        ("CMES", "00:00", "2024-05-06 22:00"),  # the session of 7 May begins in the evening
    ],
)
def test_a_few_daily_bars_of_the_middle_of_a_week_have_their_own_dates(
    calendar: str, stamp: str, opens: str
) -> None:
    times = _ns(pd.date_range(f"2024-05-07 {stamp}", periods=3, tz="UTC"))  # from a Tuesday
    schedule = make_schedule(CalendarSpec(calendar), DAY, times)
    first = schedule.open_ns[schedule.place(times).before[0]]
    assert pd.Timestamp(first, tz="UTC") == pd.Timestamp(opens, tz="UTC")


@pytest.mark.parametrize("zone", ["Europe/Athens", "America/New_York", "Asia/Tokyo"])
@pytest.mark.parametrize("step", ["4h", "6h", "1d"])
def test_bars_of_local_clocks_have_no_gap_when_the_clocks_change(zone: str, step: str) -> None:
    local = pd.date_range("2024-01-01", "2024-12-31", freq=step.replace("d", "D"))
    times = local.tz_localize(
        zone, nonexistent="shift_forward", ambiguous=np.ones(len(local), bool)
    )
    time_ns = _ns(times.tz_convert("UTC"))
    schedule = make_schedule(CalendarSpec("24/7"), Interval.parse(step), time_ns)
    assert schedule.missing(time_ns).sum() == 0
    assert not off_grid(schedule, time_ns).any()


def test_the_last_bar_of_a_half_day_ends_with_its_session() -> None:
    # 3 July 2024, 09:30 to 13:00 in New York: hourly bars, the last of half an hour.
    times = pd.date_range("2024-07-02 09:30", periods=7, freq="h", tz="America/New_York").append(
        pd.date_range("2024-07-03 09:30", periods=4, freq="h", tz="America/New_York")
    )
    schedule = make_schedule(CalendarSpec("XNYS"), HOUR, _ns(times.tz_convert("UTC")))
    ends = pd.DatetimeIndex(schedule.closes(_ns(times.tz_convert("UTC"))).view("M8[ns]"), tz="UTC")
    local = ends.tz_convert("America/New_York").strftime("%d %H:%M").tolist()
    assert local[5:] == ["02 15:30", "02 16:00", "03 10:30", "03 11:30", "03 12:30", "03 13:00"]
    after = schedule.next_open(_ns(times.tz_convert("UTC"))[[6, 10]])
    opens = pd.DatetimeIndex(after.view("M8[ns]"), tz="UTC").tz_convert("America/New_York")
    assert opens.strftime("%d %H:%M").tolist() == ["03 09:30", "05 09:30"]


def test_bars_of_full_hours_begin_before_the_open() -> None:
    """Vendors with bars of full hours: the bar of 09:00 holds the trades from 09:30 on."""
    parts = [
        pd.date_range(f"{day:%Y-%m-%d} 09:00", periods=7, freq="h", tz="America/New_York")
        for day in pd.bdate_range("2024-04-01", "2024-04-12")
    ]
    time_ns = _ns(parts[0].append(parts[1:]).tz_convert("UTC"))
    schedule = make_schedule(CalendarSpec("XNYS"), HOUR, time_ns)
    assert schedule.missing(time_ns).sum() == 0
    assert schedule.place(time_ns).scheduled.all()
    nine = schedule.next_open(time_ns[[6]])
    assert str(pd.Timestamp(nine[0])) == "2024-04-02 13:30:00", "it can be filled at the open"


def test_a_day_without_a_session_ends_at_local_midnight() -> None:
    times = pd.bdate_range("2024-06-24", "2024-07-05", tz="UTC")  # 4 July is a holiday
    schedule = make_schedule(CalendarSpec("XNYS"), DAY, _ns(times))
    assert (~schedule.place(_ns(times)).scheduled).nonzero()[0].tolist() == [8]
    assert str(pd.Timestamp(schedule.closes(_ns(times))[8])) == "2024-07-05 04:00:00"


@pytest.mark.parametrize(
    ("now", "late"),
    [
        ("2024-07-03 16:59", 0),  # 3 July ends at 17:00 UTC
        ("2024-07-03 17:00", 1),
        ("2024-07-05 19:59", 1),
        ("2024-07-05 20:00", 2),
        ("2024-07-08 12:00", 2),  # over a weekend nothing is scheduled
    ],
)
def test_late_bars_are_the_scheduled_ones_that_are_complete(now: str, late: int) -> None:
    times = _ns(pd.bdate_range("2024-06-24", "2024-07-02", tz="UTC"))
    moment = pd.Timestamp(now).value
    schedule = make_schedule(CalendarSpec("XNYS"), DAY, times, until_ns=moment)
    assert schedule.n_late(int(times[-1]), moment) == late


@pytest.mark.parametrize(("weeks", "late"), [(0.5, 0), (1.9, 0), (2, 1), (3.5, 2)])
def test_a_weekly_bar_is_late_when_the_next_one_is_complete(weeks: float, late: int) -> None:
    first = _ns(pd.date_range("2024-05-06", periods=1, tz="UTC"))
    schedule = make_schedule(CalendarSpec("XNYS"), WEEK, first)
    now = int(first[0] + weeks * WEEK.ns)
    assert schedule.n_late(int(first[0]), now) == late


def test_an_open_that_the_library_does_not_know_is_not_invented() -> None:
    times = pd.bdate_range("2049-12-27", "2049-12-31", tz="UTC")
    schedule = make_schedule(CalendarSpec("XHKG"), DAY, _ns(times))
    assert schedule.next_open(_ns(times))[-1] == -1


@pytest.mark.parametrize("interval", ["5m", "1d"])
def test_bars_after_the_last_known_session_are_one_clear_error(interval: str) -> None:
    """A served model meets them if the library is older than the bars."""
    parsed = Interval.parse(interval)
    time_ns = pd.Timestamp("2050-03-01 02:00").value + parsed.ns * np.arange(9)
    with pytest.raises(InputError, match="exchange_calendars knows it until 2049-12-31; install a"):
        make_schedule(CalendarSpec("XHKG"), parsed, time_ns)


@settings(max_examples=60, deadline=None)
@given(
    st.sets(st.integers(1, 198), max_size=150), st.sampled_from(["24/7", "24/5", "XNYS", "XHKG"])
)
def test_missing_bars_are_those_that_were_taken_out(gone: set[int], calendar: str) -> None:
    """A law: of the scheduled bars, those missing are exactly those taken out."""
    spec = CalendarSpec.parse(calendar)
    seed = _ns(_hours("2024-03-01", "2024-04-20"))
    every = make_schedule(spec, HOUR, seed).key[:200]
    kept = np.delete(every, sorted(gone))
    missing = make_schedule(spec, HOUR, kept).missing(kept)
    places = np.delete(np.arange(200), sorted(gone))
    assert missing.tolist() == [0, *(np.diff(places) - 1).tolist()]


@pytest.mark.slow
@pytest.mark.parametrize("keep", [1.0, 0.97], ids=["all bars", "thin"])
@pytest.mark.parametrize("stamp", ["full hour", "open"])
@pytest.mark.parametrize("clock", ["UTC", "local"])
@pytest.mark.parametrize("step", ["2h", "3h", "4h"])
@pytest.mark.parametrize("name", ["XNYS", "XETR", "XASX", "XTKS", "XTAI"])
def test_long_bars_of_full_hours(name: str, step: str, clock: str, stamp: str, keep: float) -> None:
    """Counted in UTC or on local clocks, which change; stamped with the hour or with the open."""
    days = np.array(["2019-10-31", "2022-01-20"], dtype="datetime64[D]").astype(np.int64)
    known = sessions(name, *days.tolist())
    interval = Interval.parse(step)
    pieces = trading_segments(known, CalendarSpec(name))
    hours = local_ns(pieces.open_ns, known.exchange.zone) if clock == "local" else pieces.open_ns
    start = hours // interval.ns * interval.ns
    if clock == "local":
        start = utc_ns(start, known.exchange.zone)
    bars = [
        (max(opens, begins) if stamp == "open" else begins, min(begins + interval.ns, closes))
        for opens, closes, from_hour in zip(pieces.open_ns, pieces.close_ns, start, strict=True)
        for begins in range(from_hour, closes, interval.ns)
    ]
    time_ns, ends = np.array(sorted(dict(bars).items())).T
    kept = np.random.default_rng(0).random(len(time_ns)) <= keep
    kept[[0, -1]] = True
    schedule = make_schedule(CalendarSpec(name), interval, time_ns[kept])
    assert schedule.missing(time_ns[kept]).sum() == (~kept).sum()
    assert schedule.place(time_ns[kept]).scheduled.all()
    assert not off_grid(schedule, time_ns[kept]).any()
    if stamp == "open" or name != "XTKS":  # a bar over the break in Tokyo ends in the afternoon
        assert (schedule.closes(time_ns[kept]) == ends[kept]).all()


def test_bars_of_full_hours_whose_first_one_is_stamped_with_the_open() -> None:
    """As Interactive Brokers gives them: 09:30, 10:00, ... 15:00 in New York."""
    zone = "America/New_York"
    days = ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05"]  # 3 July ends at 13:00
    parts = [
        pd.DatetimeIndex(
            [
                f"{day} 09:30",
                *(f"{day} {hour}:00" for hour in range(10, 13 if "-03" in day else 16)),
            ]
        )
        for day in days
    ]
    times = parts[0].append(parts[1:]).tz_localize(zone).tz_convert("UTC")
    time_ns = _ns(times)
    schedule = make_schedule(CalendarSpec("XNYS"), HOUR, time_ns)
    assert schedule.missing(time_ns).sum() == 0
    assert schedule.place(time_ns).scheduled.all()
    assert not off_grid(schedule, time_ns).any()
    closes = pd.DatetimeIndex(schedule.closes(time_ns), tz="UTC").tz_convert(zone)
    assert [f"{time:%H:%M}" for time in closes[:3]] == ["10:00", "11:00", "12:00"]
    assert f"{closes[6]:%H:%M}" == "16:00"
    assert f"{closes[times.get_loc('2024-07-03 16:00+00:00')]:%H:%M}" == "13:00"
    opens = pd.DatetimeIndex(schedule.next_open(time_ns), tz="UTC").tz_convert(zone)
    assert [f"{time:%d %H:%M}" for time in opens[[0, 6, 17]]] == [
        "01 10:00",
        "02 09:30",
        "05 09:30",
    ]
    # Ten minutes to ten nothing is late, and at ten the bar of 9:30 is.
    friday = int(time_ns[17])
    ten = int(pd.Timestamp("2024-07-05 10:00", tz=zone).value)
    assert [schedule.n_late(friday, ten + minutes * 60 * 10**9) for minutes in (-10, 0)] == [0, 1]
    assert schedule.missing(np.delete(time_ns, [1, 7])).tolist().count(1) == 2
