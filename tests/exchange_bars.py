"""SYNTHETIC times of the bars of an exchange, from the library's own sessions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.calendars import DAY_NS, CalendarSpec, sessions
from features.interval import Interval
from features.schedule import make_schedule


def exchange_bars(
    name: str,
    step: str,
    *,
    hours: tuple[int, int] | None = None,
    days: tuple[str, str] = ("2022-03-01", "2023-03-03"),
    grid: str = "open",
) -> np.ndarray:
    """Times of all bars between two days, counted from the open or from full hours ("clock")."""
    interval = Interval.parse(step)
    first, last = (pd.Timestamp(day).value // DAY_NS for day in days)
    opens = sessions(name, first, last).open_ns
    if grid == "clock":
        opens = opens // interval.ns * interval.ns
    key = make_schedule(CalendarSpec(name, hours), interval, opens).key
    return key[(key >= first * DAY_NS) & (key < last * DAY_NS)]
