"""Parse the times of a file, which are text, epoch numbers or dates of eight digits."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.errors import InputError
from features.reader_table import Table, quoted

#: Units of epoch numbers.
_UNITS = ("s", "ms", "us", "ns")
#: Epoch numbers of the years 1973 to 2262 lie in exactly one of the ranges between these.
_EPOCH_EDGES = (1e8, 1e11, 1e14, 1e17, 2.0**63)
_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
#: Number of digits -> format of dates that are written as one number.
_DIGIT_FORMATS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
_MONTH_NUMBERS = {
    **{name: f"{number:02}" for number, name in enumerate(_MONTHS, 1)},
    **{name[:3]: f"{number:02}" for number, name in enumerate(_MONTHS, 1)},
    "sept": "09",
}
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*[.,]?\s+)?"
_REST = r"(?:(?:,?\s+|T)(?P<rest>.*))?"
#: Orders of day, name of the month, and year.
_NAMED_MONTH = tuple(
    rf"(?i)^{_WEEKDAY}{date}{_REST}$"
    for date in (
        r"(?P<day>\d{1,2})[\s/-]+(?P<month>[a-z]{3,9})[.,]?[\s/-]+(?P<year>\d{4})",
        r"(?P<month>[a-z]{3,9})[.]?[\s/-]+(?P<day>\d{1,2}),?[\s/-]+(?P<year>\d{4})",
        r"(?P<year>\d{4})[\s/-]+(?P<month>[a-z]{3,9})[\s/-]+(?P<day>\d{1,2})",
    )
)
_NUMBERED_MONTH = rf"^(?P<first>\d{{1,2}})[./-](?P<second>\d{{1,2}})[./-](?P<year>\d{{4}}){_REST}$"
_TWO_DIGIT_YEAR = re.compile(
    r"(\d{1,2}[./\s-](\d{1,2}|[A-Za-z]{3,9})[./\s-]|[A-Za-z]{3,9}\.? \d{1,2},? )\d{2}(\D.*)?"
)
_CLOCK = r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"
_NUMBER = r"-?\d+(\.\d*)?"
#: A time of day with an offset. pyarrow searches it fast, because it contains no ``\\s``.
_OFFSET = r"[T ]\d{1,2}(?::?\d{2}(?::?\d{2}(?:[.,]\d+)?)?)? *(?:Z|[+-]\d{1,2}(?::?\d{2})?)$"
_TWELVE_HOURS = r"(?i)^(\S+)[ T]+(0?[1-9]|1[0-2])((?::\d{2}){0,2}(?:\.\d+)?)\s*([ap])\.?m\.?$"
#: The name of a zone after a time of day. EST may mean the clocks of New York or -05:00.
_ZONE_NAME = re.compile(
    r":\d{2}(?:\.\d+)?\s*\[?(?:(?!AM|PM)[A-Z]{2,5}|[A-Z][A-Za-z]+/[A-Za-z_/]+)\]?$"
)
_OFFSETS = "write UTC, or the offset of each time: 2024-05-31T10:00:00-04:00"
_ISO = "write ISO 8601 (2024-05-31T14:00:00Z)"
_REPAIR = f"{_ISO} or epoch seconds or milliseconds, or remove it"


def parse_times(table: Table, column: str) -> tuple[pd.Series, str]:
    """Return the times of a column in UTC.

    Parameters
    ----------
    table : Table
        The file.
    column : str
        Column of `table`.

    Returns
    -------
    times : pandas.Series
        In the order of the rows.
    format_text : str
        The format in which they were read, as a phrase for users.

    Raises
    ------
    InputError
        For the first time that is missing, or is written in another way than the first one, and
        for formats that are unknown or ambiguous.
    """
    values = table.frame[column]
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        zone = str(values.dt.tz)
        format_text = "in UTC" if zone == "UTC" else f"{zone} converted to UTC"
        return values.dt.tz_convert("UTC"), format_text
    if values.dtype.kind == "M":
        return values.dt.tz_localize("UTC"), "without zone, read as UTC"
    if values.dtype.kind in "iuf":
        _refuse(values.isna(), table, column, "is missing", "remove or repair it")
        return _from_numbers(values, table, column)
    text = values.astype("string").str.strip()
    if "  " in str(text.iloc[0]):
        text = text.str.replace(r"\s+", " ", regex=True)
    absent = text.isna() | (text == "")
    _refuse(absent, table, column, "is missing", "remove or repair it")
    first = str(text.iloc[0])
    if re.fullmatch(_NUMBER, first):
        _refuse_unlike(text.str.fullmatch(_NUMBER), table, column)
        return _from_numbers(pd.to_numeric(text, errors="coerce"), table, column)
    if _TWO_DIGIT_YEAR.fullmatch(first):
        raise InputError(
            f"{table.at(0)}: the time {quoted(first)} has a year of two digits; {_ISO}"
        )
    text = _without_zone_names(text)
    first = str(text.iloc[0])
    if re.match(_NUMBERED_MONTH, first):
        return _from_day_or_month_first(text, table, column)
    for pattern in _NAMED_MONTH:
        if (match := re.match(pattern, first)) and match["month"].lower() in _MONTH_NUMBERS:
            return _from_named_month(text, pattern, table, column)
    return _from_year_first(text, table, column)


def _refuse(bad: pd.Series, table: Table, column: str, problem: str, cure: str) -> None:
    """Raise for the first row of `bad`."""
    if bad.any():
        row = int(bad.argmax())
        if table.cell(row, column).strip() == column.strip():
            problem, cure = "repeats the name of the column", "remove it"
        raise InputError(f"{table.at(row)}: the time {table.shown(row, column)} {problem}; {cure}")


def _refuse_unlike(alike: pd.Series, table: Table, column: str) -> None:
    """Raise for the first row that is not written as the first one is."""
    if not alike.all():
        problem = f"is not written like the first one, {table.shown(0, column)}"
        _refuse(~alike.fillna(False), table, column, problem, _REPAIR)


def _refuse_not_understood(times: pd.Series, table: Table, column: str) -> None:
    """Raise for the first text that gave no time."""
    absent = times.isna()
    if absent.any() and _ZONE_NAME.search(table.cell(int(absent.argmax()), column).strip()):
        _refuse(absent, table, column, "ends with the name of a zone", _OFFSETS)
    _refuse(absent, table, column, "is not understood", _REPAIR)


def _without_zone_names(text: pd.Series) -> pd.Series:
    """Return times with an offset in place of UTC or GMT, if the first one ends so."""
    if not re.search(r"(UTC|GMT)", text.iloc[0]):
        return text
    text = text.str.replace(r"\s*(?:UTC|GMT)\s*([+-]\d)", r"\1", regex=True)
    text = text.str.replace(r"(?i)(\d\s*[ap]\.?m\.?)\s*(?:UTC|GMT)$", r"\1", regex=True)
    text = text.str.replace(r"(:\d{2}(?:\.\d+)?)\s*(?:UTC|GMT)$", r"\1Z", regex=True)
    return text.str.replace(r"\s*(?:UTC|GMT)$", "T00:00Z", regex=True)


def _from_year_first(text: pd.Series, table: Table, column: str) -> tuple[pd.Series, str]:
    times = _parse(text)
    if times.isna().any():
        # 2024.01.31 and 2024/01/31 are unambiguous: the year comes first.
        text = text.str.replace(r"^(\d{4})[./](\d{1,2})[./](\d{1,2})\b", r"\1-\2-\3", regex=True)
        times = _parse(text)
    if re.fullmatch(_CLOCK, text.iloc[0]):
        _refuse(times.isna(), table, column, "is a time of day only", "add the date")
    _refuse_not_understood(times, table, column)
    return times, f"ISO 8601 {_zone(text, table, column)}"


def _from_named_month(
    text: pd.Series, pattern: str, table: Table, column: str
) -> tuple[pd.Series, str]:
    """Parse dates such as 02 Jan 2024, Jan 02, 2024 and Tue, 02-Jan-2024 09:30."""
    parts = text.str.extract(pattern)
    month = parts["month"].str.lower().map(_MONTH_NUMBERS)
    _refuse_unlike(month.notna(), table, column)
    text = _year_first(parts, month, parts["day"])
    times = _parse(text)
    _refuse_not_understood(times, table, column)
    form = f"with the name of the month ({table.cell(0, column).strip()})"
    return times, f"{form}, {_zone(text, table, column)}"


def _from_day_or_month_first(text: pd.Series, table: Table, column: str) -> tuple[pd.Series, str]:
    """Parse dates such as 31.01.2017 or 01.31.2017.

    The order of day and month is accepted if it is the only one that gives valid dates, or the
    only one that gives dates in ascending or in descending order.
    """
    parts = text.str.extract(_NUMBERED_MONTH)
    _refuse_unlike(parts["year"].notna(), table, column)
    readings, failures = [], []
    for first, day, month in (("day", "first", "second"), ("month", "second", "first")):
        year_first = _year_first(parts, parts[month].str.zfill(2), parts[day])
        times = _parse(year_first)
        if times.isna().any():
            row = int(times.isna().argmax())
            place = table.at(row).removeprefix(f"{table.file}, ")
            failures.append(f"{first}-first ({place}: {table.shown(row, column)})")
        else:
            readings.append((first, times, year_first))
    example = f"{table.file}: times like {quoted(str(text.iloc[0]))}"
    if not readings:
        raise InputError(
            f"{example} are valid neither {' nor '.join(failures)}; {_ISO}, or repair it"
        )
    if len(readings) == 2:
        readings = [reading for reading in readings if _is_ordered(reading[1])]
    if len(readings) != 1:
        order = "in ascending or descending order both" if readings else "in order neither"
        link = "and" if readings else "nor"
        raise InputError(f"{example} are {order} day-first {link} month-first; {_ISO}")
    first, times, text = readings[0]
    return times, f"{first}-first ({table.cell(0, column).strip()}), {_zone(text, table, column)}"


def _is_ordered(times: pd.Series) -> bool:
    return times.is_monotonic_increasing or is_newest_first(times)


def is_newest_first(times: pd.Series) -> bool:
    """Return whether times are strictly decreasing."""
    return len(times) > 1 and times.is_monotonic_decreasing and times.is_unique


def _year_first(parts: pd.DataFrame, month: pd.Series, day: pd.Series) -> pd.Series:
    """Return parts of dates as text that begins with the year."""
    date = parts["year"] + "-" + month + "-" + day.str.zfill(2)
    return (date + " " + parts["rest"].fillna("")).str.strip()


def _parse(text: pd.Series) -> pd.Series:
    """Return times that begin with the year; NaT for other texts."""
    if re.match(_TWELVE_HOURS, text.iloc[0]):
        parts = text.str.extract(_TWELVE_HOURS)
        hour = parts[1].astype("Int64") % 12 + 12 * (parts[3].str.lower() == "p").astype("Int64")
        text = parts[0] + " " + hour.astype("string").str.zfill(2) + parts[2].replace("", ":00")
    times = pd.to_datetime(text, utc=True, format="ISO8601", errors="coerce")
    # pandas reads "now" and "today", too.
    begins = text.str.match(r"\d{4}").fillna(False)
    return times if begins.all() else times.where(begins)


def _zone(text: pd.Series, table: Table, column: str) -> str:
    """Return how the zone of times was read; raise if only some have an offset."""
    zoned = text.str.contains(_OFFSET, regex=True)
    if zoned.all():
        return "with offset, converted to UTC"
    if zoned.any():
        problem = f"has an offset, and the first one, {table.shown(0, column)}, has none"
        if zoned.iloc[0]:
            problem = f"has no offset, and the first one, {table.shown(0, column)}, has one"
        _refuse(zoned != zoned.iloc[0], table, column, problem, "write all times with their offset")
    return "without zone, read as UTC"


def _from_numbers(values: pd.Series, table: Table, column: str) -> tuple[pd.Series, str]:
    """Parse epoch numbers of one unit, or dates that are written as one number."""
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    dates = _from_digits(values, numbers, table, column)
    if dates is not None:
        return dates
    unit = np.searchsorted(_EPOCH_EDGES, numbers, side="right") - 1
    wrong = np.flatnonzero((unit != unit[0]) | (unit < 0) | (unit >= len(_UNITS)))
    if len(wrong):
        row = int(wrong[0])
        problem = _epoch_problem(float(numbers[row]))
        if 0 <= unit[row] < len(_UNITS):
            problem = (
                f"is epoch {_UNITS[unit[row]]}, and the first one, {table.cell(0, column)}, is "
                f"epoch {_UNITS[unit[0]]}"
            )
        raise InputError(
            f"{table.at(row)}: the time {table.cell(row, column)} {problem}; write all times in "
            "one unit of epoch, or ISO 8601 (2024-05-31T14:00:00Z)"
        )
    name = _UNITS[unit[0]]
    fractional = pd.Series(numbers != np.floor(numbers))
    if fractional.any():
        row = int(fractional.argmax())
        raise InputError(
            f"{table.at(row)}: epoch {name} must be whole numbers, got {table.cell(row, column)}; "
            "round them, or write ISO 8601 times"
        )
    _refuse(
        pd.Series(numbers * _NANOSECONDS[name] >= 2.0**63), table, column, "is after 2262", _REPAIR
    )
    time_ns = values.to_numpy(dtype=np.int64) * _NANOSECONDS[name]
    return pd.Series(pd.DatetimeIndex(time_ns.view("datetime64[ns]"), tz="UTC")), f"epoch {name}"


def _epoch_problem(number: float) -> str:
    """Return why a number is no epoch time."""
    if 20_000 <= number < 80_000:
        return "looks like the date of a spreadsheet, which counts days"
    if number < 0:
        return "is negative: the unit of epoch numbers is known only after 1973"
    if number >= _EPOCH_EDGES[-1]:
        return "has too many digits for epoch nanoseconds"
    return "is no epoch time in s, ms, us or ns after 1973"


def _from_digits(
    values: pd.Series, numbers: npt.NDArray[np.float64], table: Table, column: str
) -> tuple[pd.Series, str] | None:
    """Parse dates such as 20240131 and 202401310930; None if the first number is no such date."""
    if not np.isfinite(numbers).all() or (numbers != np.floor(numbers)).any():
        return None
    first = str(int(numbers[0]))
    form = _DIGIT_FORMATS.get(len(first))
    if form is None or first[:2] not in ("19", "20"):
        return None
    text = values.astype("int64").astype("string")
    times = pd.to_datetime(text, utc=True, format=form, errors="coerce")
    times = times.where(text.str.len() == len(first))
    if times.isna().iloc[0]:
        return None
    _refuse_unlike(times.notna(), table, column)
    return times, f"dates of {len(first)} digits ({first}), without zone, read as UTC"
