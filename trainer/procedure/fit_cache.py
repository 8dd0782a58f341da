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
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.base import Batch, ModelAdapter
from features.atomic import replacing
from trainer.arrays import IntArray
from trainer.errors import TrainerError
from trainer.scratch import scratch_folder

#: Increase it when the files or the key change: older entries are then never read.
FORMAT_VERSION = 1
#: Largest size of the folder after a command, in bytes; the entries used longest ago are removed.
LIMIT = 2 * 1024**3

#: Number of rows, in addition to the lookback, on which a model that is read from its file must
#: give the scores of the fitted model before it is stored.
_PROOF_ROWS = 256
#: Files of an entry, and files that a killed writer may leave. No other file is ever removed.
_ENTRY_FILE = re.compile(r"\.?(?P<entry>.+_[0-9a-f]{32})\.(bin|json)(\.[0-9a-f]{32})?")


@dataclass
class FitCache:
    """Fitted models in one folder, each with a JSON file of the values that its own file lacks.

    Attributes
    ----------
    folder : pathlib.Path
        Usually ``data/fits``; made on first use.
    read : int
        Number of fits that were read so far.
    """

    folder: Path
    read: int = field(default=0, init=False)

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
        stem = self.folder / f"{adapter.name}_{key[:32]}"
        stored = _read(stem, key, adapter)
        if stored is not None:
            self.read += 1
            return stored
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
        adapter.fit(train, valid)
        content = _verified_content(adapter, train)
        if content is not None:
            artifacts = adapter.get_artifacts()
            entry = {"key": key, "seal": _seal(key, artifacts, content), "artifacts": artifacts}
            # Model first: it is read only if the seal in the JSON file fits it. So a crash between
            # the two, or another process with the same key, leaves a valid entry or none.
            with self._writing(), replacing(stem.with_name(f"{stem.name}.bin")) as file:
                file.write(content)
            with self._writing(), replacing(stem.with_name(f"{stem.name}.json")) as file:
                file.write(json.dumps(entry).encode())
        return adapter

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
        "code": _code(type(adapter).__module__),
        "environment": _environment(),
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


def _read(stem: Path, key: str, adapter: ModelAdapter) -> ModelAdapter | None:
    """Return the model of an entry; None if there is no entry, or it is damaged."""
    model, facts = (stem.with_name(f"{stem.name}.{ending}") for ending in ("bin", "json"))
    # A damaged file or the `load` of a plug-in may raise anything: the model is then fitted again.
    with suppress(Exception):
        entry = json.loads(facts.read_bytes())
        artifacts = entry["artifacts"]
        if entry["key"] == key and entry["seal"] == _seal(key, artifacts, model.read_bytes()):
            loaded = _restored(type(adapter).load(model), adapter, artifacts)
            with suppress(OSError):
                os.utime(facts)  # `prune` reads the time of the last use
            return loaded
    return None


def _verified_content(fitted: ModelAdapter, train: Batch) -> bytes | None:
    """Return the content of the model's file if it gives back the fitted model, else None.

    A model that its file does not give back completely is not stored, and is fitted every time.
    """
    artifacts = fitted.get_artifacts()
    if fitted.fit_device != "cpu" and artifacts.get("device") == "cpu":
        return None  # the GPU failed during this fit, and may work in the next one
    last = slice(-(_PROOF_ROWS + fitted.lookback), None)
    X, position = train.X[last], train.position[last]  # (rows, f), (rows,)
    # `save` or `load` of a plug-in may raise anything: the verification of its model reports it.
    with suppress(Exception), scratch_folder() as folder:
        first, again = folder / "model.bin", folder / "again.bin"
        fitted.save(first)
        loaded = _restored(type(fitted).load(first), fitted, json.loads(json.dumps(artifacts)))
        loaded.save(again)
        content = first.read_bytes()
        same_file = content == again.read_bytes()
        if same_file and _results(loaded, X, position) == _results(fitted, X, position):
            return content
    return None


def _results(
    model: ModelAdapter, X: npt.NDArray[np.float32], position: IntArray
) -> tuple[Any, ...]:
    """Return all results of a model, as values that compare bit for bit."""
    own_positions = model.rollout(X, position)
    return (
        model.predict(X, position).tobytes(),
        None if own_positions is None else own_positions.tobytes(),
        model.task,
        model.lookback,
        model.trials,
        model.get_artifacts(),
    )


def _restored(
    loaded: ModelAdapter, unfitted: ModelAdapter, artifacts: dict[str, Any]
) -> ModelAdapter:
    """Give a loaded model the values that its file lacks: settings, and artifacts of its fit."""
    loaded.seed, loaded.device, loaded.params = unfitted.seed, unfitted.device, unfitted.params
    loaded.on_progress = unfitted.on_progress
    loaded.get_artifacts = lambda: dict(artifacts)  # type: ignore[method-assign]
    return loaded


def _seal(key: str, artifacts: dict[str, Any], content: bytes) -> str:
    """Return a digest of all parts of an entry."""
    text = json.dumps([key, artifacts], sort_keys=True)
    return hashlib.sha256(text.encode() + content).hexdigest()


@functools.cache
def _code(module: str) -> str:
    """Return a digest of the sources of `adapters`, and of the package of a plug-in's class."""
    digest = hashlib.sha256()
    for top in sorted({"adapters", module.partition(".")[0]}):
        package = sys.modules.get(top, sys.modules[module])
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
def _environment() -> list[str]:
    """Return interpreter, processor and versions: only within one environment are fits equal.

    All installed distributions count, because a model names only those that it imports itself.
    """
    # From the names of their folders: reading their metadata takes most of a second.
    installed = {path.name for place in sys.path for path in Path(place).glob("*.dist-info")}
    return [sys.version, *platform.libc_ver(), *_processor(), *sorted(installed)]


def _processor() -> list[str]:
    """Return kind and features of the processor: numerical libraries select their code by them."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return [platform.machine(), platform.processor()]
    first = info.read_text().partition("\n\n")[0].splitlines()
    fields = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    return [platform.machine(), *(line for line in first if line.startswith(fields))]
