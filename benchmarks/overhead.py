"""Share of the processor time of a standard training command that is not spent on fits."""

from __future__ import annotations

import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from benchmarks.command import CommandLine
from benchmarks.inputs import real_source
from benchmarks.measure import BenchmarkResult, Options, Target
from trainer.tracking.tag_names import COMMAND, KIND, MODEL, SYMBOL

#: Models that are trained by default, and the one with the shortest fits: its command spends the
#: largest share on everything else.
_DEFAULTS, _SHORTEST = "gru,lightgbm,ppo", "lightgbm"
_QUICK_PARAMS = {
    "gru": "gru.max_epochs=1",
    "lightgbm": "lightgbm.num_boost_round=5",
    "ppo": "ppo.timesteps=2000",
}


@dataclass(frozen=True)
class _Command:
    """Seconds of one training command.

    Attributes
    ----------
    cpu : float
        Processor time of the command, its workers included.
    before, during, after : float
        Wall time until the first job begins, while jobs run, and after the last one has ended.
    jobs : dict of str to dict of str to float
        Wall time of each job by phase: ``whole`` is all of it, ``fits`` are added up over workers.
    parts : dict of str to float
        Parts of `before` and `after`.
    """

    cpu: float
    before: float
    during: float
    after: float
    jobs: dict[str, dict[str, float]]
    parts: dict[str, float]

    @property
    def whole(self) -> float:
        return self.before + self.during + self.after

    @property
    def fitting(self) -> float:
        """Seconds of all fits, each on one thread."""
        return sum(job["fits"] for job in self.jobs.values())

    @property
    def not_fitting(self) -> float:
        """Share of the processor time that is not spent on fits, in percent."""
        return 100 * (1 - self.fitting / self.cpu)

    def to_json(self) -> dict[str, Any]:
        return {
            "cpu": self.cpu,
            "before": self.before,
            "during": self.during,
            "after": self.after,
            "tasks": self.jobs,
            "parts": self.parts,
        }


def run(options: Options) -> BenchmarkResult:
    source, symbol, description = real_source("sample" if options.quick else options.source)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = ["--symbols", symbol, "--source", source]
        first = _train(folder, _SHORTEST, data, options.quick)
        second = _train(folder, _SHORTEST, data, options.quick)
        defaults = _train(folder, _DEFAULTS, data, options.quick)
    result = BenchmarkResult(
        "overhead",
        f"{description} `barwright train`, one symbol, as a user starts it: the whole command, "
        f"from start to exit. Shares are of the processor time of all of its processes. "
        f"Once with its defaults ({_DEFAULTS}), and twice with {_SHORTEST} "
        "only, which has the shortest fits: the first run is in a new folder, where MLflow makes "
        "its database and features are computed; the second run reuses both.",
        data={
            "first": first.to_json(),
            "second": second.to_json(),
            "defaults": defaults.to_json(),
        },
    )
    _add_phases(result, first, second)
    _add_jobs(result, defaults)
    for name, command in (
        ("defaults", defaults),
        (f"{_SHORTEST} only, first run", first),
        (f"{_SHORTEST} only, second run", second),
    ):
        share = command.not_fitting
        result.targets.append(Target(f"not fitting, {name}", share, 15, False, " %"))
    return result


def _add_phases(result: BenchmarkResult, first: _Command, second: _Command) -> None:
    """Add the phases of both commands with one job."""
    seconds = _phases(first)
    rows = [
        [name, f"{seconds[name]:.2f}", f"{again:.2f}", f"{again / second.whole:.1%}"]
        for name, again in _phases(second).items()
    ]
    result.add_table(
        f"{_SHORTEST} only: wall seconds", ["phase", "first", "second", "of second"], rows
    )


def _add_jobs(result: BenchmarkResult, command: _Command) -> None:
    """Add the jobs of the command with the default models."""
    result.add_table(
        "defaults: wall seconds",
        ["", "whole", "fits"],
        [
            ["before the first job", f"{command.before:.2f}", "-"],
            *(
                [name, f"{job['whole']:.2f}", f"{job['fits']:.2f}"]
                for name, job in command.jobs.items()
            ),
            ["after the last job", f"{command.after:.2f}", "-"],
            ["whole command", f"{command.whole:.2f}", "-"],
            ["whole command, processor time", f"{command.cpu:.2f}", f"{command.fitting:.2f}"],
        ],
    )


def _phases(command: _Command) -> dict[str, float]:
    """Return the seconds of a command with one job, in the order of time."""
    (job,) = command.jobs.values()
    scores = job["walk_forward"] + job["production"]
    evidence = job["evidence"] + job["figures"]
    alone = job["data"] + scores + evidence + job["save"]
    return {
        "imports, MLflow store": command.parts["store"],
        "worker starts": command.before - command.parts["store"],
        "data": job["data"],
        "plan, and fits on all workers": job["whole"] - alone,
        "scores, calibration, thresholds, metrics": scores,
        "evidence, figures": evidence,
        "save": job["save"],
        "log, verify in a fresh process, register": command.parts["register"],
        "table, shut-down": command.after - command.parts["register"],
        "whole command": command.whole,
    }


def _train(folder: Path, models: str, data: list[str], quick: bool) -> _Command:
    """Run the command in `folder`, and read the times of its jobs from MLflow."""
    command_line = CommandLine(folder)
    # Without the fit cache every fit is made; `caching` measures what the cache saves.
    arguments = ["--models", models, *data, "--fit-cache", "off"]
    if quick:
        few = ",".join(_QUICK_PARAMS[model] for model in models.split(","))
        arguments += ["--n-splits", "2", "--wf-splits", "2", "--params", few]
    started, cpu = time.time(), _children_cpu()
    command_line.run("train", *arguments, "--unchanged", "train")
    ended, cpu = time.time(), _children_cpu() - cpu
    parent, children, registered = _logged(command_line.uri)
    first = min(child.info.start_time for child in children) / 1e3
    last = max(child.info.end_time for child in children) / 1e3
    return _Command(
        cpu=cpu,
        before=first - started,
        during=last - first,
        after=ended - last,
        jobs={
            f"{child.data.tags[MODEL]}-{child.data.tags[SYMBOL]}": _seconds(child)
            for child in children
        },
        parts={"store": parent.info.start_time / 1e3 - started, "register": registered - last},
    )


def _children_cpu() -> float:
    """Return the processor seconds of all child processes that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _seconds(child: Run) -> dict[str, float]:
    """Return the seconds of a job as a whole and by phase."""
    prefix = "seconds/"
    return {
        "whole": (child.info.end_time - child.info.start_time) / 1e3,
        **{
            name.removeprefix(prefix): value
            for name, value in child.data.metrics.items()
            if name.startswith(prefix)
        },
    }


def _logged(uri: str) -> tuple[Run, list[Run], float]:
    """Return the latest run of a command, its candidates, and the time of the last registration."""
    client = MlflowClient(uri, uri)
    experiments = [e.experiment_id for e in client.search_experiments()]
    newest = ["attributes.start_time DESC"]
    (parent,) = client.search_runs(experiments, f"tags.{KIND} = '{COMMAND}'", 1, 1, newest)
    children = client.search_runs(
        experiments, f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    )
    versions = client.search_model_versions()
    return parent, list(children), max(v.creation_timestamp for v in versions) / 1e3
