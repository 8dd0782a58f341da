from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import InputError
from features.interval import CALENDARS, Interval, infer_calendar, missing_bars

HOUR, DAY = Interval.parse("1h"), Interval.parse("1d")


def _ns(times: pd.DatetimeIndex) -> np.ndarray:
    return times.tz_localize(None).to_numpy().astype("datetime64[ns]").view(np.int64)


def _hours(start: str, stop: str) -> pd.DatetimeIndex:
    return pd.date_range(start, stop, freq="h", tz="UTC")


def _weekdays() -> pd.DatetimeIndex:
    """Three weeks of hours, Monday 00:00 to Friday 23:00."""
    hours = _hours("2024-01-01", "2024-01-19 23:00")
    return hours[hours.day_of_week < 5]


def _sessions() -> pd.DatetimeIndex:
    """Three weeks of seven hourly bars a day, 14:30 to 20:30 UTC."""
    hours = _hours("2024-01-01 00:30", "2024-01-19 23:30")
    return hours[(hours.day_of_week < 5) & (hours.hour >= 14) & (hours.hour <= 20)]


@pytest.mark.parametrize(
    ("text", "seconds", "intraday"),
    [
        ("1m", 60, True),
        ("15m", 900, True),
        ("1h", 3_600, True),
        ("4h", 14_400, True),
        ("24h", 86_400, False),
        ("1d", 86_400, False),
        ("1w", 604_800, False),
    ],
)
def test_parse(text: str, seconds: int, intraday: bool) -> None:
    interval = Interval.parse(text)
    assert (interval.text, interval.ns, interval.intraday) == (text, seconds * 10**9, intraday)


@pytest.mark.parametrize("text", ["", "h", "0h", "-1h", "1.5h", "1H", "1s", "1h ", "01h", "99999m"])
def test_parse_refuses(text: str) -> None:
    with pytest.raises(InputError, match=r"`interval` must be a count and one of m, h, d, w, got"):
        Interval.parse(text)


@pytest.mark.parametrize(
    ("text", "calendar", "expected"),
    [
        # Crypto 8,760 hours or 365 days, currencies 6,240 or 260, shares 1,638 or 252 a year.
        ("1h", "24/7", 8_760),
        ("1d", "24/7", 365),
        ("1h", "24/5", 6_240),
        ("1d", "24/5", 260),
        ("1h", "equity", 1_638),
        ("1d", "equity", 252),
        ("15m", "24/7", 35_040),
        ("1w", "equity", 365.25 / 7),
        ("1w", "24/7", 365.25 / 7),
    ],
)
def test_periods_per_year(text: str, calendar: str, expected: float) -> None:
    assert calendar in CALENDARS
    assert Interval.parse(text).periods_per_year(calendar) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("times", "interval", "calendar"),
    [
        (_hours("2024-01-01", "2024-01-20"), "1h", "24/7"),
        (_weekdays(), "1h", "24/5"),
        (_sessions(), "1h", "equity"),
        (pd.date_range("2024-01-01", periods=60, tz="UTC"), "1d", "24/7"),
        (pd.bdate_range("2024-01-01", periods=60, tz="UTC"), "1d", "equity"),
        # Daily bars of currencies: the week of a broker starts with a Sunday bar.
        (
            (days := pd.date_range("2024-01-01", periods=60, tz="UTC"))[days.day_of_week != 5],
            "1d",
            "24/5",
        ),
        (pd.date_range("2024-01-01", periods=30, freq="7D", tz="UTC"), "1w", "24/7"),
    ],
    ids=["crypto-1h", "fx-1h", "equity-1h", "crypto-1d", "equity-1d", "fx-1d", "weekly"],
)
def test_infer_calendar(times: pd.DatetimeIndex, interval: str, calendar: str) -> None:
    assert infer_calendar(_ns(times), Interval.parse(interval)) == calendar


def _missing(times: pd.DatetimeIndex, interval: Interval, calendar: str) -> dict[str, int]:
    missing = missing_bars(_ns(times), interval, calendar)
    assert missing.dtype == np.int64
    assert missing[0] == 0
    return {f"{times[row]:%m-%d %H:%M}": int(missing[row]) for row in np.flatnonzero(missing)}


def test_missing_in_a_market_without_closures() -> None:
    times = _hours("2024-01-05", "2024-01-08").delete([5, 30, 31, 32])  # Row 31 is Saturday 07:00.
    assert _missing(times, HOUR, "24/7") == {"01-05 06:00": 1, "01-06 09:00": 3}


def test_missing_on_weekdays_only() -> None:
    times = _weekdays()
    assert _missing(times, HOUR, "24/5") == {}
    # Friday 21:00 to 23:00, Monday 00:00 and Wednesday 12:00: Friday from 22:00 never counts.
    drop = [117, 118, 119, 120, 60]
    assert _missing(times.delete(drop), HOUR, "24/5") == {"01-03 13:00": 1, "01-08 01:00": 2}


def test_missing_a_whole_week_of_weekdays() -> None:
    times = _weekdays()
    assert _missing(times.delete(range(120, 240)), HOUR, "24/5") == {"01-15 00:00": 118}


def test_currency_weekend_is_a_scheduled_closure() -> None:
    """Currencies trade from Sunday 22:00 to Friday 21:59 UTC in winter: no bar is missing."""
    week = _hours("2024-01-08", "2024-01-12 21:00")
    times = week.append(_hours("2024-01-14 22:00", "2024-01-19 21:00"))
    assert _missing(times, HOUR, "24/5") == {}


def test_missing_daily_shares() -> None:
    times = pd.bdate_range("2024-01-01", periods=15, tz="UTC")
    assert _missing(times, DAY, "equity") == {}
    # Tuesday, then Friday and the next Monday: holidays count as missing.
    assert _missing(times.delete([1, 9, 10]), DAY, "equity") == {
        "01-03 00:00": 1,
        "01-16 00:00": 2,
    }


def test_missing_intraday_shares() -> None:
    times = _sessions()
    assert _missing(times, HOUR, "equity") == {}  # The market is closed in nights and at weekends.
    inside = times.delete([3, 4])
    assert _missing(inside, HOUR, "equity") == {"01-01 19:30": 2}
    a_day = times.delete(range(7, 14))
    assert _missing(a_day, HOUR, "equity") == {"01-03 14:30": 7}
    friday = times.delete(range(28, 35))
    assert _missing(friday, HOUR, "equity") == {"01-08 14:30": 7}


def test_missing_weekly() -> None:
    times = pd.date_range("2024-01-01", periods=10, freq="7D", tz="UTC").delete([4, 5])
    assert _missing(times, Interval.parse("1w"), "equity") == {"02-12 00:00": 2}


@settings(max_examples=40)
@given(st.sets(st.integers(1, 358), max_size=80), st.booleans())
def test_missing_counts_every_removed_bar(drop: set[int], weekdays: bool) -> None:
    times = _weekdays() if weekdays else _hours("2024-01-01", "2024-01-15 23:00")
    assert len(times) == 360
    left = _ns(times.delete(sorted(drop)))
    assert missing_bars(left, HOUR, "24/5" if weekdays else "24/7").sum() == (
        len([row for row in drop if row % 120 < 118]) if weekdays else len(drop)
    )
