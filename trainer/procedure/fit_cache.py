"""Fitted models kept by what they were fitted to: made once, then read."""

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

from adapters.base import Batch, ModelAdapter
from features.atomic import replacing
from trainer.errors import TrainerError
from trainer.scratch import scratch_folder

#: Raise it when the files or the key change: older entries are then never looked at.
FORMAT_VERSION = 1
#: Bytes that the folder may hold after a command; what was used longest ago goes first.
LIMIT = 2 * 1024**3

#: Rows, beyond the lookback, that a model read back must score as the fitted one before it is kept.
_PROOF_ROWS = 256
#: Files of an entry, and what a killed writer may leave of them. Nothing else is ever removed.
_OURS = re.compile(r"\.?(?P<entry>.+_[0-9a-f]{32})\.(bin|json)(\.[0-9a-f]{32})?")


@dataclass
class FitCache:
    """Fitted models in one folder, each with what its file does not hold beside it.

    Attributes
    ----------
    folder : pathlib.Path
        Usually ``data/fits``; made on first use.
    read : int
        Fits that were read so far.
    """

    folder: Path
    read: int = field(default=0, init=False)

    def fetch(self, adapter: ModelAdapter, train: Batch, valid: Batch) -> ModelAdapter:
        """Read the model that was fitted to these rows before, or fit it and keep it.

        Parameters
        ----------
        adapter : ModelAdapter
            Not fitted yet; says what is asked for.
        train, valid : Batch
            What `ModelAdapter.fit` takes.

        Returns
        -------
        ModelAdapter
            Fitted; a model that was read does what the fitted one did, bit for bit.

        Raises
        ------
        TrainerError
            If the folder cannot be written.
        AdapterError
            If the model cannot be fitted.
        """
        key = fit_key(adapter, train, valid)
        stem = self.folder / f"{adapter.name}_{key[:32]}"
        kept = _read(stem, key, adapter)
        if kept is not None:
            self.read += 1
            return kept
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
        adapter.fit(train, valid)
        content = _proven(adapter, train)
        if content is not None:
            told = adapter.get_artifacts()
            entry = {"key": key, "seal": _seal(key, told, content), "artifacts": told}
            # Model first: it counts only with an entry that seals it, so a crash in between, or
            # another process at the same key, leaves a sound entry or none.
            with self._writing(), replacing(stem.with_name(f"{stem.name}.bin")) as file:
                file.write(content)
            with self._writing(), replacing(stem.with_name(f"{stem.name}.json")) as file:
                file.write(json.dumps(entry).encode())
        return adapter

    def prune(self, limit: int = LIMIT) -> None:
        """Remove the entries that were used longest ago, until at most `limit` bytes are left."""
        entries: defaultdict[str, list[tuple[float, int, Path]]] = defaultdict(list)
        # Another command may prune as well, and what cannot be removed harms nobody.
        with suppress(OSError):
            for path in self.folder.iterdir():
                if name := _OURS.fullmatch(path.name):
                    with suppress(OSError):
                        stat = path.stat()
                        entries[name["entry"]].append((stat.st_mtime, stat.st_size, path))
        kept = 0
        for files in sorted(entries.values(), key=max, reverse=True):
            kept += sum(size for _, size, _ in files)
            for _, _, path in files:
                if kept > limit:
                    with suppress(OSError):
                        path.unlink()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrainerError(
                f"the fit cache {str(error.filename2 or error.filename or self.folder)!r} "
                f"cannot be written: {error.strerror}; "
                "give a writable folder as --fit-cache-folder, or pass --fit-cache off"
            ) from error


def fit_key(adapter: ModelAdapter, train: Batch, valid: Batch) -> str:
    """Digest of everything that a fit follows from: model, settings, code, environment, rows.

    Forward returns and costs count only for a model that is fitted to them.

    Returns
    -------
    str
        SHA-256, in hex.
    """
    asked = {
        "format": FORMAT_VERSION,
        "model": adapter.name,
        "task": adapter.task,
        "params": adapter.params,
        "seed": adapter.seed,
        "device": adapter.fit_device,
        "code": _code(type(adapter).__module__),
        "environment": _environment(),
    }
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode())
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
                # Feature-major, as it is stored: nothing is copied.
                digest.update(np.ascontiguousarray(array.T).data)
    return digest.hexdigest()


