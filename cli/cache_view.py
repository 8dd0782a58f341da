"""Output of the commands for the fit cache: a table of models, damaged files, what was freed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from trainer.procedure.fit_files import FitFile


@dataclass(frozen=True)
class Group:
    """Some files of a cache, as one line of the list.

    Attributes
    ----------
    name : str
    fits, bytes : int
        Their number, and the size of all.
    oldest, newest : str
        When they were used (in a bucket: written), in UTC.
    """

    name: str
    fits: int
    bytes: int
    oldest: str
    newest: str

    @classmethod
    def of(cls, name: str, files: Sequence[FitFile]) -> Group:
        """Return the line of these files, of which there is at least one."""
        times = [datetime.fromtimestamp(file.used, UTC) for file in files]
        oldest, newest = (f"{time:%Y-%m-%d %H:%M}" for time in (min(times), max(times)))
        return cls(name, len(files), _size(files), oldest, newest)


@dataclass(frozen=True)
class Contents:
    """What a fit cache holds.

    Attributes
    ----------
    place : str
    models : list of Group
        Fits by the name of their job, as lightgbm-EURUSD.
    unused : list of Group
        Files that this version never reads: by other code, of earlier formats, half-written. The
        first ones are among those of `models`.
    features : dict
        Folder, matrices and bytes of the feature cache.
    """

    place: str
    models: list[Group]
    unused: list[Group]
    features: dict[str, Any]

    @classmethod
    def of(cls, place: str, files: Sequence[FitFile], features: dict[str, Any]) -> Contents:
        """Sort the files of a cache into groups."""
        fits = [file for file in files if file.kind == "fit"]
        jobs = sorted({file.job for file in fits})
        unused = {
            "made by other code": [file for file in fits if not file.is_current],
            "of earlier formats": [file for file in files if file.kind == "older"],
            "half-written": [file for file in files if file.kind == "unfinished"],
        }
        return cls(
            place,
            [Group.of(job, [file for file in fits if file.job == job]) for job in jobs],
            [Group.of(name, group) for name, group in unused.items() if group],
            features,
        )

    def to_json(self) -> dict[str, Any]:
        """Return all values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Pruned:
    """What was removed from a cache, and what is left.

    Attributes
    ----------
    place : str
    removed, kept : list of FitFile
    dry_run : bool
        Whether it was only said.
    """

    place: str
    removed: list[FitFile]
    kept: list[FitFile]
    dry_run: bool

    @property
    def text(self) -> str:
        """One sentence."""
        unused = sum(not file.is_current for file in self.removed)
        return (
            f"{self.place}: {'would remove' if self.dry_run else 'removed'} "
            f"{_count(self.removed)}, {size_text(_size(self.removed))} ({unused:,} of them no "
            f"command of this version reads); {_count(self.kept)}, {size_text(_size(self.kept))}, "
            f"{'would be' if self.dry_run else 'are'} left."
        )

    def to_json(self) -> dict[str, Any]:
        """Return all values for JSON."""
        return {
            "place": self.place,
            "dry_run": self.dry_run,
            "removed": [file.name for file in self.removed],
            "freed_bytes": _size(self.removed),
            "files": len(self.kept),
            "bytes": _size(self.kept),
        }


def print_contents(console: Console, contents: Contents) -> None:
    """Print a table with one row a model, then what is never read, then the feature cache."""
    groups = contents.models
    total = sum(group.bytes for group in groups)
    print_line = click.echo
    print_line(
        f"{contents.place}: {sum(group.fits for group in groups):,} fits, {size_text(total)}"
    )
    if groups:
        table = Table(box=SIMPLE_HEAD)
        table.add_column("model", no_wrap=True)
        for heading in ("fits", "size", "first used", "last used (UTC)"):
            table.add_column(heading, justify="right", no_wrap=True)
        for group in groups:
            size = size_text(group.bytes)
            table.add_row(group.name, f"{group.fits:,}", size, group.oldest, group.newest)
        console.print(table)
    for group in contents.unused:
        print_line(
            f"{group.name}: {group.fits:,}, {size_text(group.bytes)}; this version never reads "
            "them, and `barwright cache prune` removes them first"
        )
    features = contents.features
    print_line(
        f"feature cache {features['folder']}: {features['matrices']:,} matrices, "
        f"{size_text(features['bytes'])}"
    )


def print_damaged(place: str, count: int, damaged: Mapping[str, str], *, deleted: bool) -> None:
    """Print each damaged file with what is wrong, then one sentence."""
    for name, why in damaged.items():
        click.echo(f"{name}: {why}")
    if not damaged:
        end = "all are intact."
    elif deleted:
        end = f"{len(damaged):,} were damaged and are removed; `train` makes them again."
    else:
        end = f"{len(damaged):,} are damaged; --delete removes them."
    click.echo(f"{place}: {count:,} fits were read, {end}")


def size_text(size: int) -> str:
    """Return a number of bytes as text.

    Examples
    --------
    >>> size_text(1_234_567_890), size_text(2_345_678), size_text(0)
    ('1.23 GB', '2.35 MB', '0.00 MB')
    """
    return f"{size / 1e9:,.2f} GB" if size >= 10**9 else f"{size / 1e6:,.2f} MB"


def _count(files: Sequence[FitFile]) -> str:
    return f"{len(files):,} {'file' if len(files) == 1 else 'files'}"


def _size(files: Sequence[FitFile]) -> int:
    return sum(file.size for file in files)
