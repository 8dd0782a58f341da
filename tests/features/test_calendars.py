from __future__ import annotations

import pandas as pd
import pytest

from features.calendars import (
    DAY_NS,
    CalendarSpec,
    calendar_requirements,
    exchanges,
    sessions,
)
from features.errors import InputError


def _day(text: str) -> int:
    return pd.Timestamp(text).value // DAY_NS


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("24/7", CalendarSpec("24/7")),
        ("24/5", CalendarSpec("24/5")),
        ("XNYS", CalendarSpec("XNYS")),
        ("NYSE", CalendarSpec("XNYS")),
        ("LSE", CalendarSpec("XLON")),
        ("XNYS@04:00-20:00", CalendarSpec("XNYS", (240, 1200))),
        ("CMES@17:00-16:00", CalendarSpec("CMES", (1020, 960))),
    ],
)
def test_a_calendar_is_parsed_and_written_again(text: str, spec: CalendarSpec) -> None:
    assert CalendarSpec.parse(text) == spec
    assert CalendarSpec.parse(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nys", r"`calendar` must be auto, 24/7, 24/5 or a name of exchange_calendars, got 'nys'"),
        ("XNSY", "got 'XNSY'; did you mean XNYS?"),
        ("", "`calendar` must be a name, or a name with hours, got ''; write for example XNYS or"),
        ("XNYS@9:30-16", "`calendar` must be a name, or a name with hours, got 'XNYS@9:30-16'"),
        ("XNYS@09:30-16:60", "`calendar` must be a name, or a name with hours"),
        ("XNYS@25:00-16:00", "`calendar` must be a name, or a name with hours"),
        ("24/7@09:00-10:00", "`calendar` 24/7 has no hours, got '24/7@09:00-10:00'; write 24/7"),
        ("equity", "`calendar` equity was replaced by the calendars of exchanges; write auto, or"),
    ],
)
def test_what_is_no_calendar_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        CalendarSpec.parse(text)
    assert message in str(caught.value)


def test_facts_without_sessions_are_those_of_the_library() -> None:
    """They are read from classes whose constructor has not run: a full calendar must agree."""
    import exchange_calendars

    for name in ("XNYS", "XTKS", "CMES", "XETR"):
        calendar = exchange_calendars.get_calendar(name, start="2024-01-01", end="2024-12-31")
        exchange = exchanges()[name]
        opens, closes = calendar.open_times[-1][1], calendar.close_times[-1][1]
        assert exchange.zone == str(calendar.tz)
        assert exchange.open_minute == opens.hour * 60 + opens.minute
        assert exchange.close_minute == closes.hour * 60 + closes.minute
        assert exchange.evening == (calendar.open_offset < 0)
        assert (exchange.break_minutes[0] < exchange.break_minutes[1]) == calendar.has_break
    assert len(exchanges()) >= 60
    assert exchanges()["CMES"].length_minutes == 1440
    assert exchanges()["XNYS"].length_minutes == 390


def test_sessions_of_days_that_include_a_half_day_and_a_holiday() -> None:
    week = sessions("XNYS", _day("2024-07-01"), _day("2024-07-05"))
    days = [str(pd.Timestamp(day * DAY_NS).date()) for day in week.day.tolist()]
    assert days == ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05"]
    closes = [str(pd.Timestamp(time)) for time in week.close_ns.tolist()]
    assert closes[1:3] == ["2024-07-02 20:00:00", "2024-07-03 17:00:00"]
    assert week.break_start_ns.tolist() == week.break_end_ns.tolist() == week.close_ns.tolist()


def test_a_break_is_part_of_a_session() -> None:
    day = sessions("XTKS", _day("2024-07-01"), _day("2024-07-01"))
    times = [str(pd.Timestamp(t[0])) for t in (day.open_ns, day.break_start_ns, day.break_end_ns)]
    assert times == ["2024-07-01 00:00:00", "2024-07-01 02:30:00", "2024-07-01 03:30:00"]


def test_days_that_the_library_does_not_know_have_no_session() -> None:
    early = sessions("XSAU", _day("2020-01-01"), _day("2021-01-31"))
    assert early.day.min() >= _day("2021-01-01")


def test_a_calendar_that_the_library_cannot_compute_is_an_error_of_one_sentence() -> None:
    with pytest.raises(InputError, match="`calendar` XTAE cannot be computed by exchange_calendar"):
        sessions("XTAE", _day("2023-01-01"), _day("2023-02-01"))


def test_only_exchanges_need_the_library_to_be_served() -> None:
    assert calendar_requirements("24/7") == calendar_requirements("24/5") == ()
    assert calendar_requirements("XNYS@04:00-20:00") == ("exchange_calendars",)