def _read(stem: Path, key: str, adapter: ModelAdapter) -> ModelAdapter | None:
    """Return the model of an entry; None if it is not there, or not what was written."""
    model, facts = (stem.with_name(f"{stem.name}.{ending}") for ending in ("bin", "json"))
    # Whatever a damaged file or a plug-in's `load` raises: the model is fitted again.
    with suppress(Exception):
        entry = json.loads(facts.read_bytes())
        told = entry["artifacts"]
        if entry["key"] == key and entry["seal"] == _seal(key, told, model.read_bytes()):
            loaded = _revived(type(adapter).load(model), adapter, told)
            with suppress(OSError):
                os.utime(facts)  # used just now: see `prune`
            return loaded
    return None


def _proven(fitted: ModelAdapter, train: Batch) -> bytes | None:
    """Return the model's file, if the model that is read from it is the fitted one in all it does.

    What a file does not give back whole is not kept, and fitted every time.
    """
    told = fitted.get_artifacts()
    if fitted.fit_device != "cpu" and told.get("device") == "cpu":
        return None  # the GPU failed on the way: it may be back for the next fit
    last = slice(-(_PROOF_ROWS + fitted.lookback), None)
    X, position = train.X[last], train.position[last]
    # Whatever a plug-in's `save` or `load` raises is said where its model is verified.
    with suppress(Exception), scratch_folder() as folder:
        first, again = folder / "model.bin", folder / "again.bin"
        fitted.save(first)
        plain = json.loads(json.dumps(told))
        loaded = _revived(type(fitted).load(first), fitted, plain)
        loaded.save(again)
        content = first.read_bytes()
        if content == again.read_bytes() and _does(loaded, X, position) == _does(
            fitted, X, position
        ):
            return content
    return None


def _does(model: ModelAdapter, X: Any, position: Any) -> tuple[object, ...]:
    """Return what a model answers, in values that compare bit for bit."""
    own = model.rollout(X, position)
    return (
        model.predict(X, position).tobytes(),
        None if own is None else own.tobytes(),
        model.task,
        model.lookback,
        model.trials,
        model.get_artifacts(),
    )


def _revived(loaded: ModelAdapter, asked: ModelAdapter, told: dict[str, Any]) -> ModelAdapter:
    """Give a loaded model what its file does not hold: how it was asked for, what its fit told."""
    loaded.seed, loaded.device, loaded.params = asked.seed, asked.device, asked.params
    loaded.on_progress = asked.on_progress
    loaded.get_artifacts = lambda: dict(told)  # type: ignore[method-assign]
    return loaded


def _seal(key: str, told: dict[str, Any], content: bytes) -> str:
    """Digest of an entry's parts together."""
    text = json.dumps([key, told], sort_keys=True)
    return hashlib.sha256(text.encode() + content).hexdigest()


@functools.cache
def _code(module: str) -> str:
    """Digest of the sources of our adapters, and of the package that a plug-in's class is in."""
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
    """Return what fits are only equal within: interpreter, processor, versions of all that is here.

    All distributions, and not those a model names: its libraries stand on others that it does not.
    """
    # From the names of their folders: reading their metadata takes most of a second.
    installed = {path.name for place in sys.path for path in Path(place).glob("*.dist-info")}
    return [sys.version, *platform.libc_ver(), *_processor(), *sorted(installed)]


def _processor() -> list[str]:
    """Kind of processor and what it can do: numerical libraries choose their code by it."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return [platform.machine(), platform.processor()]
    first = info.read_text().partition("\n\n")[0].splitlines()
    told = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    return [platform.machine(), *(line for line in first if line.startswith(told))]
