"""The command line of Barwright, which notes its processor time in MLflow's calls and scheduling.

``python -m benchmarks.command_time FILE train ...`` writes the seconds to FILE when it ends.
"""

from __future__ import annotations

import functools
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

#: Name of the thread in which distributed runs scheduler and client.
_SCHEDULER = "IO loop"


class _Calls(threading.local):
    """Calls of MLflow in one thread: a call inside another one is not counted again."""

    depth = 0


_CALLS, _SECONDS = _Calls(), [0.0]


def _counted(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def counted(*arguments: Any, **options: Any) -> Any:
        _CALLS.depth += 1
        start = time.thread_time()
        try:
            return call(*arguments, **options)
        finally:
            _CALLS.depth -= 1
            if not _CALLS.depth:
                _SECONDS[0] += time.thread_time() - start

    return counted


def _count_calls() -> None:
    from mlflow import MlflowClient
    from mlflow.models.model import Model

    for name, value in vars(MlflowClient).items():
        if callable(value) and not name.startswith("_"):
            setattr(MlflowClient, name, _counted(value))
    # A class method, whose class is bound already.
    setattr(Model, "log", _counted(Model.log))  # noqa: B010


def _watch_scheduler(seconds: dict[str, float]) -> None:
    """Note again and again how long the thread that schedules was at work."""
    process = psutil.Process()
    while True:
        time.sleep(0.2)
        named = {thread.native_id: thread.name for thread in threading.enumerate()}
        for thread in process.threads():
            if named.get(thread.id) == _SCHEDULER:
                seconds["scheduling"] = thread.user_time + thread.system_time


def main() -> None:
    """Run the command."""
    file = Path(sys.argv.pop(1))
    seconds = {"scheduling": 0.0}
    threading.Thread(target=_watch_scheduler, args=(seconds,), daemon=True).start()
    _count_calls()
    from cli.app import main as run

    try:
        run()
    finally:
        file.write_text(json.dumps({**seconds, "mlflow": _SECONDS[0]}))


if __name__ == "__main__":
    main()
