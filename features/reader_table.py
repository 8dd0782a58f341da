"""A file of bars as it was loaded, with the place of each row and value for messages."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import pandas as pd

#: Characters of a value that a message shows.
_SHOWN = 60


@dataclass(frozen=True)
class CsvText:
    """The text of a csv file.

    Attributes
    ----------
    data : bytes
        The text in UTF-8.
    separator : str
        The character between two fields.
    above : int
        Number of lines of the file above this text, which are comments.
    first_line : int
        Number in the file of the first line that may be a row: lines before it are names.
    """

    data: bytes
    separator: str
    above: int = 0
    first_line: int = 1

    def lines(self) -> io.TextIOWrapper:
        """Return the text as an iterator of lines with their line ends."""
        return io.TextIOWrapper(io.BytesIO(self.data), encoding="utf-8", newline="")

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield for each record that is not blank its first line in the file and its fields."""
        reader = csv.reader(self.lines(), delimiter=self.separator)
        start = self.above + 1
        for fields in reader:
            if len(fields) > 1 or any(field.strip() for field in fields):
                yield start, fields
            start = self.above + reader.line_num + 1

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield for each row its first line in the file and its fields."""
        return (record for record in self.records() if record[0] >= self.first_line)


@dataclass(frozen=True)
class Table:
    """A file as it was loaded.

    Attributes
    ----------
    file : str
        Name of the file.
    frame : pandas.DataFrame
        Its rows in their order, with an index 0, 1, 2, ... and columns named by text.
    loaded : tuple of str
        The columns as they stand in the file; those of `frame` may have been joined.
    notes : tuple of str
        What was left out or assumed to load it, as sentences for users.
    text : CsvText or None
        The text, if the file is one.
    headerless : bool
        Whether the columns have no names in the file, so that their order is an assumption.
    """

    file: str
    frame: pd.DataFrame
    loaded: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    text: CsvText | None = None
    headerless: bool = False

    def at(self, row: int) -> str:
        """Return the file and the place of a row: the line of a text, or the row from 0."""
        line = self._record(row)[0]
        return f"{self.file}, line {line}" if line else f"{self.file}, row {row}"

    def cell(self, row: int, column: str) -> str:
        """Return a value as it stands in the file."""
        if self.text is None or column not in self.loaded:
            return str(self.frame[column].iloc[row])
        fields, place = self._record(row)[1], self.loaded.index(column)
        return fields[place] if place < len(fields) else ""

    def shown(self, row: int, column: str) -> str:
        """Return a value as it stands in the file, in quotes, for messages."""
        return quoted(self.cell(row, column))

    def _record(self, row: int) -> tuple[int, list[str]]:
        """Return the line of a row and its fields; 0 and none if the file has no lines."""
        # Lines are counted only for a message: a row may span lines, and blank lines are no rows.
        try:
            return next(islice(self.text.rows(), row, None)) if self.text else (0, [])
        except (csv.Error, StopIteration):  # pandas accepts longer fields than csv does.
            return 0, []


def quoted(text: str) -> str:
    """Return a text in quotes, cut to a length that can be read."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
