"""Fresh-process proof that a candidate loads and repeats its golden decisions: run with -m."""

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

_TIMEOUT_SECONDS = 300


class Verifier:
    """Processes that wait, libraries imported, for a candidate that they have never seen.

    Importing takes longer than verifying: the next process is started before it is needed, so
    that it imports while models are being fitted. Each one verifies a single candidate.

    Parameters
    ----------
    tracking_uri : str
        Where candidates are logged.
    environment : mapping of str to str
        Environment of the processes; pickle is forbidden there whatever it says.
    count : int
        Candidates to expect: no process is started beyond them.
    models : sequence of str
        Names of their adapters, to be imported while waiting.
    """

    def __init__(
        self,
        tracking_uri: str,
        environment: Mapping[str, str],
        count: int,
        models: Sequence[str] = (),
    ) -> None:
        self._models = tuple(models)
        root = str(Path(__file__).resolve().parents[2])
        path = environment.get("PYTHONPATH")
        self._environment = {
            **environment,
            "PYTHONPATH": f"{root}:{path}" if path else root,
            "MLFLOW_TRACKING_URI": tracking_uri,
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
            # Nothing on its standard input, and the end of it: the process leaves by itself.
            self._waiting.communicate()

    def verify(self, model_uri: str) -> None:
        """Load a logged model in a process that never saw it, the way consumers do.

        Parameters
        ----------
        model_uri : str
            ``models:/m-...``.

        Raises
        ------
        TrainerError
            If it cannot be loaded, or decides its golden rows differently: with the reason.
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
            lines = [line for line in printed.splitlines() if line.strip()]
            reason = lines[-1] if lines else f"exit status {process.returncode}"
            raise TrainerError(f"the candidate {model_uri} does not pass verification: {reason}")

    def _prepare(self) -> None:
        if self._left > 0 and self._waiting is None:
            self._left -= 1
            self._waiting = self._start()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "trainer.registry.verify", *self._models],
            # Ctrl-C is for the command, which lets this process go by itself.
            start_new_session=True,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def main() -> None:
    """Read a URI from standard input, load the model, raise unless its golden rows are equal."""
    import mlflow
    from mlflow import MlflowClient

    from trainer.flavor import data_folder
    from trainer.serving.manifest import MANIFEST, golden_frame

    for model in sys.argv[1:]:
        with contextlib.suppress(ValueError, ImportError):
            adapters.find(model)  # what candidates need, imported while waiting
    MlflowClient()  # opening a store takes longer than verifying: while waiting, too

    model_uri = sys.stdin.read().strip()
    if not model_uri:
        return
    folder = Path(mlflow.artifacts.download_artifacts(model_uri))
    manifest = json.loads((data_folder(folder) / MANIFEST).read_text())
    # Loading replays the golden rows; predicting goes through MLflow's own schema as well. That
    # requirements match is certain here: they were pinned from this very environment.
    served = mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)
    expected = manifest["golden"]["decisions"]
    decided = served.predict(golden_frame(manifest), params={"last": len(expected)})
    positions = [row["position"] for row in expected]
    if decided["position"].tolist() != positions:
        raise TrainerError(
            f"served positions {decided['position'].tolist()} are not the golden {positions}"
        )


if __name__ == "__main__":
    main()
    gc.freeze()  # nothing to collect for a process that ends; looking takes half a second
