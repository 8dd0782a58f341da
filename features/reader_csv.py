"""Parse the text of a csv file: encoding, separator, names of columns, rows of full width."""

from __future__ import annotations

import codecs
import io
import re
import warnings
from collections.abc import Hashable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from features.errors import InputError
from features.reader_columns import STANDARD, has_prices, plain_names, standard_names
from features.reader_table import CsvText, Table, quoted

#: In the order in which they are preferred if a line has equally many of them.
_SEPARATORS = ";\t|,"
#: Names beside which yfinance and pandas write the second line of column pairs.
_PAIR_LABELS = ("ticker", "tickers", "symbol", "symbols", "price")
_NO_TEXT = (
    "it is no text in UTF-8, UTF-16 with a byte order mark or Windows-1252 (a compressed file must "
    "end with .csv.gz or .csv.zip)"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
#: A number, which may have a decimal comma: it tells rows from names.
_NUMBER = re.compile(r"[+-]?\d+([.,]\d*)?([eE][+-]?\d+)?")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")
#: Columns of the klines of Binance, which its public files contain without names.
_KLINES = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count",
    "taker_buy_volume", "taker_buy_quote_volume", "ignore",
)  # fmt: skip


@dataclass(frozen=True)
class _Header:
    """Where the names of the columns stand, and what they are.

    Attributes
    ----------
    line : int
        Line in which names or rows begin.
    first_line : int
        Line after the names.
    width, least : int
        Number of columns, and of those before the empty names at the end.
    names : list or None
        The names, if pandas cannot read them.
    notes : tuple of str
        What was left out or assumed, as sentences for users.
    headerless : bool
        Whether the file has no names.
    """

    line: int
    first_line: int
    width: int
    least: int
    names: list[Hashable] | None = None
    notes: tuple[str, ...] = ()
    headerless: bool = False


def parse_csv(data: bytes, file: str, path: Path | None = None) -> Table:
    """Parse the bytes of a csv file.

    Parameters
    ----------
    data : bytes
        Text in UTF-8, UTF-16 with a byte order mark, or Windows-1252; fields are separated by
        comma, semicolon, tab or bar. Lines before the names may begin with ``#``.
    file : str
        Name of the file, for messages.
    path : pathlib.Path, optional
        A file with just these bytes, which pandas reads faster.

    Raises
    ------
    InputError
        If it is no text or empty, has no names of columns and no well-known order, or a row has
        more or fewer fields than there are columns.
    """
    decoded, encoding = _to_utf8(data, file)
    decoded, above, comments = _without_comments(decoded)
    text = CsvText(decoded, _separator(decoded, file), above)
    header = _find_header(text, file)
    text = replace(text, first_line=header.first_line)
    frame, notes = _rows(text, header, file, path if decoded is data else None)
    if header.names is not None:
        frame.columns = pd.Index(header.names, tupleize_cols=False)
    names, more = plain_names(list(frame.columns), file)
    frame.columns = pd.Index(names)
    notes = (*encoding, *comments, *header.notes, *more, *notes)
    return Table(file, frame, tuple(names), notes, text, header.headerless)


def _to_utf8(data: bytes, file: str) -> tuple[bytes, tuple[str, ...]]:
    """Return the text in UTF-8 without a mark, and the encoding if it is another one."""
    encoding = "UTF-8"
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            encoding, data = "UTF-16", data.decode("utf-16").encode()
        data = data.removeprefix(codecs.BOM_UTF8)
        if not data.isascii() and not _is_utf8(data):
            encoding, data = "Windows-1252", data.decode("cp1252").encode()
    except UnicodeDecodeError:
        raise _unreadable(file, _NO_TEXT) from None
    if not data or data.isspace():
        raise _unreadable(file, "it is empty")
    if b"\0" in data or _CONTROLS.search(data[:4096].decode(errors="ignore")):
        raise _unreadable(file, _NO_TEXT)
    return data, () if encoding == "UTF-8" else (f"text in {encoding}",)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _unreadable(file: str, problem: str) -> InputError:
    return InputError(
        f"{file} cannot be read: {problem}; write the file again as parquet, csv or feather"
    )


def _without_comments(data: bytes) -> tuple[bytes, int, tuple[str, ...]]:
    """Return the text from its first line without ``#`` on, and how many lines are above it.

    A line with ``#`` that names prices is no comment, but the names of the columns.
    """
    above = comments = size = 0
    for line in CsvText(data, ",").lines():
        is_comment = line.lstrip().startswith("#") and not has_prices(re.split(r"[;\t|,]", line))
        if line.strip() and not is_comment:
            break
        comments += is_comment
        above, size = above + 1, size + len(line.encode())
    if not comments:
        return data, 0, ()
    lines = "1 comment line" if comments == 1 else f"{comments} comment lines"
    return data[size:], above, (f"left out {lines} at the top",)


def _separator(data: bytes, file: str) -> str:
    """Return the separator that occurs most often in the first line that has one."""
    for line in CsvText(data, ",").lines():
        if any(separator in line for separator in _SEPARATORS):
            return max(_SEPARATORS, key=line.count)
    raise _unreadable(file, "it has no columns separated by comma, semicolon, tab or bar")


