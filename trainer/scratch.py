"""Temporary folders that a killed command leaves behind are found by the next one, and removed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from trainer.processes import is_alive, process_identity

_PREFIX = "barwright-run-"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a temporary folder of this process; those of dead processes are removed."""
    own = process_identity(psutil.Process().pid)
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if not is_alive(left.name.removeprefix(_PREFIX).rpartition("-")[0]):
            # Somebody else's cannot be removed, and need not be.
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{own}-") as folder:
        yield Path(folder)
