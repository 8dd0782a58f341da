"""Tables that leave out columns where a terminal is narrow."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.table import Table


def wide_console(width: int = 120) -> Console:
    """Return the console of the standard output; `width` characters wide if it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=width)


def widest(console: Console, build: Callable[[int], Table], most: int, least: int = 2) -> Table:
    """Return a table with as many optional columns as the console has room for.

    Parameters
    ----------
    console : rich.console.Console
    build : callable
        ``build(count)`` returns the table with the first `count` optional columns.
    most : int
        Number of optional columns.
    least : int, default 2
        Number of optional columns that are kept even if the console is too narrow.
    """
    unbounded = console.options.update(max_width=10_000)
    for count in range(most, least, -1):
        table = build(count)
        if console.measure(table, options=unbounded).maximum <= console.width:
            return table
    return build(least)
