"""Commands as processes of their own, forked from one process that has imported the libraries.

The imports of a command take longer than most of the commands that tests run. Apart from them, a
forked command is a command as users start it: its own process, folder, environment and exit status.
"""

from __future__ import annotations

import functools
import importlib
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
TRADER = str(ROOT / "trader.py")

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "arch.bootstrap",
        "cli.audit",
        "cli.compare",
        "cli.registry",
        "cli.train",
        "lightgbm",
        "mlflow.store.model_registry.sqlalchemy_store",
        "mlflow.store.tracking.sqlalchemy_store",
        "psycopg",
        "pyarrow.parquet",
        "rich.table",
        "trader",
        "trainer.flavor",
        "trainer.jobs.train",
        "trainer.registry.promotion",
    ]
)


class Death(NamedTuple):
    """The call of a function at which a command is killed by SIGKILL."""

    owner: str  # "module" or "module:class"
    function: str
    when: str  # "before" or "after" the call


class Running(NamedTuple):
    """A command that was started."""

    arguments: Sequence[str]
    process: BaseProcess
    printed: tempfile.TemporaryDirectory[str]

    def finished(self, seconds: float = 240) -> CompletedProcess[str]:
        """Wait for the end of the command."""
        self.process.join(seconds)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
            raise TimeoutError(f"{self.arguments} still runs after {seconds} s")
        with self.printed as folder:
            out, err = ((Path(folder) / name).read_text() for name in ("out", "err"))
        return CompletedProcess(self.arguments, code, out, err)


def start(
    folder: Path,
    environment: Mapping[str, str],
    arguments: Sequence[str],
    *,
    death: Death | None = None,
    barrier: Any = None,
) -> Running:
    """Start ``python -m trainer ARGUMENT...`` or ``trader.py ARGUMENT...``.

    `arguments` are those of the interpreter. With a `barrier`, the command waits there right
    before it moves an alias.
    """
    printed = tempfile.TemporaryDirectory()
    process = _CONTEXT.Process(
        target=_command,
        args=(folder, dict(environment), list(arguments), printed.name, death, barrier),
    )
    process.start()
    return Running(arguments, process, printed)


def can_fork(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Tell whether the imports of a command are those of the forked process."""
    ours = tuple(arguments[:2]) == ("-m", "trainer") or arguments[0] == TRADER
    return ours and environment.get("PYTHONPATH") == os.environ.get("PYTHONPATH")


def new_barrier(parties: int) -> Any:
    """Return what so many commands can wait for together."""
    return _CONTEXT.Barrier(parties)


def _command(
    folder: Path,
    environment: Mapping[str, str],
    arguments: list[str],
    printed: str,
    death: Death | None,
    barrier: Any,
) -> None:
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(Path(printed) / name, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if death is not None:
        _die_at(death)
    if barrier is not None:
        _wait_before_moves(barrier)
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")


def _die_at(death: Death) -> None:
    module, _, owner = death.owner.partition(":")
    place = functools.reduce(getattr, filter(None, [owner]), importlib.import_module(module))
    real = getattr(place, death.function)

    def call(*args: Any, **kwargs: Any) -> None:
        if death.when == "after":
            real(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(place, death.function, call)


def _wait_before_moves(barrier: Any) -> None:
    from trainer.registry import alias

    move = alias.move

    def together(*args: Any) -> None:
        barrier.wait(60)
        move(*args)

    alias.move = together
