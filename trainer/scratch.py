"""Temporary folders that are removed even if the command that made them is killed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainer.processes import is_alive, process_identity

#: The identity of the process that made the folder follows in its name.
_PREFIX = "barwright-run-"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a temporary folder that is removed when the block ends.

    Every temporary folder of the trainer is made here. A killed command leaves its folders behind,
    so each call also removes the folders of processes that have ended.

    Yields
    ------
    pathlib.Path
        An empty folder.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if not is_alive(folder.name.removeprefix(_PREFIX).rpartition("-")[0]):
            # Folders of another user cannot be removed; that user's next command removes them.
            shutil.rmtree(folder, ignore_errors=True)
    own = process_identity(os.getpid())
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{own}-") as name:
        yield Path(name)
