"""Checks of the times and values of bars: each names what is wrong, where, and how to mend it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.calendars import DAY_NS, HOUR_NS, IntArray
from features.errors import InputError
from features.interval import Interval
from features.schedule import Schedule, off_grid

FloatArray = npt.NDArray[np.float64]

_WEEK_NS = 7 * DAY_NS
#: Absolute log price ratio of one bar above which a split is suspected. A 3-for-2 split gives
#: 0.405, so a price that moves the other way on the same day is covered, too. The largest hourly
#: close move of BTC, ETH and SOL is 0.27.
JUMP_BOUND = 0.35
#: Number of bad bars, and of jumps, that a message lists.
_LISTED, _LISTED_JUMPS = 5, 8
#: Number of bars off the grid up to which they are errors of the file, not of the interval.
_MAX_OFF_GRID = 0.01


def utc_nanoseconds(column: pd.Series, symbol: str) -> IntArray:
    """Return a column of times as nanoseconds since 1970 UTC; raise if they are not times."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        # The unit of the column is kept: nanoseconds cannot represent every year and would wrap.
        # The array is converted, and not the column: that takes a tenth of the time of a decision.
        return _as_nanoseconds(column.array.tz_convert(None).to_numpy(), symbol)
    if column.dtype.kind in "iufb":
        raise InputError(
            f"`timestamp` of {symbol} must be UTC times or ISO 8601 text, got the number "
            f"{column.iloc[0]!r}; convert it, or read the file through a source"
        )
    if column.dtype.kind != "M":
        try:
            column = pd.to_datetime(column, utc=True, format="ISO8601").dt.tz_localize(None)
        except (ValueError, TypeError) as error:
            raise InputError(
                f"`timestamp` of {symbol} must be UTC times or ISO 8601 text, "
                f"got {column.iloc[0]!r}; convert it, or read the file through a source"
            ) from error
    return _as_nanoseconds(column.to_numpy(), symbol)


def _as_nanoseconds(values: npt.NDArray[np.datetime64], symbol: str) -> IntArray:
    """Return times as nanoseconds; raise if one is missing or out of the range of nanoseconds."""
    if np.isnat(values).any():
        row = int(np.flatnonzero(np.isnat(values))[0])
        raise InputError(f"`timestamp` of {symbol} is missing in row {row}; remove or repair it")
    exact = values.astype("datetime64[ns]")
    if (exact.astype(values.dtype) != values).any():
        raise InputError(f"`timestamp` of {symbol} must lie between 1678 and 2262; repair it")
    return exact.view(np.int64)


def floats(column: pd.Series, symbol: str, name: str) -> FloatArray:
    """Return a column as float64; raise if it does not hold numbers."""
    if column.dtype == np.float64:
        return np.ascontiguousarray(column.to_numpy())
    try:
        return np.ascontiguousarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    except (ValueError, TypeError) as error:
        raise InputError(f"`{name}` of {symbol} must be numbers; {error}") from error


def describe_time(time_ns: IntArray, row: int) -> str:
    """Return the time of a bar, for messages.

    Its row is not named: the file may have it elsewhere, with the newest first or other lines.
    """
    return f"{pd.Timestamp(int(time_ns[row]), tz='UTC'):%Y-%m-%d %H:%M} UTC"


def describe_length(ns: int) -> str:
    """Return a length of time for messages.

    Examples
    --------
    >>> describe_length(90_060 * 10**9)
    '1 d 1 h 1 min'
    """
    if ns < 10**9:
        return f"{ns} ns"
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, ns = divmod(ns, size * 10**9)
        parts += [f"{count} {unit}"] if count else []
    return " ".join(parts)


def check_order(time_ns: IntArray, symbol: str, interval: Interval) -> None:
    """Raise if times are not strictly increasing, or clearly of bars of another length."""
    step = np.diff(time_ns)
    if (step > 0).all():
        _check_length(time_ns, step, symbol, interval)
        return
    wrong = np.flatnonzero(step <= 0) + 1
    row = int(wrong[0])
    problem = "duplicate" if step[row - 1] == 0 else "earlier than the one before it"
    cure = "sort the bars and remove duplicates"
    if _clocks_set_back(int(time_ns[row]), int(step[row - 1])):
        cure = (
            "in this night clocks are set back, so these seem to be local times: write UTC, or "
            "times with their offset"
        )
    raise InputError(
        f"times of {symbol} must be strictly increasing: {describe_time(time_ns, row)} is "
        f"{problem}{_count(len(wrong))}; {cure}"
    )


def _check_length(time_ns: IntArray, step: IntArray, symbol: str, interval: Interval) -> None:
    """Raise if no step is as short as the interval, or most are shorter than half of it."""
    if not len(step) or interval.ns >= _WEEK_NS:
        return
    problem = ""
    if step.min() > interval.ns:
        problem = f"the shortest step between two bars is {describe_length(int(step.min()))}"
    elif 2 * np.count_nonzero(step < interval.ns / 2) > len(step):
        row = int(np.argmax(step < interval.ns / 2)) + 1
        problem = (
            f"{describe_time(time_ns, row)} comes {describe_length(int(step[row - 1]))} after the "
            "bar before it"
        )
    if problem:
        raise InputError(
            f"bars of {symbol} are not {interval.text} bars: {problem}; give the interval of the "
            "data"
        )


def _clocks_set_back(time_ns: int, step_ns: int) -> bool:
    """Return whether a time that repeats an hour lies in a night in which clocks are set back."""
    time = pd.Timestamp(time_ns)
    back = -step_ns <= HOUR_NS and time.month in (4, 10, 11)
    return back and time.day_of_week == 6 and time.hour <= 3


