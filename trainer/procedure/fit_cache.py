"""A cache of fitted models: a fit is read if everything that it follows from is equal."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import numpy as np

from adapters.base import Batch, ModelAdapter
from features.atomic import replacing
from trainer.errors import TrainerError
from trainer.procedure.stored_fit import StoredFit

#: Increase it when the files or the key change: older entries are then never read.
FORMAT_VERSION = 2
#: Largest size of the folder after a command, in bytes; the entries used longest ago are removed.
LIMIT = 2 * 1024**3

#: Files of an entry, and files that a killed writer may leave. No other file is ever removed.
_ENTRY_FILE = re.compile(r"\.?(?P<entry>.+_[0-9a-f]{32})\.(bin|json)(\.[0-9a-f]{32})?")


@dataclass
class FitCache:
    """Fitted models in one folder, each with a JSON file of the values that its own file lacks.

    Attributes
    ----------
    folder : pathlib.Path
        Usually ``data/fits``; made on first use.
    n_read : int
        Number of fits that `fetch` read so far.
    """

    folder: Path
    n_read: int = field(default=0, init=False)

    def fetch(self, adapter: ModelAdapter, train: Batch, valid: Batch) -> ModelAdapter:
        """Read the model that was fitted to these rows before, or fit it and store it.

        Parameters
        ----------
        adapter : ModelAdapter
            Not fitted yet, with the settings of the fit.
        train, valid : Batch
            As for `ModelAdapter.fit`.

        Returns
        -------
        ModelAdapter
            Fitted. A model that was read is equal to the fitted one, bit for bit, in all its
            results.

        Raises
        ------
        TrainerError
            If the folder cannot be written.
        AdapterError
            If the model cannot be fitted.
        """
        key = fit_key(adapter, train, valid)
        stored = self.read(adapter.name, key)
        # The `load` of a plug-in may raise anything: the model is then fitted again.
        with suppress(Exception):
            if stored is not None:
                model = stored.restore(adapter)
                self.n_read += 1
                return model
        self.check_folder()
        adapter.fit(train, valid)
        made = StoredFit.of(key, adapter, train)
        if made is not None:
            self.write(adapter.name, made)
        return adapter

    def read(self, model: str, key: str) -> StoredFit | None:
        """Return the fit of an entry; None if there is no entry, or it is damaged.

        Parameters
        ----------
        model : str
            Name of the adapter.
        key : str
            As `fit_key` returns it.
        """
        content, facts = self._files(model, key)
        # A damaged file may raise anything.
        with suppress(Exception):
            entry = json.loads(facts.read_bytes())
            stored = StoredFit(
                str(entry["key"]),
                content.read_bytes(),
                entry["artifacts"],
                tuple(entry["falls"]),
                entry["falls_key"],
            )
            if stored.key == key and entry["seal"] == stored.seal:
                with suppress(OSError):
                    os.utime(facts)  # `prune` reads the time of the last use
                return stored
        return None

    def write(self, model: str, fit: StoredFit) -> None:
        """Store a fit.

        Raises
        ------
        TrainerError
            If the folder cannot be written.
        """
        content, facts = self._files(model, fit.key)
        entry = {
            "key": fit.key,
            "seal": fit.seal,
            "artifacts": fit.artifacts,
            "falls": fit.falls,
            "falls_key": fit.falls_key,
        }
        self.check_folder()
        # Model first: it is read only if the seal in the JSON file fits it. So a crash between the
        # two, or another process with the same key, leaves a valid entry or none.
        with self._writing(), replacing(content) as file:
            file.write(fit.content)
        with self._writing(), replacing(facts) as file:
            file.write(json.dumps(entry).encode())

    def check_folder(self) -> None:
        """Make the folder, before time is spent on a fit that could not be stored.

        Raises
        ------
        TrainerError
            If it cannot be made.
        """
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)

    def _files(self, model: str, key: str) -> tuple[Path, Path]:
        """Return the files of an entry: the model, and the values that its file lacks."""
        name = f"{model}_{key[:32]}"
        return self.folder / f"{name}.bin", self.folder / f"{name}.json"

    def prune(self, limit: int = LIMIT) -> None:
        """Remove the entries that were used longest ago, until at most `limit` bytes are left.

        Parameters
        ----------
        limit : int
            Bytes.
        """
        entries: defaultdict[str, list[tuple[float, int, Path]]] = defaultdict(list)
        # Another command may prune at the same time, and a file that stays does no harm.
        with suppress(OSError):
            for path in self.folder.iterdir():
                if name := _ENTRY_FILE.fullmatch(path.name):
                    with suppress(OSError):
                        stat = path.stat()
                        entries[name["entry"]].append((stat.st_mtime, stat.st_size, path))
        total = 0
        for files in sorted(entries.values(), key=max, reverse=True):
            total += sum(size for _, size, _ in files)
            for _, _, path in files:
                if total > limit:
                    with suppress(OSError):
                        path.unlink()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn errors of the file system into `TrainerError`."""
        try:
            yield
        except OSError as error:
            raise TrainerError(
                f"the fit cache {str(error.filename2 or error.filename or self.folder)!r} "
                f"cannot be written: {error.strerror}; "
                "give a writable folder as --fit-cache-folder, or pass --fit-cache off"
            ) from error


