"""Output of the command `orphans`: folders that nothing knows, and versions without files."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trainer.registry.orphans import FileReport
from trainer.text import count_text


def print_report(console: Console, report: FileReport) -> None:
    """Print a table of folders, a table of versions, and what `mlflow gc` would free."""
    if report.orphans:
        console.print(_orphans(report))
    if report.broken:
        console.print(_broken(report))
    folders = "all known to the database, or empty"
    if report.orphans:
        size = sum(orphan.size for orphan in report.orphans)
        folders = f"{len(report.orphans):,} unknown to the database, {_megabytes(size)}"
    versions = "all have their files"
    if report.broken:
        versions = f"{len(report.broken):,} without files, now or after the next `mlflow gc`"
    console.print(
        f"{count_text(report.folders, 'folder')} of runs and models: {folders}. "
        f"{count_text(report.versions, 'version')}: {versions}.",
        highlight=False,
    )
    if report.deleted_runs or report.deleted_models:
        console.print(
            "Deleted, and not yet freed by `mlflow gc`: "
            f"{count_text(report.deleted_runs, 'run')} and "
            f"{count_text(report.deleted_models, 'logged model')}.",
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
