"""Bars of eight exchanges over two years: half days, holidays, clock changes, breaks.

The sessions in tests/data/sessions are those of 2023 and 2024 as exchange_calendars 4.13.2 states
them; nothing here asks the library again. To write them anew:

    python tests/features/test_exchanges.py
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.bars import COLUMNS, Bars, validate_bars
from features.interval import Interval

FOLDER = Path(__file__).resolve().parent.parent / "data" / "sessions"
#: Exchange -> sessions and half days.
COUNTS = {
    "XNYS": (502, 5), "XTSE": (502, 1), "XLON": (505, 4), "XETR": (509, 2), "XTKS": (491, 0),
    "XHKG": (491, 3), "XASX": (506, 4), "CMES": (516, 15),
}  # fmt: skip
EXCHANGES = tuple(COUNTS)


@cache
def golden_sessions(name: str) -> pd.DataFrame:
    """Sessions of an exchange: day, and UTC times open, close, break_start, break_end or NaT."""
    times = ["open", "close", "break_start", "break_end"]
    frame = pd.read_csv(FOLDER / f"{name}.csv", parse_dates=["day", *times])
    return frame.assign(**{time: frame[time].dt.tz_convert("UTC") for time in times[:2]})


def intraday_times(name: str, step: str) -> pd.DatetimeIndex:
    """Bars of every session, counted from its open and from the end of its break."""
    parts = []
    for row in golden_sessions(name).itertuples():
        pieces = [(row.open, row.close)]
        if row.break_start is not pd.NaT:
            pieces = [(row.open, row.break_start), (row.break_end, row.close)]
        parts += [pd.date_range(a, b, freq=step, inclusive="left") for a, b in pieces]
    return pd.DatetimeIndex(np.concatenate([part.to_numpy() for part in parts]), tz="UTC")


def daily_times(name: str, stamp: str) -> pd.DatetimeIndex:
    """Daily bars of an exchange, stamped in one of four ways."""
    sessions = golden_sessions(name)
    if stamp in ("open", "close"):
        return pd.DatetimeIndex(sessions[stamp])
    if stamp == "UTC date":
        return pd.DatetimeIndex(sessions["day"]).tz_localize("UTC")
    zone = ZONES[name]
    return pd.DatetimeIndex(sessions["day"]).tz_localize(zone).tz_convert("UTC")


ZONES = {
    "XNYS": "America/New_York", "XTSE": "America/Toronto", "XLON": "Europe/London",
    "XETR": "Europe/Berlin", "XTKS": "Asia/Tokyo", "XHKG": "Asia/Hong_Kong",
    "XASX": "Australia/Sydney", "CMES": "America/Chicago",
}  # fmt: skip
STAMPS = ("open", "close", "local midnight", "UTC date")


def frame_at(times: pd.DatetimeIndex) -> pd.DataFrame:
    """Synthetic bars at these times: a random walk that depends on their number only."""
    rng = np.random.default_rng(len(times))
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.004, len(times))))
    open_ = np.r_[100.0, close[:-1]]
    high, low = np.maximum(open_, close) * 1.001, np.minimum(open_, close) * 0.999
    values = dict(zip(COLUMNS[1:], (open_, high, low, close, np.ones(len(times))), strict=True))
    return pd.DataFrame({"timestamp": times.as_unit("ns"), **values})


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


def _write() -> None:
    import exchange_calendars

    for name in EXCHANGES:
        calendar = exchange_calendars.get_calendar(name, start="2022-12-01", end="2025-01-31")
        schedule = calendar.schedule.loc["2023-01-01":"2024-12-31"].copy()
        order = ["open", "close", "break_start", "break_end"]
        schedule.index = schedule.index.strftime("%Y-%m-%d").rename("day")
        schedule[order].to_csv(FOLDER / f"{name}.csv", date_format="%Y-%m-%dT%H:%MZ")


if __name__ == "__main__":
    _write()
