"""Bars of eight exchanges over two years: half days, holidays, clock changes, breaks.

The sessions are read from a file (`tests.golden_sessions`), and not from the library.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.bars import Bars, validate_bars
from features.interval import Interval
from tests.golden_sessions import (
    COUNTS,
    EXCHANGES,
    STAMPS,
    daily_times,
    frame_at,
    golden_sessions,
    intraday_times,
)


def _validate(times: pd.DatetimeIndex, interval: str, calendar: str = "auto") -> Bars:
    return validate_bars(
        frame_at(times), symbol="SYNTH", interval=Interval.parse(interval), calendar=calendar
    )


@pytest.mark.parametrize("name", EXCHANGES)
def test_the_golden_sessions_have_half_days_and_clock_changes(name: str) -> None:
    sessions = golden_sessions(name)
    length = sessions["close"] - sessions["open"]
    usual = length.mode()[0]
    # Tokyo's session became longer in November 2024, which is no half day.
    assert (len(sessions), int((length < usual).sum())) == COUNTS[name]
    offsets = sessions["open"].dt.hour.nunique()
    assert offsets == (1 if name in ("XTKS", "XHKG") else 2)


@pytest.mark.parametrize("step", ["5m", "30m", "1h"])
@pytest.mark.parametrize("name", EXCHANGES)
def test_intraday_bars_have_no_gap_and_the_right_number_a_year(name: str, step: str) -> None:
    times = intraday_times(name, step.replace("m", "min"))
    bars = _validate(times, step)
    assert (bars.calendar, int(bars.missing.sum()), len(bars)) == (name, 0, len(times))
    years = 731 / 365
    assert bars.periods_per_year == pytest.approx(len(times) / years, rel=0.006)
    named = _validate(times, step, name)
    assert (named.digest, named.periods_per_year) == (bars.digest, bars.periods_per_year)


@pytest.mark.parametrize("name", EXCHANGES)
def test_intraday_bars_that_are_missing_are_counted_and_no_others(name: str) -> None:
    times = intraday_times(name, "30min")
    gone = np.random.default_rng(5).choice(np.arange(1, len(times) - 1), 40, replace=False)
    bars = _validate(times.delete(gone), "30m", name)
    assert int(bars.missing.sum()) == 40
    kept = np.delete(np.arange(len(times)), gone)
    assert bars.missing.tolist() == [0, *(np.diff(kept) - 1).tolist()]


@pytest.mark.parametrize("name", EXCHANGES)
def test_daily_bars_are_the_same_bars_however_they_are_stamped(name: str) -> None:
    bars = {stamp: _validate(daily_times(name, stamp), "1d") for stamp in STAMPS}
    n_sessions = len(golden_sessions(name))
    for stamp, one in bars.items():
        assert (one.calendar, len(one), int(one.missing.sum())) == (name, n_sessions, 0), stamp
        days = pd.DatetimeIndex(one.feature_time_ns.view("datetime64[ns]"))
        assert days.equals(pd.DatetimeIndex(golden_sessions(name)["day"]).as_unit("ns")), stamp
    first = bars["open"]
    assert {one.periods_per_year for one in bars.values()} == {first.periods_per_year}
    assert first.periods_per_year == pytest.approx(n_sessions * 365 / 731, rel=0.006)


@pytest.mark.parametrize("stamp", STAMPS)
@pytest.mark.parametrize("name", EXCHANGES)
def test_a_daily_bar_is_complete_at_the_close_of_its_session(name: str, stamp: str) -> None:
    bars = _validate(daily_times(name, stamp), "1d", name)
    sessions = golden_sessions(name)
    closes = pd.DatetimeIndex(bars.schedule.closes(bars.time_ns).view("datetime64[ns]"), tz="UTC")
    assert closes.equals(pd.DatetimeIndex(sessions["close"]).as_unit("ns"))
    fills = bars.schedule.next_open(bars.time_ns[:-1]).view("datetime64[ns]")
    opens = pd.DatetimeIndex(sessions["open"]).as_unit("ns")
    assert pd.DatetimeIndex(fills, tz="UTC").equals(opens[1:])
