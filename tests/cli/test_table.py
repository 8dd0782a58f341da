"""A narrow console leaves out columns and cuts no text."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Table

from cli.table import wide_console, widest


def build(count: int) -> Table:
    table = Table("name", *("x" * 10 for _ in range(count)), box=None, padding=0)
    table.add_row("n", *("1" for _ in range(count)))
    return table


@pytest.mark.parametrize(("width", "columns"), [(200, 5), (34, 3), (33, 2), (24, 2), (10, 1)])
def test_as_many_columns_as_fit_and_never_fewer_than_the_least(width: int, columns: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    assert len(widest(console, build, 5, 1).columns) == 1 + columns


def test_without_a_terminal_the_console_has_the_given_width() -> None:
    assert wide_console().width == 120
    assert wide_console(200).width == 200
