"""Verification that a candidate loads in a fresh process and repeats its golden decisions.

The processes are forks of one that runs this module: ``python -m trainer.registry.verify``.
"""

from __future__ import annotations

import contextlib
import gc
import json
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Self

import adapters
from trainer.errors import TrainerError
from trainer.processes import THREAD_VARIABLES
from trainer.scratch import scratch_folder
from trainer.startup import start_quickly

_TIMEOUT_SECONDS = 300
#: What MLflow imports when it opens a store: of a server, of a database.
_REST = ("mlflow.store.tracking.rest_store", "mlflow.store.model_registry.rest_store")
_DATABASE = (
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
)


class Verifier:
    """Verifies candidates, each in a fresh process.

    Imports take longer than a verification. One process therefore imports the libraries while the
    caller still trains. After that it only forks, once for each candidate: a fork has opened no
    store and loaded no model before.

    Parameters
    ----------
    environment : mapping of str to str
        Environment of the processes. Pickle is forbidden there in any case.
    models : sequence of str
        Names of their adapters, which the process imports in advance.
    """

    def __init__(self, environment: Mapping[str, str], models: Sequence[str] = ()) -> None:
        self._models, self._uri = tuple(models), ""
        root = str(Path(__file__).resolve().parents[2])
        path = environment.get("PYTHONPATH")
        self._environment = {
            **environment,
            # A fork has only one of the threads of its parent, so the parent must have only one.
            **dict.fromkeys(THREAD_VARIABLES, "1"),
            "PYTHONPATH": f"{root}:{path}" if path else root,
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            "MLFLOW_RUN_ID": "",
        }
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        # Not a pipe, which nobody empties; each process appends.
        self._printed = tempfile.TemporaryFile("ab+")
        self._process = self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
        self._printed.close()

    def open(self, tracking_uri: str) -> None:
        """Name the store in which candidates are logged; it must have its tables.

        Several processes that open an empty database at once leave it unusable.
        """
        self._uri = tracking_uri
        if self._process is not None:
            _send(self._process, tracking_uri)

    def verify(self, model_uri: str) -> None:
        """Load a logged model in a fresh process, as consumers load it.

        Parameters
        ----------
        model_uri : str
            ``models:/m-...``.

        Raises
        ------
        TrainerError
            If it cannot be loaded, or decides its golden rows differently.
        """
        if self._process is None:  # it ended with an earlier candidate
            self._process = self._start()
            _send(self._process, self._uri)
        before = os.fstat(self._printed.fileno()).st_size
        _send(self._process, model_uri)
        status = self._answer()
        if status is None:
            before, status = 0, f"exit status {self._end(patience=5)}"
        if status:
            from trainer.tracking.store import redacted  # it imports MLflow

            self._printed.seek(before)
            printed = self._printed.read().decode(errors="replace").splitlines()
            reason = redacted([status, *filter(str.strip, printed)][-1])
            raise TrainerError(f"the candidate {model_uri} does not pass verification: {reason}")

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "trainer.registry.verify", *self._models],
            # Ctrl-C must reach the command only, which then ends this process.
            start_new_session=True,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._printed,
            text=True,
        )

    def _answer(self) -> str | None:
        """Return why a candidate does not pass, empty if it does, None if the process ended."""
        assert self._process is not None
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], _TIMEOUT_SECONDS)[0]:
            self._end()
            return f"no answer within {_TIMEOUT_SECONDS} s"
        answer = self._process.stdout.readline()
        return str(json.loads(answer)) if answer else None

    def _end(self, patience: float = 0) -> int:
        """End the process and its fork, and return its exit status."""
        process, self._process = self._process, None
        if process is None:
            return 0
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return process.returncode


def _send(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    # The process may have ended; `verify` says why.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(f"{line}\n")
        process.stdin.flush()


def main() -> None:
    """Verify candidates, each in a fork.

    The first line of standard input is the address of the store, each further one the URI of a
    candidate. Each answer is a line of JSON: why the candidate does not pass, empty if it does.
    """
    # Whatever else is printed, by libraries too, is no answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    fork = multiprocessing.get_context("fork")
    start_quickly()
    _import(("mlflow.pyfunc", "trainer.flavor"))
    tracking_uri = sys.stdin.readline().strip()
    if not tracking_uri:
        return
    for model in sys.argv[1:]:
        # A fork that needs it says why it cannot be imported.
        with contextlib.suppress(Exception):
            adapters.find(model)
    _import(_REST if tracking_uri.startswith("http") else _DATABASE)
    gc.freeze()  # no collection of a fork looks at what was there before
    for line in sys.stdin:
        process = fork.Process(target=_verify, args=(tracking_uri, line.strip()))
        process.start()
        process.join()
        status = process.exitcode
        answers.write(json.dumps(f"exit status {status}" if status else "") + "\n")
        answers.flush()


def _import(names: Sequence[str]) -> None:
    for name in names:
        with contextlib.suppress(ImportError):
            import_module(name)


def _verify(tracking_uri: str, model_uri: str) -> None:
    """Load a model, and raise unless its decisions are equal."""
    import mlflow

    from trainer.flavor import data_folder
    from trainer.serving.manifest import MANIFEST, golden_frame, golden_held
    from trainer.serving.rules import POSITION_NAMES

    mlflow.set_tracking_uri(tracking_uri)
    with scratch_folder() as temporary:
        folder = mlflow.artifacts.download_artifacts(model_uri, dst_path=str(temporary))
        manifest = json.loads((data_folder(Path(folder)) / MANIFEST).read_text())
        # Loading replays the golden rows; `predict` passes them through MLflow's schema as well.
        # Warnings on requirements are suppressed: these were pinned from this environment.
        served = mlflow.pyfunc.load_model(folder, suppress_warnings=True)
    expected = manifest["golden"]["decisions"]
    held = golden_held(manifest)
    known = {} if held is None else {"held": POSITION_NAMES[held]}
    decided = served.predict(golden_frame(manifest), params={"last": len(expected), **known})
    positions = [row["position"] for row in expected]
    if decided["position"].tolist() != positions:
        raise TrainerError(
            f"served positions {decided['position'].tolist()} are not the golden {positions}"
        )


if __name__ == "__main__":
    main()
