"""A cache of fitted models: a fit is read if everything that it follows from is equal."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from adapters.base import Batch, ModelAdapter
from trainer.config import check_fit_cache_folder
from trainer.procedure.fit_bucket import FitBucket
from trainer.procedure.fit_files import FitFile, fit_name, surplus
from trainer.procedure.fit_folder import FitFolder
from trainer.procedure.fit_key import fit_key
from trainer.procedure.fit_place import FitPlace, PlaceError
from trainer.procedure.stored_fit import DamagedFitError, StoredFit

T = TypeVar("T")

#: Seconds for which a place is left out after it failed. A store that does not answer would
#: otherwise cost its time limit again and again.
_PAUSE_SECONDS = 600
#: Files that `FitCache.check_files` reads at a time.
_BATCH = 64

_LOGGER = logging.getLogger("barwright.fit_cache")


@dataclass
class FitCache:
    """Fitted models in one place, each in one file.

    A place that fails while it is read or written costs no fit: the models are fitted, and a
    warning says once that they are not kept.

    Attributes
    ----------
    place : FitPlace
    n_read : int
        Number of fits that `fetch` read so far.
    """

    place: FitPlace
    n_read: int = field(default=0, init=False)
    _paused: dict[str, float] = field(default_factory=dict, init=False)
    _warned: bool = field(default=False, init=False)

    @classmethod
    def at(cls, address: str | Path) -> FitCache:
        """Return the cache of a folder or of ``s3://bucket/prefix``.

        Raises
        ------
        UsageError
            If the address is neither.
        """
        text = check_fit_cache_folder(str(address))
        return cls(FitBucket(text) if "://" in text else FitFolder(Path(text)))

    def check(self) -> None:
        """Check that the place can be used, before time is spent on fits.

        Raises
        ------
        TrainerError
            If it cannot.
        """
        try:
            self.place.check()
        except PlaceError as error:
            raise PlaceError(
                f"{error}; give another --fit-cache-folder, or --fit-cache off"
            ) from error

    def fetch(
        self, adapter: ModelAdapter, train: Batch, valid: Batch, *, job: str = ""
    ) -> ModelAdapter:
        """Read the model that was fitted to these rows before, or fit it and store it.

        Parameters
        ----------
        adapter : ModelAdapter
            Not fitted yet, with the settings of the fit.
        train, valid : Batch
            As for `ModelAdapter.fit`.
        job : str, optional
            Name of the job; by default that of the adapter.

        Returns
        -------
        ModelAdapter
            Fitted. A model that was read is equal to the fitted one, bit for bit, in all its
            results.

        Raises
        ------
        AdapterError
            If the model cannot be fitted.
        """
        key, job = fit_key(adapter, train, valid), job or adapter.name
        stored = self.read(job, [key]).get(key)
        # The `load` of a plug-in may raise anything: the model is then fitted again.
        with suppress(Exception):
            if stored is not None:
                model = stored.restore(adapter)
                self.n_read += 1
                return model
        adapter.fit(train, valid)
        made = StoredFit.of(key, adapter, train)
        if made is not None:
            self.write(job, [made])
        return adapter

    def read(self, job: str, keys: Sequence[str]) -> dict[str, StoredFit]:
        """Return fits by their keys, without those that are missing or damaged.

        Parameters
        ----------
        job : str
            Name of the job.
        keys : sequence of str
            As `fit_key` returns them.
        """
        names = {fit_name(job, key): key for key in keys}
        nothing: dict[str, bytes] = {}
        contents = self._try("read", lambda: self.place.read(names), nothing)
        fits = {}
        for name, content in contents.items():
            with suppress(DamagedFitError):
                fits[name] = StoredFit.from_bytes(content, names[name])
        self.place.touch(fits)
        return {names[name]: fit for name, fit in fits.items()}

    def write(self, job: str, fits: Sequence[StoredFit]) -> None:
        """Store fits of a job."""
        contents = {fit_name(job, fit.key): fit.to_bytes() for fit in fits}
        self._try("written", lambda: self.place.write(contents), None)

    def files(self) -> list[FitFile]:
        """Return the files of the cache; others in its place are left out.

        Raises
        ------
        PlaceError
            If the place cannot be read.
        """
        named = (FitFile.of(file) for file in self.place.files())
        return [file for file in named if file is not None]

    def check_files(self, files: Sequence[FitFile]) -> Iterator[tuple[FitFile, str]]:
        """Read files of this format; yield each with what is wrong, or an empty text.

        Raises
        ------
        PlaceError
            If the place cannot be read.
        """
        for start in range(0, len(files), _BATCH):
            batch = files[start : start + _BATCH]
            contents = self.place.read([file.name for file in batch])
            for file in batch:
                if file.name not in contents:
                    yield file, "it cannot be read, or another command removed it"
                    continue
                try:
                    StoredFit.from_bytes(contents[file.name], file.key)
                except DamagedFitError as error:
                    yield file, str(error)
                else:
                    yield file, ""

    def prune(
        self,
        *,
        older_than: float | None = None,
        max_size: int | None = None,
        dry_run: bool = False,
    ) -> tuple[list[FitFile], list[FitFile]]:
        """Remove the files that `surplus` names.

        Parameters
        ----------
        older_than : float, optional
            Seconds.
        max_size : int, optional
            Bytes.
        dry_run : bool, default False
            Whether the files stay.

        Returns
        -------
        removed, kept : list of FitFile

        Raises
        ------
        PlaceError
            If the place cannot be used.
        """
        files = self.files()
        removed = surplus(files, now=time.time(), older_than=older_than, max_size=max_size)
        names = {file.name for file in removed}
        if names and not dry_run:
            self.place.remove(names)
        return removed, [file for file in files if file.name not in names]

    def tidy(self) -> None:
        """Keep to the limit of the place, if it has one: the fits used longest ago are removed."""
        if self.place.limit is not None:
            # Files that stay do no harm.
            with suppress(PlaceError):
                self.prune(max_size=self.place.limit)

    def _try(self, what: str, act: Callable[[], T], otherwise: T) -> T:
        """Return the result of an access; if it fails, warn once and leave such ones out."""
        if time.monotonic() < self._paused.get(what, 0.0):
            return otherwise
        try:
            return act()
        except PlaceError as error:
            self._paused[what] = time.monotonic() + _PAUSE_SECONDS
            if not self._warned:
                self._warned = True
                _LOGGER.warning("Warning: %s. The run goes on without it.", error)
            return otherwise
