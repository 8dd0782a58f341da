"""Load a file of bars: parquet, feather, or csv, which may be compressed."""

from __future__ import annotations

import csv
import gzip
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
from pyarrow.lib import ArrowException

from features.errors import InputError
from features.reader_columns import plain_names, standard_names
from features.reader_csv import parse_csv
from features.reader_table import Table

#: Endings of files of bars, in any case.
SUFFIXES = (".parquet", ".csv", ".feather", ".csv.gz", ".csv.zip")
#: What the libraries raise for a damaged, encrypted or other file.
_UNREADABLE = (
    *(ValueError, OSError, EOFError, RuntimeError, LookupError, TypeError, SyntaxError),
    *(csv.Error, zlib.error, zipfile.BadZipFile, ArrowException),
)


def suffix_of(name: str) -> str:
    """Return the ending of a file of bars in lower case; empty for other files.

    Examples
    --------
    >>> suffix_of("BTCUSDT_1h.CSV.gz"), suffix_of("notes.txt")
    ('.csv.gz', '')
    """
    return next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")


def load(path: Path) -> Table:
    """Load a file as it is.

    Parameters
    ----------
    path : pathlib.Path
        A file with one of `SUFFIXES`; other files are read as csv.

    Raises
    ------
    InputError
        If the file is empty, damaged, or has no rows and columns that can be told apart.
    """
    try:
        suffix = suffix_of(path.name)
        if suffix == ".parquet":
            _check_names(path)
            return _table(pd.read_parquet(path), path.name)
        if suffix == ".feather":
            return _table(pd.read_feather(path), path.name)
        packing = path.suffix.lower()
        if packing in (".gz", ".zip"):
            return parse_csv(_unpacked(path, packing), path.name)
        return parse_csv(path.read_bytes(), path.name, path)
    except InputError:
        raise
    except _UNREADABLE as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        if path.is_file() and path.stat().st_size == 0:
            reason = "it is empty"
        raise InputError(
            f"{path.name} cannot be read: {reason}; write the file again as parquet, csv or feather"
        ) from error


def _check_names(path: Path) -> None:
    """Raise for a parquet file with two columns of one name, which pandas cannot read."""
    names = pq.read_schema(path).names
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(
            f"{path.name}: several columns are named {', '.join(twice)}; rename or remove them"
        )


def _unpacked(path: Path, packing: str) -> bytes:
    """Return the content of the one csv file that is compressed."""
    if packing == ".gz":
        return gzip.decompress(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        # macOS adds files of its own.
        names = [n for n in archive.namelist() if not n.endswith("/") and "__MACOSX" not in n]
        if len(names) != 1:
            listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            raise InputError(
                f"{path.name} must contain one csv file, got {len(names)}: {listed or 'none'}; "
                "write one file for each symbol"
            )
        return archive.read(names[0])


def _table(frame: pd.DataFrame, file: str) -> Table:
    """Return a table with the index as a column if it contains times or symbols."""
    columns = [str(column) for column in frame.columns]
    if isinstance(frame.index, pd.DatetimeIndex):
        name = str("timestamp" if frame.index.name is None else frame.index.name)
        # Some writers store the index as a column, too; the column is then used.
        frame = frame.rename_axis(index=name).reset_index(drop=name in frame.columns)
    elif isinstance(frame.index, pd.MultiIndex):
        known = [n for n, level in enumerate(frame.index.names) if level in columns]
        others = frame.index.nlevels - len(known)
        frame = frame.reset_index(level=known, drop=True)
        frame = frame.reset_index() if others else frame
    elif not _counts(frame.index) and "timestamp" not in standard_names(columns):
        frame = frame.reset_index()
    names, notes = plain_names(list(frame.columns), file)
    frame = frame.reset_index(drop=True).set_axis(names, axis=1)
    return Table(file, frame, tuple(names), notes)


def _counts(index: pd.Index) -> bool:
    """Return whether an index counts the rows; epoch times in equal steps are a range, too."""
    return isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1
