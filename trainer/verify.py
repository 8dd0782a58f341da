"""Fresh-process proof that a candidate loads and repeats its golden decisions: run with -m."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from trainer.errors import TrainerError

_TIMEOUT_SECONDS = 300


def verify(model_uri: str, *, tracking_uri: str, environment: dict[str, str]) -> None:
    """Load a logged model in a process that never saw it, the way consumers do.

    Parameters
    ----------
    model_uri : str
        ``models:/m-...``.
    tracking_uri : str
        Where it was logged.
    environment : dict of str to str
        Environment of the process; pickle is forbidden there whatever it says.

    Raises
    ------
    TrainerError
        If it cannot be loaded, or decides its golden rows differently: with the reason.
    """
    root = str(Path(__file__).resolve().parent.parent)
    path = environment.get("PYTHONPATH")
    process = subprocess.run(
        [sys.executable, "-m", "trainer.verify", model_uri],
        env={
            **environment,
            "PYTHONPATH": f"{root}:{path}" if path else root,
            "MLFLOW_TRACKING_URI": tracking_uri,
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            "MLFLOW_RUN_ID": "",
        },
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
    if process.returncode:
        lines = [line for line in process.stderr.splitlines() if line.strip()]
        reason = lines[-1] if lines else f"exit status {process.returncode}"
        raise TrainerError(f"the candidate {model_uri} does not pass verification: {reason}")


def main(model_uri: str) -> None:
    """Load `model_uri` as a pyfunc and compare its golden decisions; raise if they differ."""
    import mlflow

    from trainer.flavor import data_folder
    from trainer.manifest import MANIFEST, golden_frame

    folder = Path(mlflow.artifacts.download_artifacts(model_uri))
    manifest = json.loads((data_folder(folder) / MANIFEST).read_text())
    # Loading replays the golden rows; predicting goes through MLflow's own schema as well.
    served = mlflow.pyfunc.load_model(str(folder))
    expected = manifest["golden"]["decisions"]
    decided = served.predict(golden_frame(manifest), params={"last": len(expected)})
    positions = [row["position"] for row in expected]
    if decided["position"].tolist() != positions:
        raise TrainerError(
            f"served positions {decided['position'].tolist()} are not the golden {positions}"
        )


if __name__ == "__main__":
    main(sys.argv[1])
