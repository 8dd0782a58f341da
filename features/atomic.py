"""Write a file so that other processes read either its old or its complete new content."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of `path` when the block ends without an error.

    The content is written to a temporary file in the same folder, which is then renamed. If the
    block raises, the temporary file is removed and `path` keeps its old content.

    Parameters
    ----------
    path : pathlib.Path
        The file to write. Its folder must exist.

    Yields
    ------
    file object
        Opened for writing bytes.

    Raises
    ------
    OSError
        If the file cannot be written or renamed; the old file is then unchanged.
    """
    # Files of `tempfile` can be read by their owner only, and several users may share a cache.
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            yield file
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
