"""A small training run of all three models as digests and values, to compare with a stored one.

`tests/data/golden_run.json` was written when the calendars of exchanges came: against the run of
f41ee45, before the code was divided into rooms, only the periods of a year (6,240 became 6,264),
what they annualise, and new keys differ. The options of position rules and the metrics of
baselines added keys since, and changed no value. A change that is not meant to change models must
leave it equal. A change that is meant to change them writes it again and says why in its commit:

    python -m tests.golden_run

It was written with two workers and both caches; the test trains with one worker and without caches.

Files are equal bit for bit only within one environment: equal library versions on one kind of
processor. Elsewhere the names must be equal and the values close.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

GOLDEN = Path(__file__).parent / "data" / "golden_run.json"
MODELS = ("gru", "lightgbm", "ppo")
#: Small fits: the path is tested, not the skill.
SMALL = (
    "gru.hidden=8,gru.max_epochs=3,gru.lookback=12,gru.chunk=48,"
    "ppo.timesteps=16384,ppo.n_envs=64,ppo.n_steps=32,ppo.batch_size=512,ppo.hidden=8"
)
#: Costs so low that there are positions to compare on bars where nothing pays for real costs.
TRAIN = {
    "--symbols": "EURUSD", "--source": "sample", "--models": ",".join(MODELS), "--params": SMALL,
    "--n-splits": "2", "--wf-splits": "2", "--horizon": "1",
    "--fee-bps": "0.1", "--slippage-bps": "0.1", "--max-workers": "2",
}  # fmt: skip
FILES = (
    "model.bin", "calibrator.json", "metrics.json", "features.json", "config_snapshot.json",
    "evidence.json", "manifest.json",
)  # fmt: skip
#: Parameters and tags of a run that differ from run to run.
_VARYING_PARAMS = (
    "cache", "cache_folder", "fit_cache", "fit_cache_folder", "max_workers", "source", "unchanged",
)  # fmt: skip
_VARYING_TAGS = ("run_id", "settings_digest", "data_end")
_LIBRARIES = (
    "arch", "lightgbm", "numpy", "pandas", "scikit-learn", "scipy", "stable-baselines3", "TA-Lib",
    "torch",
)  # fmt: skip


def train_options(**changes: str) -> list[str]:
    """Return the command-line options of the run, with some values changed."""
    options = TRAIN | {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
    return [word for pair in options.items() for word in pair]


def environment() -> dict[str, str]:
    """Return what files are only equal within: library versions and the kind of processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().partition("\n\n")[0].splitlines() if info.is_file() else []
    kind = [line for line in lines if line.startswith(("model name", "flags", "Features"))]
    processor = hashlib.sha256("\n".join(kind).encode()).hexdigest()[:16]
    return {
        "python": platform.python_version(),
        "processor": f"{platform.machine()} {processor}",
        **{name: version(name) for name in _LIBRARIES},
    }


def observe(uri: str, decisions: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Describe the newest version of each model in a store.

    Parameters
    ----------
    uri : str
        Tracking URI of the store that `TRAIN` wrote to.
    decisions : dict of str to list of dict
        What `trader.py --json` printed for each model.
    """
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri, uri)
    return {
        "environment": environment(),
        "models": {name: _observe(client, name, decisions[name]) for name in MODELS},
    }


def _observe(client: MlflowClient, name: str, decisions: list[dict[str, Any]]) -> dict[str, Any]:
    registered = client.get_model_version_by_alias(f"{name}-EURUSD", "latest")
    run = client.get_run(registered.tags["run_id"])
    with tempfile.TemporaryDirectory() as folder:
        model = Path(download_artifacts(f"models:/{name}-EURUSD@latest", dst_path=folder))
        (manifest,) = model.rglob("manifest.json")
        inside = manifest.parent
        files = {file: (inside / file).read_bytes() for file in FILES}
        record = download_artifacts(
            run_id=run.info.run_id, artifact_path="walk_forward.parquet", dst_path=folder
        )
        frame = pd.read_parquet(record)
    metrics = {k: v for k, v in run.data.metrics.items() if not k.startswith("seconds/")}
    return {
        "digests": {
            **{file: _digest(content) for file, content in files.items()},
            "walk_forward.parquet": _digest(frame.to_csv(index=False).encode()),
            "decisions": _digest(json.dumps(decisions, sort_keys=True).encode()),
        },
        "contract": json.loads(files["config_snapshot.json"]),
        "calibrator": json.loads(files["calibrator.json"]),
        "metrics": json.loads(files["metrics.json"]),
        "evidence": json.loads(files["evidence.json"]),
        "run_metrics": metrics,
        "run_params": {k: v for k, v in run.data.params.items() if k not in _VARYING_PARAMS},
        "version_tags": {k: v for k, v in registered.tags.items() if k not in _VARYING_TAGS},
        "decisions": decisions[-5:],
    }


def differences(golden: Any, observed: Any, tolerance: float, place: str = "") -> list[str]:
    """Return one line for each place where two values differ by more than a relative tolerance.

    Texts must be equal, except where numbers may differ: digests and numbers that are written as
    text follow from other bits.
    """
    if isinstance(golden, dict) and isinstance(observed, dict):
        if set(golden) != set(observed):
            return [f"{place}: keys {sorted(set(golden) ^ set(observed))} stand on one side only"]
        pairs = [(golden[k], observed[k], f"{place}/{k}") for k in golden]
        return [line for a, b, p in pairs for line in differences(a, b, tolerance, p)]
    if isinstance(golden, list) and isinstance(observed, list):
        if len(golden) != len(observed):
            return [f"{place}: {len(golden)} entries became {len(observed)}"]
        triples = [
            (a, b, f"{place}/{n}") for n, (a, b) in enumerate(zip(golden, observed, strict=True))
        ]
        return [line for a, b, p in triples for line in differences(a, b, tolerance, p)]
    numbers = isinstance(golden, int | float) and isinstance(observed, int | float)
    if numbers and math.isclose(golden, observed, rel_tol=tolerance, abs_tol=tolerance):
        return []
    if golden == observed or (tolerance and isinstance(golden, str) and not numbers):
        return []
    return [f"{place}: {golden!r} became {observed!r}"]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write() -> None:
    """Train, trade and write the golden file, with the code of this checkout."""
    import os
    import subprocess
    import sys

    root = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        settings = {**os.environ, "MLFLOW_TRACKING_URI": uri, "PYTHONPATH": str(root)}

        def run(*arguments: str) -> str:
            command = [sys.executable, *arguments]
            return subprocess.run(
                command, cwd=folder, env=settings, check=True, text=True, stdout=subprocess.PIPE
            ).stdout

        run("-m", "trainer", "train", *train_options())
        decisions = {
            name: json.loads(
                run(
                    str(root / "trader.py"), "--model", f"models:/{name}-EURUSD@latest",
                    "--source", "sample", "--last", "300", "--json",
                )
            )["decisions"]
            for name in MODELS
        }  # fmt: skip
        golden = observe(uri, decisions)
    GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    _write()
