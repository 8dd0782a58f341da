"""Output of the command `orphans`: folders that nothing knows, and versions without files."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trainer.registry.orphans import FileReport


def print_report(console: Console, report: FileReport) -> None:
    """Print a table of folders, a table of versions, and what `mlflow gc` would free."""
    if report.orphans:
        console.print(_orphans(report))
    if report.broken:
        console.print(_broken(report))
    size = sum(orphan.size for orphan in report.orphans)
    console.print(
        f"{report.folders:,} folders: the database does not know {len(report.orphans):,} of them "
        f"({_megabytes(size)}). {report.versions:,} versions: {len(report.broken):,} of them lack "
        "files or will.",
        highlight=False,
    )
    if report.deleted_runs or report.deleted_models:
        console.print(
            f"Deleted, and not yet freed by `mlflow gc`: {report.deleted_runs:,} runs and "
            f"{report.deleted_models:,} logged models.",
            highlight=False,
        )
    if report.orphans:
        console.print(
            "To remove such a folder is safe if no training ran during this command.",
            highlight=False,
        )


def _orphans(report: FileReport) -> Table:
    table = Table(
        title="Folders that no run, logged model or version knows",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    table.add_column("folder", overflow="fold")
    for heading in ("files", "size"):
        table.add_column(heading, justify="right", no_wrap=True)
    for orphan in report.orphans:
        table.add_row(escape(orphan.uri), f"{orphan.files:,}", _megabytes(orphan.size))
    return table


def _broken(report: FileReport) -> Table:
    table = Table(title="Versions without files", title_justify="left", box=SIMPLE_HEAD)
    for heading in ("version", "where its files should be", "why"):
        table.add_column(heading, overflow="fold")
    for version in report.broken:
        name = f"{version.name} version {version.number}"
        table.add_row(*map(escape, (name, version.uri, version.why)))
    return table


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
