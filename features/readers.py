"""Bar files into plain tables: usual column names and time formats are understood, and said."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from features.errors import InputError

SUFFIXES = (".parquet", ".csv", ".feather")

_NAMES = {
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
#: Epoch numbers of the years 1973 to 2262 fall into one of these ranges and no other.
_EPOCH_UNITS = (("s", 1e8, 1e11), ("ms", 1e11, 1e14), ("us", 1e14, 1e17), ("ns", 1e17, 1e19))
_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_CLOCK = r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"
_DAY_FIRST = r"^\s*\d{1,2}[./-]\d{1,2}[./-]\d{4}"


def read_table(path: Path) -> tuple[pd.DataFrame, str]:
    """Read a bar file.

    Parameters
    ----------
    path : pathlib.Path
        A .parquet, .csv or .feather file with a header.

    Returns
    -------
    frame : pandas.DataFrame
        Columns timestamp (UTC), open, high, low, close, volume, in the order of the file.
        Other columns are left out. Nothing is sorted, filled or repaired.
    understood : str
        What was understood, for people.

    Raises
    ------
    InputError
        If the file is empty or unreadable, a column is missing or there twice, or the times
        cannot be told.
    """
    raw, joined = _join_date_and_clock(_load(path))
    picked: dict[str, str] = {}
    for column in map(str, raw.columns):
        key = _key(column)
        for name, aliases in _NAMES.items():
            if key in aliases:
                if name in picked:
                    raise InputError(
                        f"{path.name}: both {picked[name]!r} and {column!r} look like the "
                        f"{name}; rename or remove one of them"
                    )
                picked[name] = column
    lacking = [name for name in _NAMES if name not in picked]
    if lacking:
        raise InputError(
            f"{path.name}: no column for {', '.join(lacking)}; found "
            f"{', '.join(map(str, raw.columns))}; name them timestamp, open, high, low, close, "
            "volume"
            + (
                " (where none was counted: a column of zeros, and --features without the group "
                "volume)"
                if lacking == ["volume"]
                else ""
            )
        )
    if raw.empty:
        raise InputError(f"{path.name} holds no bars; give a file with at least one row")
    times, how = _parse_times(raw[picked["timestamp"]], path.name)
    columns = {name: raw[column] for name, column in picked.items() if name != "timestamp"}
    frame = pd.DataFrame({"timestamp": times, **columns})
    renamed = [f"{c} as {name}" for name, c in picked.items() if c.strip().lower() != name]
    ignored = [str(c) for c in raw.columns if str(c) not in picked.values()]
    understood = f"{path.name}: {len(frame):,} rows, times {joined}{how}"
    if renamed:
        understood += f"; read {', '.join(renamed)}"
    if ignored:
        understood += f"; ignored {', '.join(ignored)}"
    return frame, understood


def _key(column: str) -> str:
    # pandas calls the second column of one name "name.1": a duplicate may not pass unseen.
    return re.sub(r"\.\d+$", "", column).strip().strip("<>").lower().replace(" ", "_")


def _join_date_and_clock(raw: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Make one column of a date and a time of day, as some exports have them."""
    by_key = {_key(str(column)): column for column in raw.columns}
    if not {"date", "time"} <= set(by_key) or raw.empty:
        return raw, ""
    day, clock = (raw[by_key[name]].astype("string").str.strip() for name in ("date", "time"))
    if not clock.str.fullmatch(_CLOCK).all():
        return raw, ""
    left = raw.drop(columns=[by_key["date"], by_key["time"]])
    left.insert(0, "timestamp", day.str.cat(clock, sep=" "))
    return left, f"from {by_key['date']} and {by_key['time']}, "


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
        # Kept as a column too, as some writers do: the column is the one that counts.
        frame = frame.rename_axis(index=name).reset_index(drop=name in frame.columns)
    return frame


def _separator(path: Path) -> str:
    """Comma, semicolon or tab: whichever the header has most of."""
    with path.open(errors="replace") as file:
        header = file.readline()
    return max(",;\t", key=header.count)