def fit_key(adapter: ModelAdapter, train: Batch, valid: Batch) -> str:
    """Return a digest of everything that a fit follows from.

    This is the model, its settings, the code, the environment and the rows. Forward returns and
    costs count only for a model that is fitted to them.

    Returns
    -------
    str
        SHA-256, in hexadecimal.
    """
    settings = {
        "format": FORMAT_VERSION,
        "model": adapter.name,
        "task": adapter.task,
        "params": adapter.params,
        "seed": adapter.seed,
        "device": adapter.fit_device,
        # Our own adapters, and the package of a plug-in's class.
        "code": code_digest(tuple({"adapters", type(adapter).__module__.partition(".")[0]})),
        "environment": environment_digest(),
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    names = ["X", "y", "weight", "position"]
    if adapter.fitted_to == "returns":
        digest.update(repr((train.cost, valid.cost)).encode())
        names.append("forward_return")
    for batch in (train, valid):
        for name in names:
            array = getattr(batch, name)
            shape = None if array is None else (array.shape, array.dtype.str)
            digest.update(f"|{name}{shape}".encode())
            if array is not None:
                # X is stored by columns, so that its transpose is contiguous and not copied.
                digest.update(np.ascontiguousarray(array.T).data)
    return digest.hexdigest()


@functools.cache
def code_digest(packages: tuple[str, ...]) -> str:
    """Return a digest of the sources of packages, or of modules without a package.

    Parameters
    ----------
    packages : tuple of str
        Names without a dot, of what can be imported.
    """
    digest = hashlib.sha256()
    for top in sorted(packages):
        package = import_module(top)
        folders = [Path(folder) for folder in getattr(package, "__path__", [])]
        files = [(folder, file) for folder in folders for file in sorted(folder.rglob("*.py"))]
        if not folders:
            file = Path(str(package.__file__))
            files = [(file.parent, file)]
        for folder, file in files:
            content = file.read_bytes()
            digest.update(f"{top}|{file.relative_to(folder)}|{len(content)}|".encode() + content)
    return digest.hexdigest()


@functools.cache
def environment_digest() -> str:
    """Return a digest of interpreter, processor and versions, which are a part of every key."""
    return hashlib.sha256(json.dumps(_environment()).encode()).hexdigest()


@functools.cache
def libraries_digest() -> str:
    """Return a digest of the versions of Python and of all that is installed, on any processor."""
    parts = [platform.python_version(), *_installed()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@functools.cache
def _environment() -> list[str]:
    """Return interpreter, processor and versions: only within one environment are fits equal."""
    return [sys.version, *platform.libc_ver(), *_processor(), *_installed()]


def _installed() -> list[str]:
    """Return all distributions with their versions; a model names only those that it imports."""
    # From the names of their folders: reading their metadata takes most of a second.
    return sorted({path.name for place in sys.path for path in Path(place).glob("*.dist-info")})


def _processor() -> list[str]:
    """Return kind and features of the processor: numerical libraries select their code by them."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return [platform.machine(), platform.processor()]
    first = info.read_text().partition("\n\n")[0].splitlines()
    fields = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    return [platform.machine(), *(line for line in first if line.startswith(fields))]
