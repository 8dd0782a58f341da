"""Temporary folders that a killed command leaves behind are found by the next one, and removed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_PREFIX = "barwright-run-"


def process_identity(pid: int) -> str:
    """Process id and start time: ids are used again, start times are not."""
    return f"{pid}:{psutil.Process(pid).create_time():.2f}"


def is_alive(identity: str) -> bool:
    """Whether the process of a `process_identity` of this machine still runs."""
    try:
        return process_identity(int(identity.partition(":")[0])) == identity
    except (ValueError, psutil.Error):
        return False


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
