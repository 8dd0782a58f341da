"""Golden sessions of eight exchanges in 2023 and 2024, and SYNTHETIC bars in them.

tests/data/sessions holds them as exchange_calendars 4.13.2 states them; nothing here asks the
library again. To write them anew: python -m tests.golden_sessions
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

FOLDER = Path(__file__).resolve().parent / "data" / "sessions"
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
    values = dict(
        zip(
            ("open", "high", "low", "close", "volume"),
            (open_, high, low, close, np.ones(len(times))),
            strict=True,
        )
    )
    return pd.DataFrame({"timestamp": times.as_unit("ns"), **values})


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
