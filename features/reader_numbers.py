"""Check that prices and volumes of a file are plain numbers."""

from __future__ import annotations

import re

import pandas as pd

from features.errors import InputError
from features.reader_table import Table

#: What makes a text no plain number, in the order in which it is looked for.
_PROBLEMS = (
    (r"[^a-zA-Z]*[$€£¥₹₩₿][^a-zA-Z]*", "a sign of a currency"),
    (r"[^a-zA-Z]*\d\s*%", "a percent sign"),
    (r"[^a-zA-Z]*\d\s*(k|m|b|mn|bn|mio)", "a unit such as K or M"),
    (r"[^a-zA-Z]*\d,\d[^a-zA-Z]*", "a comma"),
    (r"[^a-zA-Z]*\d[\s'\u2019]\d[^a-zA-Z]*", "a space or a sign between digits"),
    (r"[^a-zA-Z]*\d\.\d+\.[^a-zA-Z]*", "more than one point"),
)


def numbers(table: Table, column: str, name: str) -> pd.Series:
    """Return a column of numbers.

    Parameters
    ----------
    table : Table
        The file.
    column : str
        Column of `table`.
    name : str
        Its standard name, for messages.

    Returns
    -------
    pandas.Series
        With its own numeric type, or float64 if the numbers are text or decimals; an absent value
        is NaN.

    Raises
    ------
    InputError
        For the first value that is no plain number: with a comma, a unit, a sign of a currency.
    """
    values = table.frame[column]
    if values.dtype.kind in "iuf":
        return values
    if values.dtype.kind in "bcmM":
        raise InputError(
            f"{table.at(0)}: `{name}` is {table.shown(0, column)}, which is no number; give a "
            "column of numbers this name"
        )
    text = values.astype(object)
    converted = pd.to_numeric(text, errors="coerce")
    bad = converted.isna() & text.notna()
    if bad.any():
        row = int(bad.argmax())
        problem, cure = "is no number", "remove or repair it"
        for pattern, has in _PROBLEMS:
            if re.fullmatch(pattern, str(text.iloc[row]).strip(), re.IGNORECASE):
                problem, cure = f"has {has}", "write plain numbers such as 1234.5"
                break
        raise InputError(
            f"{table.at(row)}: `{name}` is {table.shown(row, column)}, which {problem}; {cure}"
        )
    return converted.astype("float64")
