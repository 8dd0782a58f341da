"""Arrays that the library of calendars computed once, in the cache folder of the user."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from features.atomic import replacing

Arrays = dict[str, npt.NDArray[np.int64]]


def stored(name: str, compute: Callable[[], Arrays]) -> Arrays:
    """Return what `compute` returns; call it only if this user has no result under `name` yet.

    A result belongs to one release of exchange_calendars. A folder that cannot be written, and a
    damaged file, only cost the time of the computation.

    Parameters
    ----------
    name : str
        Name of the result, fit for the name of a file.
    compute : callable
        Returns int64 arrays by name.
    """
    folder = _folder()
    if folder is None:
        return compute()
    path = folder / f"{name}-{version('exchange_calendars')}.npz"
    arrays = _read(path)
    if arrays is None:
        arrays = compute()
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return arrays


def _folder() -> Path | None:
    """Return the folder; None for a user without a home, as in some containers."""
    own, usual = os.environ.get("BARWRIGHT_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own)
    try:
        return Path(usual or Path.home() / ".cache") / "barwright"
    except RuntimeError:
        return None


def _read(path: Path) -> Arrays | None:
    """Return the arrays of a file; None if it is absent or damaged."""
    try:
        # Opened here: `np.load` leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except Exception:  # a damaged file raises errors of NumPy, zipfile, zlib and the tokenizer
        return None