def check_grid(schedule: Schedule, time_ns: IntArray, symbol: str) -> None:
    """Raise if bars do not have the bar length of their schedule."""
    interval, step = schedule.interval, np.diff(time_ns)
    # A weekly bar opens on the first trading day: a holiday moves it by up to three days, and the
    # holidays of a whole week to its end.
    weekly = interval.ns >= _WEEK_NS
    wrong = step < interval.ns - 3 * DAY_NS if weekly else off_grid(schedule, time_ns)
    if interval.ns == _WEEK_NS:
        wrong &= np.diff(_weeks(time_ns)) < 1
    if not weekly:
        _check_stray_bars(schedule, time_ns, wrong, symbol)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0]) + 1
        raise InputError(
            f"bars of {symbol} are not {interval.text} bars: {describe_time(time_ns, row)} comes "
            f"{describe_length(int(step[row - 1]))} after the bar before it; "
            "give the interval of the data"
        )


def _weeks(time_ns: IntArray) -> IntArray:
    """Return the number of the week, from Monday, of the day whose midnight is nearest."""
    return ((time_ns + DAY_NS // 2) // DAY_NS + 3) // 7


def _check_stray_bars(
    schedule: Schedule, time_ns: IntArray, wrong: npt.NDArray[np.bool_], symbol: str
) -> None:
    """Raise for single bars that stand beside the times of all others."""
    if not 0 < wrong.sum() <= _MAX_OFF_GRID * len(wrong) + 2:
        return
    phase = time_ns % schedule.interval.ns
    usual, counts = np.unique(phase, return_counts=True)
    beside = np.r_[wrong, False] | np.r_[False, wrong]
    stray = np.flatnonzero(beside & (phase != usual[np.argmax(counts)]))
    if len(stray) and counts.max() >= (1 - _MAX_OFF_GRID) * len(time_ns) - 1:
        raise InputError(
            f"times of {symbol} must be those of {schedule.interval.text} bars: "
            f"{_listed(time_ns, stray)} between the times of the other bars; remove or repair the "
            "bar"
        )


def check_values(
    time_ns: IntArray, values: dict[str, FloatArray], symbol: str
) -> tuple[dict[str, FloatArray], tuple[str, ...]]:
    """Raise for prices or volumes that cannot be.

    Returns
    -------
    values : dict
        The values; a high or low that misses the open or the close by rounding has its value.
    notes : tuple of str
        How many bars were accepted with such a rounding error, as a sentence for users.
    """
    for name, array in values.items():
        bad = np.flatnonzero(~np.isfinite(array) | (array < 0 if name == "volume" else array <= 0))
        if len(bad):
            rule = "finite and not negative" if name == "volume" else "finite and positive"
            raise InputError(
                f"`{name}` of {symbol} must be {rule}, got {array[bad[0]]:g} at "
                f"{_listed(time_ns, bad)}; remove or repair the bar"
            )
    top = np.maximum(values["open"], values["close"])
    bottom = np.minimum(values["open"], values["close"])
    high, low = values["high"], values["low"]
    for name, bad, rule in (
        ("high", np.flatnonzero(np.nextafter(high, np.inf) < top), "high >= max(open, close)"),
        ("low", np.flatnonzero(np.nextafter(low, -np.inf) > bottom), "low <= min(open, close)"),
    ):
        if len(bad):
            row = bad[0]
            raise InputError(
                f"`{name}` of {symbol} breaks {rule} at {_listed(time_ns, bad)}: open "
                f"{values['open'][row]:g}, high {high[row]:g}, low {low[row]:g}, close "
                f"{values['close'][row]:g}; repair the bar"
            )
    rounded = int(((high < top) | (low > bottom)).sum())
    if not rounded:
        return values, ()
    bars = "1 bar" if rounded == 1 else f"{rounded:,} bars"
    note = f"{bars} with a high or low off by rounding (one unit in the last place)"
    return {**values, "high": np.maximum(high, top), "low": np.minimum(low, bottom)}, (note,)


def _listed(time_ns: IntArray, rows: IntArray) -> str:
    """Return the first bars of `rows`, and how many there are."""
    listed = ", ".join(describe_time(time_ns, int(row)) for row in rows[:_LISTED])
    return listed + _count(len(rows))


def _count(n_bars: int) -> str:
    return "" if n_bars == 1 else f" ({n_bars:,} bars)"


def describe_jumps(time_ns: IntArray, open_: FloatArray, close: FloatArray) -> list[str]:
    """Return the date and the size of each move that looks like an unadjusted split."""
    # A split moves both the open and the close; one bad tick at the open moves the open only.
    previous = close[:-1]
    ratio = np.log(np.stack([open_[1:] / previous, close[1:] / previous]))
    rows = np.flatnonzero(np.abs(ratio).min(axis=0) > JUMP_BOUND) + 1
    return [
        f"{pd.Timestamp(int(time_ns[row])):%Y-%m-%d} ({close[row] / close[row - 1] - 1:+.0%})"
        for row in rows
    ]


def check_jumps(time_ns: IntArray, open_: FloatArray, close: FloatArray, symbol: str) -> None:
    """Raise for a move between two bars that looks like an unadjusted split."""
    jumps = describe_jumps(time_ns, open_, close)
    if jumps:
        raise InputError(
            f"bars of {symbol} jump by more than a factor {np.exp(JUMP_BOUND):.2f} within one "
            f"bar, as unadjusted splits do: {listed_jumps(jumps)}; adjust the prices, or train "
            "with --allow-jumps on if the moves are real"
        )


def listed_jumps(jumps: Sequence[str]) -> str:
    """Return the first moves, and how many more there are."""
    more = f" and {len(jumps) - _LISTED_JUMPS} more" if len(jumps) > _LISTED_JUMPS else ""
    return ", ".join(jumps[:_LISTED_JUMPS]) + more
