from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.calendar_fit import LARGEST
from features.calendar_option import choose_calendar
from features.calendars import HOUR_NS, CalendarSpec, exchanges, local_ns, utc_ns
from features.errors import InputError
from features.interval import Interval
from features.stamp_checks import check_stamps
from tests.exchange_bars import exchange_bars

WINTER = ("2023-01-05", "2023-02-20")  # without a change of clocks


def _clocks(name: str, step: str, zone: str, **how: object) -> np.ndarray:
    return np.unique(local_ns(exchange_bars(name, step, **how), zone))  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["auto", "given"])
@pytest.mark.parametrize("step", ["15m", "30m", "1h"])
@pytest.mark.parametrize("name", ["XNYS", "XETR", "XLON", "XTKS", "XASX", "CMES"])
def test_clocks_of_the_exchange(name: str, step: str, option: str) -> None:
    interval = Interval.parse(step)
    time_ns, zone = exchange_bars(name, step), exchanges()[name].zone
    option = option.replace("given", name)
    assert str(choose_calendar(option, time_ns, interval).spec) == name
    clocks = np.unique(local_ns(time_ns, zone))
    text = f"^times seem to be those of clocks in {zone}: so read, they are the sessions of {name},"
    with pytest.raises(InputError, match=text):
        choose_calendar(option, clocks, interval)
    assert choose_calendar(f"{name}@regular", clocks, interval).spec.name == name


@pytest.mark.parametrize("option", ["auto", "XNYS"])
@pytest.mark.parametrize("step", ["5m", "1h"])
@pytest.mark.parametrize(
    ("zone", "how"),
    [
        ("America/New_York", {"hours": (240, 1200), "grid": "clock"}),
        ("America/New_York", {"days": WINTER}),
        ("America/Chicago", {}),
        ("Europe/Berlin", {}),
        ("Europe/Athens", {}),
    ],
    ids=["extended hours", "without a change of clocks", "Chicago", "Berlin", "Athens"],
)
def test_clocks_of_new_york_and_elsewhere(
    zone: str, how: dict[str, object], step: str, option: str
) -> None:
    """A file of a few weeks is doubted by its hours: 09:30 is an open, and 04:30 is none."""
    clocks = _clocks("XNYS", step, zone, **how)
    with pytest.raises(InputError, match=f"clocks in {zone}: so read, they are the sess.* of XNYS"):
        choose_calendar(option, clocks, Interval.parse(step))


@pytest.mark.slow
@pytest.mark.parametrize("step", ["5m", "1h", "4h"])
def test_clocks_of_a_broker_of_currencies(step: str) -> None:
    """Its week is Monday 00:00 to Friday 24:00 on its clocks, seven hours ahead of New York."""
    hours = pd.date_range("2022-03-01", "2023-03-03", freq=step.replace("m", "min"))
    time_ns = hours.as_unit("ns").to_numpy().view(np.int64)
    ahead = pd.to_datetime(local_ns(time_ns, "America/New_York") + 7 * HOUR_NS)
    clocks = np.unique(ahead[ahead.day_of_week < 5].as_unit("ns").to_numpy().view(np.int64))
    week = utc_ns(clocks - 7 * HOUR_NS, "America/New_York")
    assert str(choose_calendar("auto", np.unique(week), Interval.parse(step)).spec) == "24/5"
    with pytest.raises(InputError, match="a broker, 7 hours ahead of New York: so read, they are "):
        choose_calendar("auto", clocks, Interval.parse(step))
    assert str(choose_calendar("24/5", clocks, Interval.parse(step)).spec) == "24/5"
    # A week in UTC without the hours of Sunday is no broker's.
    monday = week[(pd.to_datetime(week).day_of_week < 5)]
    assert str(choose_calendar("auto", monday, Interval.parse(step)).spec) == "24/5"


