"""Find which columns of a file are the times, prices and volumes of one symbol."""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace

import pandas as pd

from features.errors import InputError
from features.reader_table import Table

#: Standard column name -> names that are read as this column, compared by `_normalised`.
_ALIASES = {
    "timestamp": (
        "timestamp", "time", "datetime", "date_time", "date", "open_time", "opentime", "ts",
        "gmt_time", "utc_time", "t",
    ),
    "open": ("open", "o", "open_price"),
    "high": ("high", "h", "high_price"),
    "low": ("low", "l", "low_price"),
    "close": ("close", "c", "close_price", "last"),
    "volume": (
        "volume", "v", "vol", "base_volume", "qty", "quantity", "real_volume",
        "tick_volume", "tickvol",
    ),
}  # fmt: skip
STANDARD = tuple(_ALIASES)
#: Names of the number of price changes, which MetaTrader writes beside the traded volume.
_TICKS = ("tick_volume", "tickvol")
_STANDARD_OF = {alias: name for name, aliases in _ALIASES.items() for alias in aliases}
#: Names that pandas and pyarrow give to a column that has none.
_UNNAMED = ("", "unnamed:_0", "__index_level_0__", "index", "level_0")
#: Columns that say whose bars they are.
_SYMBOL_COLUMNS = (
    "symbol", "symbols", "ticker", "tickers", "tic", "act_symbol", "instrument", "instrument_id",
    "pair", "asset", "asset_id", "code", "stock_code", "ts_code", "name", "security",
    "security_id", "stock", "coin", "product_id", "sid", "ric", "isin", "cusip", "permno",
)  # fmt: skip
_CLOCK = r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"
_CLOCK_DIGITS = r"([01]\d|2[0-3])([0-5]\d)([0-5]\d)?"
#: Symbols that a message lists.
_LISTED = 10
#: Names of columns that a message lists, and characters of each.
_SHOWN = 60


def _normalised(column: str) -> str:
    # pandas renames the second column of one name to "name.1": duplicates must be detected.
    # Some writers begin the line of names with "#".
    name = re.sub(r"\.\d+$", "", column).strip().lstrip("#").strip().strip("<>").rstrip(".")
    return name.lower().replace(" ", "_")


def standard_names(fields: Iterable[str]) -> set[str]:
    """Return the standard names that `fields` contain, under any of their aliases."""
    return {_STANDARD_OF[name] for name in map(_normalised, fields) if name in _STANDARD_OF}


def has_prices(fields: Iterable[str]) -> bool:
    """Return whether `fields` name all four prices of a bar."""
    return {"open", "high", "low", "close"} <= standard_names(fields)


def plain_names(columns: Sequence[Hashable], file: str) -> tuple[list[str], tuple[str, ...]]:
    """Return one name per column where names are pairs of price and symbol, as yfinance writes.

    Returns
    -------
    names : list of str
        The names; those of pairs without the symbol.
    notes : tuple of str
        The symbol that was left out, as a sentence for users.

    Raises
    ------
    InputError
        If the pairs are those of several symbols.
    """
    pairs = [_as_pair(column) for column in columns]
    # A name of several lines would break the sentences that contain it.
    pairs = [(_one_line(first), _one_line(second)) for first, second in pairs]
    if not any(second for _, second in pairs):
        return [first for first, _ in pairs], ()
    level = 1 if has_prices(pair[1] for pair in pairs) else 0
    if not has_prices(pair[level] for pair in pairs):
        return [" ".join(pair).strip() for pair in pairs], ()
    # The column of times has one name only.
    symbols = [pair[1 - level] for pair in pairs if all(pair)]
    if len(set(symbols)) > 1:
        raise InputError(
            f"{file}: several symbols: {_listed(symbols)}; write one file for each symbol"
        )
    return [pair[level] or pair[1 - level] for pair in pairs], (
        f"left out the symbol {symbols[0]} beside each name",
    )


def _one_line(text: str) -> str:
    return re.sub(r"\s*[\r\n]+\s*", " ", text)


def _as_pair(column: Hashable) -> tuple[str, str]:
    """Return both parts of a name such as ``("Close", "ABC")``, which may be written as text."""
    pair: object = column
    if isinstance(column, str) and re.fullmatch(r"\(\s*(['\"]).*\1\s*\)", column):
        try:
            pair = literal_eval(column)
        except (ValueError, SyntaxError):
            return column, ""
    if isinstance(pair, tuple) and len(pair) == 2:
        return str(pair[0]), str(pair[1])
    return str(column), ""


def match_columns(table: Table) -> dict[str, str]:
    """Return the column of the file for each standard name, in the order of the file.

    Raises
    ------
    InputError
        If a column is absent, or two columns look like the same one.
    """
    columns: dict[str, str] = {}
    names = list(table.frame.columns)
    if "timestamp" not in standard_names(names) and _is_unnamed_index(table.frame):
        columns["timestamp"] = names[0]
    for column in names:
        name = _STANDARD_OF.get(_normalised(column))
        if name is None:
            continue
        if name in columns:
            column = _chosen(table, name, columns[name], column)
        columns[name] = column
    absent = [name for name in _ALIASES if name not in columns]
    if absent:
        advice = "rename them to timestamp, open, high, low, close, volume"
        if absent == ["volume"]:
            advice += (
                " (for bars without volume data: add a column of zeros, and --features without "
                "the group volume)"
            )
        got = ", ".join(name[:_SHOWN] for name in names[:_SHOWN])
        raise InputError(f"{table.file}: no column for {', '.join(absent)}, got {got}; {advice}")
    return columns


