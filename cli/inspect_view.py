"""Output of the command `inspect`: a table of files, then what was understood of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.table import widest
from features.bar_checks import listed_jumps
from features.inspection import ENDINGS, Inspection

#: Number of files of other kinds that are named.
_LISTED = 10


def print_inspections(
    console: Console, inspections: Sequence[Inspection], others: Sequence[str] = ()
) -> None:
    """Print one row for each file, then one paragraph for each, and the files of other kinds."""
    one_line = not console.is_terminal
    console.print(widest(console, lambda n: _table(inspections, n), len(_COLUMNS), 0))
    for one in inspections:
        if one.error:
            error = one.error.removeprefix(f"{one.file}: ")
            text = f"[red]{escape(one.file)}[/red]: {escape(error)}"
            console.print(text, soft_wrap=one_line, highlight=False)
            continue
        console.print(
            f"{one.understood}; {'; '.join(one.notes)}",
            soft_wrap=one_line,
            highlight=False,
            markup=False,
        )
        if one.jumps:
            console.print(
                f"[yellow]{escape(one.file)}[/yellow]: moves that look like unadjusted splits: "
                f"{listed_jumps(one.jumps)}; adjust the prices, or train with --allow-jumps on.",
                soft_wrap=one_line,
                highlight=False,
            )
    refused = sum(one.error is not None for one in inspections)
    files = "1 file" if len(inspections) == 1 else f"{len(inspections):,} files"
    console.print(f"{files}, {refused:,} refused.", highlight=False)
    if others:
        listed = ", ".join(others[:_LISTED]) + (", ..." if len(others) > _LISTED else "")
        console.print(
            f"Not read, by their endings: {listed}. Files of bars end in {', '.join(ENDINGS)}.",
            soft_wrap=one_line,
            highlight=False,
            markup=False,
        )


def _table(inspections: Sequence[Inspection], count: int) -> Table:
    table = Table(title="Bars as they are read", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("file", no_wrap=True)
    table.add_column("bars", justify="right", no_wrap=True)
    for heading, _ in _COLUMNS[:count]:
        table.add_column(heading, justify="right", no_wrap=True)
    for one in inspections:
        cells = [cell(one) for _, cell in _COLUMNS[:count]]
        if one.error:
            table.add_row(escape(one.file), "[red]refused[/red]", *[""] * count)
        else:
            table.add_row(escape(one.file), f"{one.bars:,}", *cells)
    return table


#: Heading, and the text of a file's cell. The last columns are left out first.
_COLUMNS: tuple[tuple[str, Callable[[Inspection], str]], ...] = (
    ("interval", lambda one: one.interval),
    ("calendar", lambda one: one.calendar),
    ("bars\na year", lambda one: f"{one.bars_per_year:,.0f}"),
    ("first", lambda one: one.sessions[0] if one.sessions else one.first[:10]),
    ("last", lambda one: one.sessions[-1] if one.sessions else one.last[:16].replace("T", " ")),
    ("missing", lambda one: f"{one.gaps.get('missing_bars', 0):,}"),
    ("longest", lambda one: f"{one.gaps.get('longest', 0):,}"),
    ("jumps", lambda one: f"{len(one.jumps)}"),
)
