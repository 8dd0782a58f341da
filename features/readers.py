"""Read a bar file into a table with standard columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from features.errors import InputError
from features.reader_columns import (
    check_series,
    check_symbols,
    join_date_and_clock,
    match_columns,
    renaming,
)
from features.reader_files import load
from features.reader_numbers import numbers
from features.reader_table import Table
from features.reader_times import is_newest_first, parse_times


def read_table(path: Path) -> tuple[pd.DataFrame, str]:
    """Read a bar file.

    Parameters
    ----------
    path : pathlib.Path
        A .parquet, .csv, .csv.gz, .csv.zip or .feather file. Its columns have names; of csv files
        a few well-known orders are read without.

    Returns
    -------
    frame : pandas.DataFrame
        Columns timestamp (UTC), open, high, low, close, volume; rows in the order of the file, or
        reversed if the file has the newest first. Other columns are left out. Values are not
        sorted, filled or repaired.
    understood : str
        How the columns and times were read, as a sentence for users.

    Raises
    ------
    InputError
        If the file is empty or unreadable, contains several symbols, a column is missing or occurs
        twice, a price or volume is no plain number, or the format of the times is unknown or
        ambiguous.
    """
    table, joined = join_date_and_clock(load(path))
    columns = match_columns(table)
    if table.frame.empty:
        raise InputError(f"{table.file} contains no bars; give a file with at least one row")
    check_symbols(table)
    times, format_text = parse_times(table, columns["timestamp"])
    check_series(table, columns.values(), times)
    values = {
        name: numbers(table, column, name)
        for name, column in columns.items()
        if name != "timestamp"
    }
    frame = pd.DataFrame({"timestamp": times, **values})
    if table.headerless:
        _check_order_of_columns(frame, table)
    understood = f"{table.file}: {len(frame):,} rows, times {joined}{format_text}"
    renamed = [text for name, column in columns.items() if (text := renaming(name, column))]
    if renamed:
        understood += f"; read {', '.join(renamed)}"
    ignored = [column for column in table.frame.columns if column not in columns.values()]
    if ignored:
        understood += f"; ignored {', '.join(ignored)}"
    if is_newest_first(times):
        frame = frame.iloc[::-1].reset_index(drop=True)
        understood += "; newest first in the file, reversed"
    return frame, "; ".join((understood, *table.notes))


def _check_order_of_columns(frame: pd.DataFrame, table: Table) -> None:
    """Raise if the values of columns without names contradict the assumed order."""
    high, low = frame["high"].to_numpy(), frame["low"].to_numpy()
    open_, close = frame["open"].to_numpy(), frame["close"].to_numpy()
    bad = np.flatnonzero((high < np.maximum(open_, close)) | (low > np.minimum(open_, close)))
    if len(bad):
        problem = f"{table.at(int(bad[0]))}: high < max(open, close) or low > min(open, close)"
    elif _steps(open_, close) >= _steps(close, open_) and (open_ != close).any():
        # Open and close may be exchanged without breaking a rule; but a bar opens near the close
        # of the bar before it.
        problem = f"{table.file}: no bar opens near the close of the bar before it"
    else:
        return
    raise InputError(
        f"{problem} if the columns, which have no names, are {', '.join(table.loaded)}; begin "
        "the file with a line that names them"
    )


def _steps(open_: np.ndarray, close: np.ndarray) -> float:
    """Return the mean distance from a close to the next open."""
    return float(np.abs(open_[1:] - close[:-1]).sum())