def _chosen(table: Table, name: str, first: str, second: str) -> str:
    """Return which of two columns is read: the traded volume, or the ticks if it is always 0.

    Raises
    ------
    InputError
        If they are not the traded volume and the ticks of a file.
    """
    ticks = [column for column in (first, second) if _normalised(column) in _TICKS]
    if len(ticks) != 1:
        raise InputError(
            f"{table.file}: both {first!r} and {second!r} look like the {name}; rename or remove "
            "one of them"
        )
    traded = second if first in ticks else first
    return ticks[0] if (pd.to_numeric(table.frame[traded], errors="coerce") == 0).all() else traded


def _is_unnamed_index(frame: pd.DataFrame) -> bool:
    """Return whether the first column has no name and does not just count the rows."""
    if not len(frame.columns) or _normalised(frame.columns[0]) not in _UNNAMED:
        return False
    first = frame[frame.columns[0]]
    counts = pd.api.types.is_integer_dtype(first) and (first.diff().iloc[1:] == 1).all()
    return not (counts and len(first) and first.iloc[0] in (0, 1))


def renaming(name: str, column: str) -> str:
    """Return how a column is read, as a phrase for users; empty if it has the standard name."""
    if _normalised(column) in _UNNAMED[:3]:
        return f"the first column, which has no name, as {name}"
    return "" if column.strip().lower() == name else f"{column} as {name}"


def join_date_and_clock(table: Table) -> tuple[Table, str]:
    """Join a column of dates and a column of times of day or of hours, which some exports contain.

    Returns
    -------
    table : Table
        With one column timestamp in place of the two; unchanged without such columns.
    joined : str
        Which columns were joined, for the sentence of `features.readers.read_table`; empty if none
        were.

    Raises
    ------
    InputError
        If the first time of day is one, and another is not.
    """
    frame = table.frame
    columns = {_normalised(column): column for column in frame.columns}
    of_day = "time" if "time" in columns else "hour"
    if not {"date", of_day} <= set(columns) or "timestamp" in columns or frame.empty:
        return table, ""
    date, time = columns["date"], columns[of_day]
    day = frame[date].astype("string").str.strip()
    clock = _clock(table, time)
    is_clock = clock.str.fullmatch(_CLOCK).fillna(False)
    if not is_clock.iloc[0]:
        _check_hours(table, time)
        return table, ""
    if not is_clock.all():
        row = int((~is_clock).argmax())
        raise InputError(
            f"{table.at(row)}: {time} is {table.shown(row, time)}, which is no time of day; "
            "remove or repair it"
        )
    joined = frame.drop(columns=[date, time])
    joined.insert(0, "timestamp", day.str.cat(clock, sep=" "))
    return replace(table, frame=joined), f"from {date} and {time}, "


def _check_hours(table: Table, column: str) -> None:
    """Raise for a column of hours that are not those of clocks."""
    values = table.frame[column]
    if _normalised(column) == "hour" and pd.api.types.is_numeric_dtype(values):
        row = int((~values.between(0, 23) | (values % 1 != 0)).argmax())
        raise InputError(
            f"{table.at(row)}: {column} must be a full hour from 0 to 23, at which the bar opens, "
            f"got {table.cell(row, column)}; write such hours, or one column of ISO 8601 times"
        )


def _clock(table: Table, column: str) -> pd.Series:
    """Return a column of times of day as text such as 09:30; other values are left as they are."""
    values = table.frame[column]
    if pd.api.types.is_float_dtype(values) and (values % 1 == 0).all():
        values = values.astype("int64")  # 22.0, as some exports write an hour
    text = values.astype("string").str.strip()
    if not pd.api.types.is_integer_dtype(values):
        return text
    if _normalised(column) == "hour":
        return text.str.zfill(2) + ":00" if values.between(0, 23).all() else text
    # 093000 is loaded as the number 93000; the file says how many digits it has. Without leading
    # zeros, as in 930 and 1000, it is the longest number that says it.
    width = max(len(table.cell(0, column).strip()), int(text.str.len().max()))
    digits = text.str.zfill(width + width % 2)
    if not digits.str.fullmatch(_CLOCK_DIGITS).all():
        return text
    seconds = digits.str.slice(4).where(digits.str.len() == 6, "00")
    return digits.str.slice(0, 2) + ":" + digits.str.slice(2, 4) + ":" + seconds


def check_symbols(table: Table) -> None:
    """Raise if a column of symbols says that the file contains several."""
    for column in table.frame.columns:
        if _normalised(column) in _SYMBOL_COLUMNS:
            values = {str(value).strip() for value in table.frame[column].dropna().unique()}
            if len(values) > 1:
                raise InputError(
                    f"{table.file}: several symbols in column {column!r}: "
                    f"{_listed(sorted(values))}; write one file for each symbol"
                )


def check_series(table: Table, used: Iterable[str], times: pd.Series) -> None:
    """Raise if times repeat, and a column of text tells the repeated rows apart."""
    if pd.Index(times).is_unique:  # Of an index, this is fast if times are in order.
        return
    frame = table.frame
    for column in [name for name in frame.columns if name not in set(used)]:
        values = frame[column].astype("string")
        is_text = not pd.api.types.is_numeric_dtype(frame[column])
        # A text that differs in every row, as a remark does, does not name a series.
        if not is_text or not 1 < values.nunique() <= len(values) / 2:
            continue
        if not pd.DataFrame({"time": times, "value": values}).duplicated().any():
            raise InputError(
                f"{table.file}: several series, which column {column!r} tells apart: "
                f"{_listed(sorted(values.dropna().unique()))}; write one file for each"
            )


def _listed(values: Sequence[str]) -> str:
    """Return the first different values, and how many there are if not all are listed."""
    different = list(dict.fromkeys(values))
    more = f", ... ({len(different):,})" if len(different) > _LISTED else ""
    return ", ".join(different[:_LISTED]) + more
