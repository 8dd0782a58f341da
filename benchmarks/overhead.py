"""Share of a standard training command that is not fitting models."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.inputs import real_source
from benchmarks.measure import Options, Report, Target

_ROOT = Path(__file__).resolve().parent.parent


#: Trained by default, and the one whose fits are shortest: the hardest case for everything else.
_DEFAULTS, _SHORTEST = "gru,lightgbm,ppo", "lightgbm"


@dataclass(frozen=True)
class _Command:
    """Wall seconds of one training command."""

    #: Until the first task begins, while tasks run, and after the last one has ended.
    before: float
    during: float
    after: float
    #: Of each task: its own wall seconds by phase; ``fits`` are within the others.
    tasks: dict[str, dict[str, float]]
    #: Parts of `before` and `after`.
    parts: dict[str, float]

    @property
    def whole(self) -> float:
        return self.before + self.during + self.after

    @property
    def fitting(self) -> float:
        """Wall seconds that were spent on fits; where tasks ran side by side, their share."""
        busy = sum(task["whole"] for task in self.tasks.values())
        return self.during * sum(task["fits"] for task in self.tasks.values()) / busy

    @property
    def not_fitting(self) -> float:
        return 100 * (1 - self.fitting / self.whole)


def run(options: Options) -> Report:
    source, symbol, which = real_source("sample" if options.quick else options.source)
    extra = ["--n-splits", "2", "--wf-splits", "2"] if options.quick else []
    quick = ["--params", "lightgbm.num_boost_round=5"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        few = [*extra, *(quick if options.quick else [])]
        first = _train(folder, source, symbol, _SHORTEST, few)
        second = _train(folder, source, symbol, _SHORTEST, few)
        if options.quick:
            quick = ["--params", "lightgbm.num_boost_round=5,gru.max_epochs=1,ppo.timesteps=2000"]
        defaults = _train(folder, source, symbol, _DEFAULTS, [*extra, *quick * options.quick])
    report = Report(
        "overhead",
        f"{which} `barwright train`, one symbol, as a user starts it: the whole command, from "
        f"start to exit. Once with its defaults ({_DEFAULTS}), and with {_SHORTEST} alone, whose "
        "fits are the shortest: first run, in a new folder, where MLflow makes its database and "
        "features are computed; second run, where both are there.",
        data={"first": vars(first), "second": vars(second), "defaults": vars(defaults)},
    )
    phases = [_phases(first), _phases(second)]
    rows = [
        [name, f"{phases[0][name]:.2f}", f"{took:.2f}", f"{took / second.whole:.1%}"]
        for name, took in phases[1].items()
    ]
    report.add_table(
        f"{_SHORTEST} alone: wall seconds", ["phase", "first", "second", "of second"], rows
    )
    report.add_table(
        "defaults: wall seconds",
        ["", "whole", "fits"],
        [
            ["before the first task", f"{defaults.before:.2f}", "-"],
            *(
                [name, f"{task['whole']:.2f}", f"{task['fits']:.2f}"]
                for name, task in defaults.tasks.items()
            ),
            ["after the last task", f"{defaults.after:.2f}", "-"],
            ["whole command", f"{defaults.whole:.2f}", f"{defaults.fitting:.2f}"],
        ],
    )
    for name, command in (
        ("defaults", defaults),
        (f"{_SHORTEST} alone, first run", first),
        (f"{_SHORTEST} alone, second run", second),
    ):
        share = command.not_fitting
        report.targets.append(Target(f"not fitting, {name}", share, 15, False, " %"))
    return report


def _phases(command: _Command) -> dict[str, float]:
    """Seconds of a command with one task, in the order of time."""
    (task,) = command.tasks.values()
    procedure = task["walk_forward"] + task["production"]
    named = {name: task[name] for name in ("data", "import", "save")}
    return {
        "imports, MLflow store": command.parts["store"],
        "worker starts": command.before - command.parts["store"],
        "data": named["data"],
        "import of the model library": named["import"],
        "fits": task["fits"],
        "scores, calibration, thresholds, metrics": procedure - task["fits"],
        "save": named["save"],
        "rest of the worker": task["whole"] - procedure - sum(named.values()),
        "log, verify in a fresh process, register": command.parts["register"],
        "table, shut-down": command.after - command.parts["register"],
        "whole command": command.whole,
    }


def _train(folder: Path, source: str, symbol: str, models: str, extra: list[str]) -> _Command:
    """Run the command in `folder`, and read from MLflow how long everything took."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "MLFLOW_TRACKING_URI": uri}
    environment.pop("MLFLOW_RUN_ID", None)
    command = ["-m", "trainer", "train", "--models", models, "--symbols", symbol]
    # Every fit is made: what reading them saves is measured by `caching`.
    command += ["--source", source, "--fit-cache", "off", *extra]
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
    parent, children, registered = _logged(uri)
    begun = min(child.info.start_time for child in children) / 1e3
    finished = max(child.info.end_time for child in children) / 1e3
    tasks = {
        child.info.run_name: {
            "whole": (child.info.end_time - child.info.start_time) / 1e3,
            **{
                name.removeprefix("seconds/"): value
                for name, value in child.data.metrics.items()
                if name.startswith("seconds/")
            },
        }
        for child in children
    }
    parts = {"store": parent.info.start_time / 1e3 - started, "register": registered - finished}
    return _Command(begun - started, finished - begun, ended - finished, tasks, parts)


def _logged(uri: str) -> tuple[Any, list[Any], float]:
    """Latest command run, its candidates, and when the last version of them was registered."""
    from mlflow import MlflowClient

    client = MlflowClient(uri, uri)
    experiments = [e.experiment_id for e in client.search_experiments()]
    newest = ["attributes.start_time DESC"]
    (parent,) = client.search_runs(experiments, "tags.kind = 'command'", 1, 1, newest)
    children = client.search_runs(
        experiments, f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    )
    versions = client.search_model_versions()
    return parent, children, max(version.creation_timestamp for version in versions) / 1e3
