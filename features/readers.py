"""Read a bar file into a table with standard columns."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from features.errors import InputError

SUFFIXES = (".parquet", ".csv", ".feather")

#: Standard column name -> names that are read as this column, compared by `_normalised`.
_ALIASES = {
    "timestamp": (
        "timestamp", "time", "datetime", "date_time", "date", "open_time", "opentime", "ts",
        "gmt_time", "utc_time",
    ),
    "open": ("open", "o", "open_price"),
    "high": ("high", "h", "high_price"),
    "low": ("low", "l", "low_price"),
    "close": ("close", "c", "close_price", "last"),
    "volume": (
        "volume", "v", "vol", "base_volume", "qty", "quantity", "tick_volume", "tickvol",
    ),
}  # fmt: skip
#: (unit, least value, upper bound): epoch numbers of the years 1973 to 2262 lie in exactly one of
#: these ranges.
_EPOCH_UNITS = (("s", 1e8, 1e11), ("ms", 1e11, 1e14), ("us", 1e14, 1e17), ("ns", 1e17, 1e19))
_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_CLOCK = r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"
_DAY_OR_MONTH_FIRST = r"^\s*\d{1,2}[./-]\d{1,2}[./-]\d{4}"


def read_table(path: Path) -> tuple[pd.DataFrame, str]:
    """Read a bar file.

    Parameters
    ----------
    path : pathlib.Path
        A .parquet, .csv or .feather file with a header.

    Returns
    -------
    frame : pandas.DataFrame
        Columns timestamp (UTC), open, high, low, close, volume; rows in the order of the file.
        Other columns are left out. Values are not sorted, filled or repaired.
    understood : str
        How the columns and times were read, as a sentence for users.

    Raises
    ------
    InputError
        If the file is empty or unreadable, a column is missing or occurs twice, or the format of
        the times is unknown or ambiguous.
    """
    raw, joined = _join_date_and_clock(_load(path))
    columns = _match_columns(raw, path.name)
    if raw.empty:
        raise InputError(f"{path.name} contains no bars; give a file with at least one row")
    times, format_text = _parse_times(raw[columns["timestamp"]], path.name)
    values = {name: raw[column] for name, column in columns.items() if name != "timestamp"}
    frame = pd.DataFrame({"timestamp": times, **values})
    renamed = [f"{c} as {name}" for name, c in columns.items() if c.strip().lower() != name]
    ignored = [str(c) for c in raw.columns if str(c) not in columns.values()]
    understood = f"{path.name}: {len(frame):,} rows, times {joined}{format_text}"
    if renamed:
        understood += f"; read {', '.join(renamed)}"
    if ignored:
        understood += f"; ignored {', '.join(ignored)}"
    return frame, understood


def _match_columns(raw: pd.DataFrame, file: str) -> dict[str, str]:
    """Return the column of the file for each standard name, in the order of the file."""
    columns: dict[str, str] = {}
    for column in map(str, raw.columns):
        for name, aliases in _ALIASES.items():
            if _normalised(column) not in aliases:
                continue
            if name in columns:
                raise InputError(
                    f"{file}: both {columns[name]!r} and {column!r} look like the {name}; "
                    "rename or remove one of them"
                )
            columns[name] = column
    absent = [name for name in _ALIASES if name not in columns]
    if absent:
        advice = "rename them to timestamp, open, high, low, close, volume"
        if absent == ["volume"]:
            advice += (
                " (for bars without volume data: add a column of zeros, and --features without "
                "the group volume)"
            )
        raise InputError(
            f"{file}: no column for {', '.join(absent)}, got {', '.join(map(str, raw.columns))}; "
            f"{advice}"
        )
    return columns


def _normalised(column: str) -> str:
    # pandas renames the second column of one name to "name.1": duplicates must be detected.
    return re.sub(r"\.\d+$", "", column).strip().strip("<>").lower().replace(" ", "_")


def _join_date_and_clock(raw: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Join a column of dates and a column of times of day, which some exports contain.

    Returns
    -------
    frame : pandas.DataFrame
        With one column timestamp in place of the two; unchanged without such columns.
    joined : str
        Which columns were joined, for the sentence of `read_table`; empty if none were.
    """
    columns = {_normalised(str(column)): column for column in raw.columns}
    if not {"date", "time"} <= set(columns) or raw.empty:
        return raw, ""
    day, clock = (raw[columns[name]].astype("string").str.strip() for name in ("date", "time"))
    if not clock.str.fullmatch(_CLOCK).all():
        return raw, ""
    frame = raw.drop(columns=[columns["date"], columns["time"]])
    frame.insert(0, "timestamp", day.str.cat(clock, sep=" "))
    return frame, f"from {columns['date']} and {columns['time']}, "


