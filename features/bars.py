"""Validated price bars, which `validate_bars` makes from a table."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.errors import InputError
from features.interval import (
    CALENDARS,
    Calendar,
    Interval,
    infer_calendar,
    missing_bars,
    off_grid,
)

FloatArray = npt.NDArray[np.float64]

PRICES = ("open", "high", "low", "close")
COLUMNS = ("timestamp", *PRICES, "volume")

_DAY_NS = 86_400 * 10**9
_WEEK_NS = 7 * _DAY_NS
#: Absolute log price ratio of one bar above which a split is suspected. A 3-for-2 split gives
#: 0.405, so a price that moves the other way on the same day is covered, too. The largest hourly
#: close move of BTC, ETH and SOL is 0.27.
JUMP_BOUND = 0.35


@dataclass(frozen=True, eq=False)
class Bars:
    """Validated price bars of one symbol.

    Attributes
    ----------
    symbol : str
        Name of the instrument.
    interval : Interval
        Bar length.
    calendar : {"24/7", "24/5", "equity"}
        Trading calendar.
    time_ns : int64 array of shape (n,)
        Bar OPEN times, nanoseconds since 1970 UTC, strictly increasing.
    open, high, low, close : float64 arrays of shape (n,)
        Finite, positive, ``low <= min(open, close)`` and ``high >= max(open, close)``.
    volume : float64 array of shape (n,)
        Finite, not negative.
    missing : int64 array of shape (n,)
        Bars missing right before each bar; scheduled closures do not count.
    """

    symbol: str
    interval: Interval
    calendar: Calendar
    time_ns: npt.NDArray[np.int64]
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    missing: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.time_ns)

    @property
    def timestamps(self) -> pd.DatetimeIndex:
        """Return the bar open times as a UTC index of shape (n,)."""
        return pd.DatetimeIndex(self.time_ns.view("datetime64[ns]"), tz="UTC", name="timestamp")

    @property
    def periods_per_year(self) -> float:
        """Return the number of bars in one trading year of this calendar."""
        return self.interval.periods_per_year(self.calendar)

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of symbol, interval, calendar and every value, in hexadecimal."""
        sha = hashlib.sha256(f"{self.symbol}|{self.interval.text}|{self.calendar}".encode())
        for name in ("time_ns", *PRICES, "volume"):
            sha.update(np.ascontiguousarray(getattr(self, name)).data)
        return sha.hexdigest()

    def segment_start(self, max_gap_bars: int) -> npt.NDArray[np.int64]:
        """Return for each bar the index of the first bar of its segment.

        A segment starts at bar 0 and after each gap of more than `max_gap_bars` missing bars.

        Returns
        -------
        int64 array of shape (n,)
        """
        starts = np.where(self.missing > max_gap_bars, np.arange(len(self)), 0)
        return np.maximum.accumulate(starts)

    def slice(self, start: int, stop: int) -> Bars:
        """Return the bars of indices ``start`` to ``stop - 1``; their arrays are views."""
        cut = slice(start, stop)
        arrays = {name: getattr(self, name)[cut] for name in ("time_ns", *PRICES, "volume")}
        return Bars(self.symbol, self.interval, self.calendar, **arrays, missing=self.missing[cut])

    def to_frame(self) -> pd.DataFrame:
        """Return columns timestamp (UTC), open, high, low, close, volume, with one row per bar."""
        data = {name: getattr(self, name) for name in (*PRICES, "volume")}
        return pd.DataFrame({"timestamp": self.timestamps, **data})


def validate_bars(
    frame: pd.DataFrame,
    *,
    symbol: str,
    interval: Interval,
    calendar: str = "auto",
    allow_jumps: bool = False,
    now: pd.Timestamp | None = None,
) -> Bars:
    """Check that a table is a usable series of bars.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns timestamp, open, high, low, close, volume; others are ignored. Timestamps are
        bar OPEN times: UTC-aware, or naive and then read as UTC. Rows are not sorted or filled.
    symbol : str
        Used in messages and in the digest.
    interval : Interval
        Length that the bars must have.
    calendar : str, default "auto"
        ``24/7``, ``24/5``, ``equity``, or ``auto`` to infer it from the bars.
    allow_jumps : bool, default False
        Accept one-bar moves of more than a factor 1.42 (`JUMP_BOUND`), which look like splits.
    now : pandas.Timestamp, optional
        If given, a last bar that is still open at this time is left out, and times further in
        the future are an error.

    Returns
    -------
    Bars

    Raises
    ------
    InputError
        On a missing column, no rows, NaN or infinite values, unsorted, duplicate or future
        times, prices that are not positive or break ``low <= open, close <= high``, an interval
        other than the given one, or a suspected split.
    """
    absent = [name for name in COLUMNS if name not in frame.columns]
    if absent:
        raise InputError(
            f"bars of {symbol} lack the column(s) {', '.join(absent)}; "
            f"needed are {', '.join(COLUMNS)}, got {', '.join(map(str, frame.columns))}"
        )
    if not len(frame):
        raise InputError(f"bars of {symbol} are empty; give a series with at least one bar")
    time_ns = _utc_nanoseconds(frame["timestamp"], symbol)
    values = {name: _floats(frame[name], symbol, name) for name in (*PRICES, "volume")}
    if now is not None and time_ns[-1] + interval.ns > now.value:
        time_ns = time_ns[:-1]
        values = {name: array[:-1] for name, array in values.items()}
        if not len(time_ns):
            raise InputError(
                f"bars of {symbol} are one bar only, which is still open; wait until it closes"
            )
        if time_ns[-1] + interval.ns > now.value:
            raise InputError(
                f"times of {symbol} must not lie in the future: the bar of "
                f"{_describe_time(time_ns, len(time_ns) - 1)} is still open, but it is not the "
                "last one; give times in UTC, or with their offset"
            )
    _check_order(time_ns, symbol, interval)
    _check_values(time_ns, values, symbol)
    if not allow_jumps:
        _check_jumps(time_ns, values["open"], values["close"], symbol)
    chosen = infer_calendar(time_ns, interval) if calendar == "auto" else _as_calendar(calendar)
    missing = missing_bars(time_ns, interval, chosen)
    return Bars(symbol, interval, chosen, time_ns, **values, missing=missing)