@pytest.mark.slow
@pytest.mark.parametrize("option", ["auto", "given"])
@pytest.mark.parametrize(
    ("name", "step", "grid", "keep"),
    [
        *(("XNYS", "5m", "open", 1), ("XNYS", "30m", "open", 1), ("XNYS", "1h", "open", 1)),
        *(("XNYS", "1h", "clock", 1), ("XETR", "4h", "open", 1), ("XETR", "4h", "clock", 1)),
        *(("XTKS", "30m", "open", 1), ("XASX", "1h", "clock", 1), ("CMES", "1h", "clock", 1)),
        # Thin trading: bars are missing.
        *(("XNYS", "5m", "open", 0.95), ("XTKS", "30m", "open", 0.95)),
        *(("XASX", "1h", "clock", 0.95), ("XETR", "1h", "open", 0.8)),
        *(("XMOS", "5m", "open", 1), ("XBOG", "30m", "open", 1), ("XMEX", "1h", "open", 1)),
    ],
)
def test_closes_of_bars(name: str, step: str, grid: str, keep: float, option: str) -> None:
    interval = Interval.parse(step)
    time_ns = exchange_bars(name, step, grid=grid)
    time_ns = time_ns[np.random.default_rng(0).random(len(time_ns)) <= keep]
    option = option.replace("given", name)
    assert str(choose_calendar(option, time_ns, interval).spec) == name
    with pytest.raises(InputError, match=f"closes of bars: {step} earlier .* sessions of {name},"):
        choose_calendar(option, time_ns + interval.ns, interval)


@pytest.mark.slow
@pytest.mark.parametrize("keep", [1.0, 0.8], ids=["all bars", "thin"])
@pytest.mark.parametrize("step", ["15m", "1h", "4h"])
@pytest.mark.parametrize("name", [*LARGEST[::2], "XWAR", "XIST", "XSAU", "XICE"])
def test_opens_in_utc_are_not_doubted(name: str, step: str, keep: float) -> None:
    time_ns = exchange_bars(name, step, grid="clock")
    time_ns = time_ns[np.random.default_rng(0).random(len(time_ns)) <= keep]
    choose_calendar("auto", time_ns, Interval.parse(step))
    choose_calendar(name, time_ns, Interval.parse(step))


def test_a_few_long_bars_are_no_evidence() -> None:
    """Bars of 8, 10, 12 and 14 UTC in Budapest could be those of clocks in New York."""
    time_ns = exchange_bars("XBUD", "2h", days=("2014-11-05", "2014-11-26"))
    choose_calendar("auto", time_ns, Interval.parse("2h"))


@pytest.mark.parametrize("hours", [(240, 1200), (600, 930), (570, 1200)])
def test_other_hours_in_utc_are_not_doubted(hours: tuple[int, int]) -> None:
    time_ns = exchange_bars("XNYS", "30m", hours=hours)
    for option in ("auto", "XNYS"):
        chosen = choose_calendar(option, time_ns, Interval.parse("30m"))
        assert chosen.spec == CalendarSpec("XNYS", hours)


@pytest.mark.slow
def test_clocks_of_an_exchange_that_the_library_does_not_know_so_late_are_not_suspected() -> None:
    """The library knows Hong Kong until 2049; other exchanges do not explain these bars."""
    days = pd.bdate_range("2060-01-05", "2060-06-30")
    minutes = pd.timedelta_range("9h30min", "15h30min", freq="30min")
    times = (days.to_numpy()[:, None] + minutes.to_numpy()).ravel().astype("datetime64[ns]")
    time_ns = np.delete(times.view(np.int64), np.arange(0, len(times), 7))
    inferred = choose_calendar("auto", time_ns, Interval.parse("30m"))
    assert "no calendar explains the bars" in inferred.reason


def test_daily_bars_and_markets_without_hours_are_not_checked() -> None:
    clocks = _clocks("XNYS", "1h", "America/New_York")
    check_stamps(CalendarSpec("24/7"), clocks, Interval.parse("1h"), exchanges=LARGEST)
    check_stamps(CalendarSpec("XNYS"), clocks[::7], Interval.parse("1d"), exchanges=LARGEST)