def _load(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
        elif path.suffix == ".feather":
            frame = pd.read_feather(path)
        else:
            frame = pd.read_csv(path, sep=_separator(path))
    except (ValueError, OSError) as error:
        reason = "it is empty" if path.stat().st_size == 0 else str(error).splitlines()[0]
        raise InputError(
            f"{path.name} cannot be read: {reason}; write the file again as parquet, csv or feather"
        ) from error
    if isinstance(frame.index, pd.DatetimeIndex):
        name = str("timestamp" if frame.index.name is None else frame.index.name)
        # Some writers store the index as a column, too; the column is then used.
        frame = frame.rename_axis(index=name).reset_index(drop=name in frame.columns)
    return frame


def _separator(path: Path) -> str:
    """Return comma, semicolon or tab: the one that occurs most often in the header."""
    with path.open(errors="replace") as file:
        header = file.readline()
    return max(",;\t", key=header.count)


def _parse_times(column: pd.Series, file: str) -> tuple[pd.Series, str]:
    """Return the times in UTC and a text that names the format in which they were read."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        zone = str(column.dt.tz)
        format_text = "in UTC" if zone == "UTC" else f"{column.dt.tz} converted to UTC"
        return column.dt.tz_convert("UTC"), format_text
    if column.dtype.kind == "M":
        return column.dt.tz_localize("UTC"), "without zone, read as UTC"
    if column.dtype.kind in "iuf":
        return _from_epoch(column, file)
    text = column.astype("string").str.strip()
    if text.isna().any():
        row = int(np.flatnonzero(text.isna())[0])
        raise InputError(f"{file}: the time in row {row} is missing; remove or repair the row")
    # 2024.01.31 and 2024/01/31 are unambiguous: the year comes first.
    text = text.str.replace(r"^(\d{4})[./](\d{1,2})[./](\d{1,2})\b", r"\1-\2-\3", regex=True)
    if text.str.fullmatch(r"-?\d+(\.\d+)?").all():
        return _from_epoch(pd.to_numeric(text), file)
    if text.str.match(_DAY_OR_MONTH_FIRST).all():
        return _from_day_or_month_first(text, file)
    return _from_iso(text, file)


def _from_iso(text: pd.Series, file: str) -> tuple[pd.Series, str]:
    try:
        times = pd.to_datetime(text, utc=True, format="ISO8601")
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{file}: times like {text.iloc[0]!r} are not understood; write ISO 8601 "
            "(2024-05-31T14:00:00Z) or epoch seconds or milliseconds"
        ) from error
    zoned = text.str.contains(r"(?:Z|[+-]\d{2}:?\d{2})$", regex=True)
    with_offset = zoned & text.str.contains(":")
    if with_offset.any() and not with_offset.all():
        row = int(np.flatnonzero(with_offset != with_offset.iloc[0])[0])
        raise InputError(
            f"{file}: some times have an offset and some have none ({text.iloc[0]!r}, and "
            f"{text.iloc[row]!r} in row {row}); write all of them with one"
        )
    if with_offset.all():
        return times, "ISO 8601 with offset, converted to UTC"
    return times, "ISO 8601 without zone, read as UTC"


def _from_epoch(column: pd.Series, file: str) -> tuple[pd.Series, str]:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    for unit, low, high in _EPOCH_UNITS:
        if ((values >= low) & (values < high)).all():
            fractional = values != np.floor(values)
            if fractional.any():
                row = int(np.flatnonzero(fractional)[0])
                raise InputError(
                    f"{file}: epoch {unit} must be whole numbers, got {column.iloc[row]} in row "
                    f"{row}; round them, or write ISO 8601 times"
                )
            time_ns = np.asarray(column).astype(np.int64) * _NANOSECONDS[unit]
            times = pd.Series(pd.DatetimeIndex(time_ns.view("datetime64[ns]"), tz="UTC"))
            return times, f"epoch {unit}"
    raise InputError(
        f"{file}: times like {column.iloc[0]} are not epoch seconds, milliseconds, microseconds "
        "or nanoseconds of one unit after 1973; write ISO 8601 times"
    )


def _from_day_or_month_first(text: pd.Series, file: str) -> tuple[pd.Series, str]:
    """Parse dates such as 31.01.2017 or 01.31.2017.

    The order of day and month is accepted if it is the only one that gives valid dates in
    ascending order.
    """
    readings = []
    for first in ("day", "month"):
        try:
            times = pd.to_datetime(text, utc=True, dayfirst=first == "day", format="mixed")
        except (ValueError, TypeError):
            continue
        # `dayfirst` is only a preference: pandas swaps day and month without a warning where the
        # month would be > 12.
        first_numbers = text.str.extract(r"^(\d{1,2})[./-]")[0].astype(int)
        parsed = times.dt.day if first == "day" else times.dt.month
        if (first_numbers == parsed).all() and times.is_monotonic_increasing:
            readings.append((first, times))
    if len(readings) != 1:
        problem = (
            "are valid in ascending order both day-first and month-first"
            if readings
            else "are valid in ascending order neither day-first nor month-first"
        )
        raise InputError(
            f"{file}: times like {text.iloc[0]!r} {problem}; write ISO 8601 (2024-05-31T14:00)"
        )
    first, times = readings[0]
    return times, f"{first}-first ({text.iloc[0]}), without zone, read as UTC"
