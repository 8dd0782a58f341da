"""Set up a process for a command: garbage collection, unused imports, defaults of MLflow."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: Objects that are made before the collector looks for unused ones; Python's default is 700.
#: Imports make a million objects that all stay, and looking at them takes a fifth of the start.
_AT_THE_START, _AT_WORK = 3_000_000, 100_000
_MLFLOW = {
    # MLflow sends telemetry by default. What is traded is confidential.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # MLflow repeats a request to a server that does not answer for minutes; three times take
    # seconds, and then the command fails with a message.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    # A server with an S3 store hands out addresses of that store, and MLflow fetches files there.
    # Often only the server can reach them; then MLflow tries for minutes. Through the server, files
    # always arrive.
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
}


def start_quickly() -> None:
    """Set up this process for a command; call it before the large libraries are imported."""
    gc.set_threshold(_AT_THE_START, 20, 20)


def work_for_long() -> None:
    """Collect garbage from here on; what was imported is left out."""
    gc.freeze()
    gc.set_threshold(_AT_WORK, 20, 20)


def set_mlflow_defaults() -> None:
    """Set variables of MLflow that the user has not set; call it before MLflow is imported."""
    for name, value in _MLFLOW.items():
        os.environ.setdefault(name, value)


@contextmanager
def without_module(name: str) -> Iterator[None]:
    """Let imports of one module fail in the block, unless it is imported already.

    LightGBM imports scikit-learn, a second of time, for wrappers that a trader does not use; it
    does without them if that import fails.
    """
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]
