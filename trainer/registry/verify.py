"""Verification that a candidate loads in a fresh process and repeats its golden decisions.

The fresh process runs this module: ``python -m trainer.registry.verify``.
"""

from __future__ import annotations

import contextlib
import gc
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import adapters
from trainer.errors import TrainerError
from trainer.scratch import scratch_folder

_TIMEOUT_SECONDS = 300


class Verifier:
    """Verifies candidates, each in a fresh process.

    Imports take longer than the verification. The next process is therefore started before it is
    needed: it imports its libraries, opens the store once `open` has named it, and then waits for a
    candidate. Each process verifies one candidate.

    Parameters
    ----------
    environment : mapping of str to str
        Environment of the processes. Pickle is forbidden there in any case.
    count : int
        Number of candidates: no more processes are started in advance.
    models : sequence of str
        Names of their adapters, which the processes import in advance.
    """

    def __init__(
        self, environment: Mapping[str, str], count: int, models: Sequence[str] = ()
    ) -> None:
        self._models, self._uri = tuple(models), ""
        root = str(Path(__file__).resolve().parents[2])
        path = environment.get("PYTHONPATH")
        self._environment = {
            **environment,
            "PYTHONPATH": f"{root}:{path}" if path else root,
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            "MLFLOW_RUN_ID": "",
        }
        self._left = count
        self._waiting: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._prepare()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._waiting is not None:
            # It has no candidate, and may import for seconds before it sees that none comes.
            self._waiting.kill()
            self._waiting.communicate()

    def open(self, tracking_uri: str) -> None:
        """Name the store in which candidates are logged; it must have its tables.

        Several processes that open an empty database at once leave it unusable.
        """
        self._uri = tracking_uri
        if self._waiting is not None:
            self._name_store(self._waiting)

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
        process = self._waiting or self._start()
        self._waiting = None
        try:
            _, printed = process.communicate(model_uri, timeout=_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            _, printed = process.communicate()
            printed += f"\nno answer within {_TIMEOUT_SECONDS} s"
        self._prepare()
        if process.returncode:
            from trainer.tracking.store import redacted  # it imports MLflow

            lines = [line for line in printed.splitlines() if line.strip()]
            reason = redacted(lines[-1]) if lines else f"exit status {process.returncode}"
            raise TrainerError(f"the candidate {model_uri} does not pass verification: {reason}")

    def _prepare(self) -> None:
        if self._left > 0 and self._waiting is None:
            self._left -= 1
            self._waiting = self._start()

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "trainer.registry.verify", *self._models],
            # Ctrl-C must reach the command only, which then ends this process.
            start_new_session=True,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if self._uri:
            self._name_store(process)
        return process

    def _name_store(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        # The process may have ended; `verify` says why.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(f"{self._uri}\n")
            process.stdin.flush()


def main() -> None:
    """Load a model, and raise unless its decisions are equal.

    The first line of standard input is the address of the store, the second one the model's URI.
    """
    import mlflow
    from mlflow import MlflowClient

    from trainer.flavor import data_folder
    from trainer.serving.manifest import MANIFEST, golden_frame, golden_held
    from trainer.serving.rules import POSITION_NAMES

    for model in sys.argv[1:]:
        with contextlib.suppress(ValueError, ImportError):
            adapters.find(model)
    tracking_uri = sys.stdin.readline().strip()
    if not tracking_uri:
        return
    mlflow.set_tracking_uri(tracking_uri)
    MlflowClient()  # opens the store, which takes longer than the verification itself

    model_uri = sys.stdin.read().strip()
    if not model_uri:
        return
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
    gc.freeze()  # a collection at the end of the process would take half a second
