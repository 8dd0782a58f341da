"""A figure of the report as one object: its texts, its drawing, its table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from trainer.report.page import Page
from trainer.report.rows import number_of, value_of
from trainer.text import number_text

if TYPE_CHECKING:
    # html.py imports this module, and importing matplotlib takes about a second.
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    name : str
        Field of the row, or metric of a block.
    heading : str
    form : str
        Format specification of a number; ``s`` for a text.
    undefined : str
        Text for an undefined number.
    """

    name: str
    heading: str
    form: str
    undefined: str = "undefined"

    def cell(self, row: object) -> str:
        """Return the value of one row as text."""
        value = value_of(row, self.name)
        if self.form == "s":
            return str(value)
        return number_text(value, self.form, self.undefined)


@dataclass(frozen=True)
class Table:
    """The table below a figure: its columns, and a function that returns its rows."""

    rows: Callable[[Page], Sequence[object]]
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the report.

    Attributes
    ----------
    name : str
        Name of its PNG file and of its section.
    heading : str
    caption : str
        One sentence: what the figure shows and what it does not show.
    draw : callable
        ``draw(page, series)`` returns a matplotlib figure. `series` has one row a bar of the
        walk-forward: ``timestamp`` (UTC), ``position``, ``forward_return``. Undefined values are
        left out or named in a text, never drawn as numbers.
    alt : callable
        ``alt(page)`` returns the figure as a sentence with its values, for a screen reader.
    table : Table or None
    applies : callable
        ``applies(page)`` returns False if the figure has no content for this model.
    missing : str
        Sentence in place of a figure that was not drawn.
    """

    name: str
    heading: str
    caption: str
    draw: Callable[[Page, pd.DataFrame], Figure]
    alt: Callable[[Page], str]
    table: Table | None = None
    applies: Callable[[Page], bool] = lambda _: True
    missing: str = "Not measured."


def list_values(rows: Iterable[object], key: str, name: str, form: str = ".2f") -> str:
    """Return one value of each row as text, each with the key of its row.

    Examples
    --------
    >>> from trainer.evidence.evidence import CostRow
    >>> rows = [CostRow(1, 1.5, 0.5, 0.02), CostRow(2, 3.0, float("nan"), 0.0)]
    >>> list_values(rows, "multiple", "net_sharpe")
    '1: 0.50, 2: undefined'
    """
    texts = []
    for row in rows:
        label = value_of(row, key)
        text = label if isinstance(label, str) else number_text(label, "g")
        texts.append(f"{text}: {number_text(number_of(row, name), form)}")
    return ", ".join(texts) or "none"
