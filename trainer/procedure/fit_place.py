"""What a fit cache needs of the place that holds its files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from trainer.errors import TrainerError


class PlaceError(TrainerError):
    """A place that cannot be used now; the text names it and says why."""


@dataclass(frozen=True)
class KeptFile:
    """A file of a place.

    Attributes
    ----------
    name : str
    size : int
        Bytes.
    used : float
        When it was last read or written, in seconds since 1970; in a bucket, when it was written.
    """

    name: str
    size: int
    used: float


class FitPlace(Protocol):
    """A flat set of files, each of which is written as a whole or not at all.

    Attributes
    ----------
    address : str
        As the option ``--fit-cache-folder`` names it.
    limit : int or None
        Bytes that a command leaves in it at most; None if others may share it.
    """

    address: str
    limit: int | None

    def check(self) -> None:
        """Raise `PlaceError` if it cannot be used with these settings."""
        ...

    def read(self, names: Collection[str]) -> dict[str, bytes]:
        """Return the contents of the files that there are, by name."""
        ...

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Write files by name; each replaces the one of its name."""
        ...

    def touch(self, names: Collection[str]) -> None:
        """Note that these files are used now, if the place can."""
        ...

    def files(self) -> list[KeptFile]:
        """Return all files of the place itself, not those of folders in it."""
        ...

    def remove(self, names: Collection[str]) -> None:
        """Remove files; those that are not there do no harm."""
        ...
