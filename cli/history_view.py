"""Output of the command `history`: a table with the moves of a model's aliases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trainer.registry.alias import MoveRecord


def print_history(console: Console, name: str, moves: Sequence[MoveRecord]) -> None:
    """Print one row for each move, in the given order."""
    if not moves:
        console.print(f"No alias of {name} was moved, and no version rolled back.", markup=False)
        return
    table = Table(title=f"Moves of the aliases of {escape(name)}", title_justify="left")
    table.box = SIMPLE_HEAD
    for heading in ("when (UTC)", "alias", "from", "to", "forced"):
        table.add_column(heading, no_wrap=True)
    for heading in ("state", "who", "reason"):
        table.add_column(heading)
    for move in moves:
        cells = (
            f"{datetime.fromisoformat(move.when):%Y-%m-%d %H:%M:%S}",
            f"@{move.alias}",
            move.before or "-",
            move.to,
            "yes" if move.forced else "no",
            move.state,
            move.who,
            move.reason or "-",
        )
        table.add_row(*map(escape, cells))
    console.print(table)
