"""Output of the command `retrain`: what is stale, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.progress import JsonLog, registration_json

if TYPE_CHECKING:
    import pandas as pd

    from trainer.jobs.retrain import Retrained
    from trainer.registry.stale import StaleName


def print_stale(
    console: Console | None, stale: Sequence[StaleName], now: pd.Timestamp, stale_after: str
) -> None:
    """Print the names that would be trained again, with reasons; without a console as JSON."""
    if console is None:
        names = [{"name": s.name, "version": s.version, "why": s.why(now)} for s in stale]
        JsonLog([], n_fits=0).write("stale", names=names)
        return
    if not stale:
        console.print(f"Nothing to train: no model has bars that end more than {stale_after} ago.")
        return
    table = Table(box=SIMPLE_HEAD)
    for heading in ("model", "version", "why"):
        table.add_column(heading, no_wrap=heading != "why")
    for one in stale:
        table.add_row(one.name, one.version, escape(one.why(now)))
    console.print(table)
    console.print("This list does not read the bars: a name without newer ones keeps its version.")


def print_outcomes(console: Console, outcomes: Sequence[Retrained], alias: str) -> None:
    """Print what became of each stale name, and the counts on one line."""
    table = Table(title="Retrained", title_justify="left", box=SIMPLE_HEAD)
    for heading in ("model", "before", "now", "status", f"@{alias}"):
        table.add_column(heading, no_wrap=heading != f"@{alias}")
    for one in outcomes:
        verdict = None if one.registration is None else one.registration.verdict
        status = "failed" if one.failed else "busy" if one.busy else ""
        table.add_row(
            one.stale.name,
            one.stale.version,
            _version_text(one),
            status or (verdict.status if verdict else ""),
            _alias_text(one),
        )
    console.print(table)
    for one in outcomes:
        if one.error:
            console.print(f"{one.stale.name}: {escape(one.error)}", soft_wrap=True, highlight=False)
    console.print(_counts(outcomes, alias), soft_wrap=True)


def outcome_json(one: Retrained) -> dict[str, Any]:
    """Return what became of a stale name as JSON values."""
    return {
        "name": one.stale.name,
        "before": one.stale.version,
        "failed": one.failed,
        "busy": one.busy,
        "error": one.error,
        "job": None if one.registration is None else registration_json(one.registration),
        "decision": None if one.decision is None else one.decision.to_json(),
    }


def _version_text(one: Retrained) -> str:
    registration = one.registration
    if registration is None or registration.version is None:
        return "-"
    return "no newer bars" if registration.kept else registration.version


def _alias_text(one: Retrained) -> str:
    """Return what the gate decided."""
    if one.decision is None:
        return ""
    if one.decision.moved:
        return f"moved from {one.decision.before}"
    failed = [criterion for criterion in one.decision.criteria if not criterion.passed]
    first = failed[0].why or failed[0].name
    more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    return escape(f"stays {one.decision.before}: {first}{more}")


def _counts(outcomes: Sequence[Retrained], alias: str) -> str:
    registrations = [one.registration for one in outcomes if one.registration is not None]
    trained = sum(one.version is not None and one.kept is None for one in registrations)
    moved = sum(one.decision is not None and one.decision.moved for one in outcomes)
    kept = sum(one.kept is not None for one in registrations)
    counts = (
        (trained, "trained"), (moved, f"made @{alias}"), (kept, "without newer bars"),
        (sum(one.busy for one in outcomes), "left to another command"),
        (sum(one.failed for one in outcomes), "failed"),
    )  # fmt: skip
    listed = ", ".join(f"{count:,} {text}" for count, text in counts if count)
    return f"{len(outcomes):,} stale: {listed}."
