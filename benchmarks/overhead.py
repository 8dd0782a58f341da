"""Share of a standard training command that is not fitting models."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.inputs import real_source
from benchmarks.measure import Options, Report, Target

_ROOT = Path(__file__).resolve().parent.parent


def run(options: Options) -> Report:
    source, symbol, which = real_source("sample" if options.quick else options.source)
    extra = ["--n-splits", "2", "--wf-splits", "2"] if options.quick else []
    if options.quick:
        extra += ["--params", "lightgbm.num_boost_round=5"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        first = _train(folder, source, symbol, extra)
        second = _train(folder, source, symbol, extra)
    report = Report(
        "overhead",
        f"{which} `barwright train` with its defaults, one symbol, as a user starts it: the whole "
        "command, from start to exit. First run: a new folder, so MLflow makes its database and "
        "features are computed; second run: both are there.",
        data={"first": first, "second": second},
    )
    rows = [
        [
            name,
            f"{first[name]:.2f}",
            f"{second[name]:.2f}",
            f"{second[name] / second['whole command']:.1%}",
        ]
        for name in first
    ]
    report.add_table("wall seconds", ["phase", "first run", "second run", "of second"], rows)
    for name, phases in (("first run", first), ("second run", second)):
        share = 100 * (1 - phases["fits"] / phases["whole command"])
        report.targets.append(Target(f"not fitting, {name}", share, 15, False, " %"))
    return report


def _train(folder: Path, source: str, symbol: str, extra: list[str]) -> dict[str, float]:
    """Run the command in `folder`; wall seconds of its phases, in order, and in all."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "MLFLOW_TRACKING_URI": uri}
    environment.pop("MLFLOW_RUN_ID", None)
    command = ["-m", "trainer", "train", "--models", "lightgbm", "--symbols", symbol]
    command += ["--source", source, *extra]
    started = time.time()
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    ended = time.time()
    if done.returncode:
        raise RuntimeError(f"the training command failed:\n{done.stdout}\n{done.stderr}")
    parent, child, version = _logged(uri, f"lightgbm-{symbol}")
    seconds = {
        k.removeprefix("seconds/"): v for k, v in child.data.metrics.items() if "seconds/" in k
    }
    worker = sum(v for k, v in seconds.items() if k != "fits")
    opened, begun = parent.info.start_time / 1e3, child.info.start_time / 1e3
    finished, registered = child.info.end_time / 1e3, version.creation_timestamp / 1e3
    procedure = seconds["walk_forward"] + seconds["production"]
    return {
        "imports, MLflow store": opened - started,
        "worker starts": begun - opened,
        "data": seconds["data"],
        "import of the model library": seconds["import"],
        "fits": seconds["fits"],
        "scores, calibration, thresholds, metrics": procedure - seconds["fits"],
        "save": seconds["save"],
        "rest of the worker": finished - begun - worker,
        "log, verify in a fresh process, register": registered - finished,
        "table, shut-down": ended - registered,
        "whole command": ended - started,
    }


def _logged(uri: str, name: str) -> tuple[Any, Any, Any]:
    """Latest command run, its candidate, and the version that came of it."""
    from mlflow import MlflowClient

    client = MlflowClient(uri, uri)
    experiments = [e.experiment_id for e in client.search_experiments()]
    newest = ["attributes.start_time DESC"]
    (parent,) = client.search_runs(experiments, "tags.kind = 'command'", 1, 1, newest)
    (child,) = client.search_runs(experiments, "tags.kind = 'candidate'", 1, 1, newest)
    versions = client.search_model_versions(f"name = '{name}'")
    return parent, child, max(versions, key=lambda v: int(v.version))