def _parse_times(column: pd.Series, file: str) -> tuple[pd.Series, str]:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        how = "in UTC" if str(column.dt.tz) == "UTC" else f"{column.dt.tz} converted to UTC"
        return column.dt.tz_convert("UTC"), how
    if column.dtype.kind == "M":
        return column.dt.tz_localize("UTC"), "without zone, read as UTC"
    if column.dtype.kind in "iuf":
        return _from_epoch(column, file)
    text = column.astype("string").str.strip()
    if text.isna().any():
        row = int(np.flatnonzero(text.isna())[0])
        raise InputError(f"{file}: the time in row {row} is missing; remove or repair the row")
    # 2024.01.31 and 2024/01/31: the order leaves no doubt.
    text = text.str.replace(r"^(\d{4})[./](\d{1,2})[./](\d{1,2})\b", r"\1-\2-\3", regex=True)
    if text.str.fullmatch(r"-?\d+(\.\d+)?").all():
        return _from_epoch(pd.to_numeric(text), file)
    if text.str.match(_DAY_FIRST).all():
        return _from_day_or_month_first(text, file)
    zoned = text.str.contains(r"(?:Z|[+-]\d{2}:?\d{2})$", regex=True)
    try:
        times = pd.to_datetime(text, utc=True, format="ISO8601")
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{file}: times like {text.iloc[0]!r} are not understood; write ISO 8601 "
            "(2024-05-31T14:00:00Z) or epoch seconds or milliseconds"
        ) from error
    with_time = zoned & text.str.contains(":")
    if with_time.any() and not with_time.all():
        row = int(np.flatnonzero(with_time != with_time.iloc[0])[0])
        raise InputError(
            f"{file}: some times have an offset and some have none ({text.iloc[0]!r}, and "
            f"{text.iloc[row]!r} in row {row}); write all of them with one"
        )
    how = (
        "ISO 8601 with offset, converted to UTC"
        if with_time.all()
        else ("ISO 8601 without zone, read as UTC")
    )
    return times, how


def _from_epoch(column: pd.Series, file: str) -> tuple[pd.Series, str]:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    for unit, low, high in _EPOCH_UNITS:
        if ((values >= low) & (values < high)).all():
            odd = values != np.floor(values)
            if odd.any():
                row = int(np.flatnonzero(odd)[0])
                raise InputError(
                    f"{file}: epoch {unit} must be whole numbers, got {column.iloc[row]} in row "
                    f"{row}; round them, or write ISO 8601 times"
                )
            scaled = np.asarray(column).astype(np.int64) * _NANOSECONDS[unit]
            times = pd.Series(pd.DatetimeIndex(scaled.view("datetime64[ns]"), tz="UTC"))
            return times, f"epoch {unit}"
    raise InputError(
        f"{file}: times like {column.iloc[0]} are no epoch seconds, milliseconds, microseconds "
        "or nanoseconds of one unit after 1973; write ISO 8601 times"
    )


def _from_day_or_month_first(text: pd.Series, file: str) -> tuple[pd.Series, str]:
    """Tell 31.01.2017 from 01.31.2017: only the right reading is possible and in order."""
    fits = []
    for first in ("day", "month"):
        try:
            times = pd.to_datetime(text, utc=True, dayfirst=first == "day", format="mixed")
        except (ValueError, TypeError):
            continue
        # `dayfirst` is only a preference to pandas: it quietly swaps where the month is > 12.
        lead = text.str.extract(r"^(\d{1,2})[./-](\d{1,2})").astype(int)
        leading = times.dt.day if first == "day" else times.dt.month
        if (lead[0] == leading).all() and times.is_monotonic_increasing:
            fits.append((first, times))
    if len(fits) != 1:
        why = "read either way" if fits else "neither day-first nor month-first in order"
        raise InputError(
            f"{file}: times like {text.iloc[0]!r} can be {why}; write ISO 8601 (2024-05-31T14:00)"
        )
    first, times = fits[0]
    return times, f"{first}-first ({text.iloc[0]}), without zone, read as UTC"