def _find_header(text: CsvText, file: str) -> _Header:
    """Return where the names of the columns stand; raise if there are none."""
    records = list(islice(text.records(), 3))  # No kind of header is longer.
    line, names = records[0]
    width = len(names)
    named = [place for place, name in enumerate(names, 1) if name.strip()]
    sizes = width, max(named, default=width)
    pairs = _pair_names([fields for _, fields in records])
    if pairs is not None:
        count, pair_names = pairs
        last = records[count - 1][0]
        return _Header(line, last + 1, *sizes, pair_names)
    if standard_names(names) or not any(_NUMBER.fullmatch(name.strip()) for name in names):
        return _Header(line, line + 1, *sizes)
    order = _known_order(names)
    if order is None:
        raise InputError(
            f"{file}, line {line} has no names of columns: {quoted(text.separator.join(names))}; "
            f"begin the file with the line {text.separator.join(STANDARD)}, in the order of the "
            "columns"
        )
    note = f"no names in the file, read in the order {', '.join(order)}"
    return _Header(line, line, width, width, list(order), (note,), headerless=True)


def _pair_names(records: list[list[str]]) -> tuple[int, list[Hashable]] | None:
    """Return the number of lines and the names if these are pairs in two lines, else None.

    A third line may name the column of times alone: ``Date,,,,,``.
    """
    if len(records) < 2 or len(records[0]) != len(records[1]):
        return None
    first, second = records[:2]
    beside = second[1:]
    if not all(beside) or any(_NUMBER.fullmatch(field.strip()) for field in beside):
        return None
    if not (has_prices(first) or has_prices(second)):
        return None
    third = records[2] if len(records) > 2 else []
    labelled = len(third) == len(first) and bool(third[0]) and not any(third[1:])
    if not labelled and second[0].strip().lower() not in _PAIR_LABELS:
        return None
    label = third[0] if labelled else ""
    return 3 if labelled else 2, [(label, ""), *zip(first[1:], beside, strict=True)]


def _known_order(fields: list[str]) -> tuple[str, ...] | None:
    """Return the columns of a file without names if the number of its fields says them."""
    if not fields[0].strip():  # pandas numbers the columns of a table without names.
        return None
    if len(fields) == len(_KLINES):
        return _KLINES
    if len(fields) == len(STANDARD) + 1 and _CLOCK.fullmatch(fields[1].strip()):
        return ("date", "time", *STANDARD[1:])
    return STANDARD if len(fields) == len(STANDARD) else None


def _rows(
    text: CsvText, header: _Header, file: str, path: Path | None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the rows, and whether empty fields at their ends were left out."""
    try:
        frame = _read(text, header, path)
    except pd.errors.ParserError:
        if not _has_wide_rows(text, header, file):
            raise
    else:
        # pandas takes the first columns for an index if the first row is wider than the names, and
        # fills the last column of rows that are narrower. To count separators is fast.
        shifted = not isinstance(frame.index, pd.RangeIndex)
        if not shifted and not frame.iloc[:, -1].hasnans:
            return frame, ()
        if not shifted and _separators(text) == (header.width - 1) * len(frame):
            return frame, ()
        if not _has_wide_rows(text, header, file):
            return frame, ()
    frame = _read(text, header, path, usecols=range(header.width), index_col=False)
    return frame, ("left out empty fields at the ends of rows",)


def _read(text: CsvText, header: _Header, path: Path | None, **options: Any) -> pd.DataFrame:
    named = header.names is None

    def read(*, low_memory: bool) -> pd.DataFrame:
        frame: pd.DataFrame = pd.read_csv(
            path or io.BytesIO(text.data),
            # The name of the file must not decide.
            compression=None,
            sep=text.separator,
            header=0 if named else None,
            skiprows=(header.line if named else header.first_line) - 1 - text.above,
            names=None if named else range(header.width),
            low_memory=low_memory,
            **options,
        )
        return frame

    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.DtypeWarning)
        try:
            return read(low_memory=True)
        except pd.errors.DtypeWarning:
            # Parts of a column were numbers and others text. A column with one bad value must stay
            # text as in the file, so that the value can be shown.
            return read(low_memory=False)


def _separators(text: CsvText) -> int:
    """Return the number of separators in the lines of rows."""
    names = islice(text.lines(), text.first_line - 1 - text.above)
    in_names = sum(line.count(text.separator) for line in names)
    return text.data.count(text.separator.encode()) - in_names


def _has_wide_rows(text: CsvText, header: _Header, file: str) -> bool:
    """Return whether rows end with additional empty fields; raise for other additional fields.

    Raises
    ------
    InputError
        For the first row that has more fields with a value, or fewer fields, than there are names.
    """
    wide = False
    for line, fields in text.rows():
        extra = any(field.strip() for field in fields[header.width :])
        wide |= len(fields) > header.width
        if not extra and len(fields) >= header.least:
            continue
        start = quoted(text.separator.join(fields))
        has = f"{file}, line {line} has {_count(fields)}"
        if extra and header.width < len(STANDARD):
            raise InputError(
                f"{has}, but line {header.line}, read as the names of the columns, has "
                f"{header.width}; remove the lines before the names"
            )
        cure = "remove the additional fields, or write numbers without separators inside"
        if not extra:
            cure = "remove or repair the line"
        raise InputError(f"{has}, the file has {header.width} columns: {start}; {cure}")
    return wide


def _count(fields: list[str]) -> str:
    return "1 field" if len(fields) == 1 else f"{len(fields)} fields"
