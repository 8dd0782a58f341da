"""Output of the command `prune`: what is old, what stays all the same, and what was removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trainer.registry.prune import Plan, Removal
from trainer.text import count_text

#: Ids of runs that are listed.
_LISTED = 10


def print_plan(console: Console, plan: Plan) -> None:
    """Print a row for each name with old versions, then the runs by reason."""
    if plan.versions or plan.needed:
        console.print(_versions(plan))
    if plan.runs:
        table = Table(title="Old runs", title_justify="left", box=SIMPLE_HEAD)
        table.add_column("why")
        table.add_column("runs", justify="right")
        for why, count in Counter(run.why for run in plan.runs).items():
            table.add_row(why, f"{count:,}")
        console.print(table)
    if plan.lost_trials:
        listed = ", ".join(plan.lost_trials[:_LISTED])
        more = ", ..." if len(plan.lost_trials) > _LISTED else ""
        console.print(
            f"[yellow]Deleted trials[/yellow]: {len(plan.lost_trials):,} runs were deleted that "
            "count as trials. `mlflow gc` would take them out of the count, and results would look "
            "better than they are. Restore them first, with `mlflow runs restore --run-id ID`: "
            f"{listed}{more}",
            highlight=False,
            soft_wrap=True,
        )


def print_removal(console: Console, plan: Plan, removal: Removal | None) -> None:
    """Print what was removed; without a removal, how to remove it."""
    if removal is None:
        if plan.versions or plan.runs:
            versions, runs = len(plan.versions), len(plan.runs)
            text = (
                f"Nothing was removed. --apply removes {count_text(versions, 'version')} and "
                f"{count_text(runs, 'run')}; {plan.staying:,} versions stay."
            )
        else:
            text = f"There is nothing to remove; {plan.staying:,} versions stay."
        console.print(text, highlight=False)
        return
    for skipped in removal.skipped:
        console.print(f"Stays: {skipped}", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"Removed {count_text(removal.versions, 'version')}, "
        f"{count_text(removal.models, 'logged model')} and {count_text(removal.runs, 'run')}. "
        "`mlflow gc` frees their files.",
        highlight=False,
    )


def _versions(plan: Plan) -> Table:
    table = Table(title="Old versions", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("name", no_wrap=True)
    for heading in ("to remove", "stays, because"):
        table.add_column(heading)
    removed = {n: list(g) for n, g in groupby(plan.versions, lambda version: version.name)}
    needed = {n: list(g) for n, g in groupby(plan.needed, lambda version: version.name)}
    for name in sorted(removed.keys() | needed.keys()):
        numbers = [int(version.number) for version in removed.get(name, ())]
        stays = (f"{version.number}: {version.reason}" for version in needed.get(name, ()))
        table.add_row(*map(escape, (name, _ranges(numbers) or "-", "; ".join(stays) or "-")))
    return table


def _ranges(numbers: Sequence[int]) -> str:
    """Return numbers as text.

    Examples
    --------
    >>> _ranges([1, 2, 3, 7, 9, 10])
    '1-3, 7, 9-10'
    """
    runs: Iterable[list[int]] = (
        [number for _, number in group]
        for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    )
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
