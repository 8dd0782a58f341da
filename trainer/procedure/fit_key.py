"""The key of a fit: a digest of everything that it follows from."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import sys
from importlib import import_module
from pathlib import Path

import numpy as np

from adapters.base import Batch, ModelAdapter

#: Increase it when the key, or the form of a stored fit, changes: older ones are then never read.
FORMAT_VERSION = 4


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
