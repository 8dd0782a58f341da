from __future__ import annotations

import pytest

from features.calendar_option import check_calendar, choose_calendar
from features.errors import InputError
from features.interval import Interval
from tests.exchange_bars import exchange_bars


@pytest.mark.parametrize("calendar", ["XNYS@regular", "XNYS@09:30-16:00"])
def test_given_hours_are_kept(calendar: str) -> None:
    time_ns = exchange_bars("XNYS", "1h", hours=(240, 1200), days=("2023-03-01", "2023-03-31"))
    chosen = choose_calendar(calendar, time_ns, Interval.parse("1h"))
    assert str(chosen.spec) == calendar.removesuffix("@regular")


@pytest.mark.parametrize("option", ["auto", "XNYS"])
def test_hours_that_are_not_given_are_inferred(option: str) -> None:
    time_ns = exchange_bars("XNYS", "30m", hours=(240, 1200))
    chosen = choose_calendar(option, time_ns, Interval.parse("30m"))
    assert str(chosen.spec) == "XNYS@04:00-20:00"
    assert chosen.reason.startswith("calendar XNYS@04:00-20:00, ")
    assert (option == "auto") or chosen.reason.endswith(", hours inferred from the bars")


def test_hours_that_are_moved_are_named() -> None:
    time_ns = exchange_bars("XNYS", "30m", hours=(660, 1080))
    chosen = choose_calendar("XNYS", time_ns, Interval.parse("30m"))
    assert chosen.reason == (
        "calendar XNYS@11:00-18:00, hours inferred from the bars; they are not the regular ones of "
        "XNYS: is the zone of the times right?"
    )


def test_the_retired_calendar_is_inferred_anew() -> None:
    chosen = choose_calendar("equity", exchange_bars("XNYS", "1h"), Interval.parse("1h"))
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