def _as_calendar(text: str) -> Calendar:
    for calendar in CALENDARS:
        if text == calendar:
            return calendar
    raise InputError(f"`calendar` must be auto, {', '.join(CALENDARS)}, got {text!r}")


def _utc_nanoseconds(column: pd.Series, symbol: str) -> npt.NDArray[np.int64]:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        # The unit of the column is kept: nanoseconds cannot represent every year and would wrap.
        return _as_nanoseconds(column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(), symbol)
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


def _as_nanoseconds(values: npt.NDArray[np.datetime64], symbol: str) -> npt.NDArray[np.int64]:
    """Return times as nanoseconds; raise if one is missing or out of the range of nanoseconds."""
    if np.isnat(values).any():
        row = int(np.flatnonzero(np.isnat(values))[0])
        raise InputError(f"`timestamp` of {symbol} is missing in row {row}; remove or repair it")
    exact = values.astype("datetime64[ns]")
    if (exact.astype(values.dtype) != values).any():
        raise InputError(f"`timestamp` of {symbol} must lie between 1678 and 2262; repair it")
    return exact.view(np.int64)


def _floats(column: pd.Series, symbol: str, name: str) -> FloatArray:
    if column.dtype == np.float64:
        return np.ascontiguousarray(column.to_numpy())
    try:
        return np.ascontiguousarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    except (ValueError, TypeError) as error:
        raise InputError(f"`{name}` of {symbol} must be numbers; {error}") from error


def _describe_time(time_ns: npt.NDArray[np.int64], row: int) -> str:
    return f"{pd.Timestamp(int(time_ns[row]), tz='UTC'):%Y-%m-%d %H:%M} UTC (row {row})"


def _check_order(time_ns: npt.NDArray[np.int64], symbol: str, interval: Interval) -> None:
    step = np.diff(time_ns)
    if (step <= 0).any():
        row = int(np.flatnonzero(step <= 0)[0]) + 1
        problem = "duplicate" if step[row - 1] == 0 else "earlier than the one before it"
        raise InputError(
            f"times of {symbol} must be strictly increasing: {_describe_time(time_ns, row)} is "
            f"{problem}; sort the bars and remove duplicates"
        )
    # A weekly bar opens on the first trading day: a holiday moves it by up to three days.
    weekly = interval.ns >= _WEEK_NS
    wrong = step < interval.ns - 3 * _DAY_NS if weekly else off_grid(time_ns, interval)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0]) + 1
        raise InputError(
            f"bars of {symbol} are not {interval.text} bars: {_describe_time(time_ns, row)} comes "
            f"{pd.Timedelta(int(step[row - 1]))} after the bar before it; "
            "give the interval of the data"
        )
    if len(step) and step.min() > interval.ns and not weekly:
        raise InputError(
            f"bars of {symbol} are not {interval.text} bars: the shortest step between two bars "
            f"is {pd.Timedelta(int(step.min()))}; give the interval of the data"
        )


def _check_values(
    time_ns: npt.NDArray[np.int64], values: dict[str, FloatArray], symbol: str
) -> None:
    for name, array in values.items():
        bad = ~np.isfinite(array) | (array < 0 if name == "volume" else array <= 0)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            rule = "finite and not negative" if name == "volume" else "finite and positive"
            raise InputError(
                f"`{name}` of {symbol} must be {rule}, got {array[row]:g} at "
                f"{_describe_time(time_ns, row)}; remove or repair the bar"
            )
    body_top = np.maximum(values["open"], values["close"])
    body_bottom = np.minimum(values["open"], values["close"])
    for name, bad, rule in (
        ("high", values["high"] < body_top, "high >= max(open, close)"),
        ("low", values["low"] > body_bottom, "low <= min(open, close)"),
    ):
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise InputError(
                f"`{name}` of {symbol} breaks {rule} at {_describe_time(time_ns, row)}: open "
                f"{values['open'][row]:g}, high {values['high'][row]:g}, low "
                f"{values['low'][row]:g}, close {values['close'][row]:g}; repair the bar"
            )


def _check_jumps(
    time_ns: npt.NDArray[np.int64], open_: FloatArray, close: FloatArray, symbol: str
) -> None:
    # A split moves both the open and the close; one bad tick at the open moves the open only.
    previous = close[:-1]
    ratio = np.log(np.stack([open_[1:] / previous, close[1:] / previous]))
    jumps = np.flatnonzero(np.abs(ratio).min(axis=0) > JUMP_BOUND) + 1
    if len(jumps):
        listed = ", ".join(
            f"{pd.Timestamp(int(time_ns[row])):%Y-%m-%d} ({close[row] / close[row - 1] - 1:+.0%})"
            for row in jumps[:8]
        )
        more = f" and {len(jumps) - 8} more" if len(jumps) > 8 else ""
        raise InputError(
            f"bars of {symbol} jump by more than a factor {np.exp(JUMP_BOUND):.2f} within one "
            f"bar, as unadjusted splits do: {listed}{more}; adjust the prices, or pass "
            "--allow-jumps on if the moves are real"
        )
