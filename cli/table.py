"""Tables that leave columns out, rather than cut their text, where a terminal is narrow."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.table import Table


def widest(console: Console, build: Callable[[int], Table], most: int, least: int = 2) -> Table:
    """Return the table with as many of its droppable columns as the console has room for.

    Parameters
    ----------
    console : rich.console.Console
    build : callable
        Makes the table with the first so many of its droppable columns.
    most : int
        Droppable columns that there are.
    least : int, default 2
        With these it is returned even if the console is too narrow.
    """
    unbounded = console.options.update(max_width=10_000)
    for count in range(most, least, -1):
        table = build(count)
        if console.measure(table, options=unbounded).maximum <= console.width:
            return table
    return build(least)
