"""Output of the command `promote`: the criteria of the gate and the move of the alias."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trainer.registry.promotion import Decision


def print_decision(console: Console, decision: Decision) -> None:
    """Print each criterion, and to which version the alias points now."""
    name, alias, version = decision.name, decision.alias, decision.version
    if decision.before == version:
        console.print(f"@{alias} of {name} is version {version} already.")
        return
    table = Table(
        title=f"{name} version {version}, for @{alias}", title_justify="left", box=SIMPLE_HEAD
    )
    for heading in ("", "criterion", "value", "rule"):
        table.add_column(heading)
    for criterion in decision.criteria:
        result = "passes" if criterion.passed else "[red]fails[/red]"
        table.add_row(result, *map(escape, (criterion.name, criterion.value, criterion.rule)))
    console.print(table)
    if decision.moved:
        forced = ", forced" if decision.forced else ""
        was = f"; it was version {decision.before}" if decision.before else ""
        console.print(f"@{alias} of {name} is version {version} now{forced}{was}.")
        return
    failed = sum(not criterion.passed for criterion in decision.criteria)
    stays = f"stays version {decision.before}" if decision.before else "still has no version"
    console.print(
        f"Refused: {failed} of {len(decision.criteria)} criteria failed; @{alias} of {name} "
        f'{stays}. --force --reason "..." moves it all the same, and the reason is stored with '
        "the move."
    )
