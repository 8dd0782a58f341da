"""A folder that holds the files of a fit cache."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from features.atomic import replacing
from trainer.procedure.fit_place import KeptFile, PlaceError

#: Largest size of the folder after a command, in bytes.
LIMIT = 2 * 1024**3


class FitFolder:
    """A folder, which is made at its first use.

    Parameters
    ----------
    folder : pathlib.Path
    """

    limit: int | None = LIMIT

    def __init__(self, folder: Path) -> None:
        self.folder, self.address = folder, str(folder)

    def check(self) -> None:
        """Check that the folder exists or can be made; what is in its way is named."""
        places = (self.folder.absolute(), *self.folder.absolute().parents)
        there = next(place for place in places if place.exists())
        reason = ""
        if not there.is_dir():
            reason = f"{str(there)!r} is no folder"
        elif there != places[0] and not os.access(there, os.W_OK):
            reason = f"{str(there)!r} is not writable"
        if reason:
            raise PlaceError(f"the fit cache {self.address!r} cannot be made: {reason}")

    def read(self, names: Collection[str]) -> dict[str, bytes]:
        """Return the contents of the files that can be read, by name."""
        found = {}
        for name in names:
            with suppress(OSError):
                found[name] = (self.folder / name).read_bytes()
        return found

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Write files by name; each replaces the one of its name."""
        with self._errors("written"):
            self.folder.mkdir(parents=True, exist_ok=True)
            for name, content in contents.items():
                with replacing(self.folder / name) as file:
                    file.write(content)

    def touch(self, names: Collection[str]) -> None:
        """Set the time of the last change, which `files` returns."""
        for name in names:
            with suppress(OSError):
                os.utime(self.folder / name)

    def files(self) -> list[KeptFile]:
        """Return all files of the folder; none if it does not exist."""
        kept = []
        with self._errors("read"), suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                # Another command may remove files at the same time.
                with suppress(FileNotFoundError):
                    stat = path.stat()
                    if path.is_file():
                        kept.append(KeptFile(path.name, stat.st_size, stat.st_mtime))
        return kept

    def remove(self, names: Collection[str]) -> None:
        """Remove files."""
        with self._errors("written"):
            for name in names:
                (self.folder / name).unlink(missing_ok=True)

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Turn errors of the file system into `PlaceError`."""
        try:
            yield
        except OSError as error:
            path = str(error.filename2 or error.filename or self.folder)
            reason = error.strerror or type(error).__name__
            raise PlaceError(f"the fit cache {path!r} cannot be {what}: {reason}") from error
