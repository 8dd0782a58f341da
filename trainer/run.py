"""A training run: tasks to workers, candidates to MLflow, sound ones to the registry."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from trainer.config import TrainConfig
from trainer.engine import Engine, Listener
from trainer.errors import TrainerError
from trainer.fit_cache import FitCache
from trainer.manifest import MANIFEST, MANIFEST_TAG, sha256
from trainer.registry import register_verified
from trainer.scratch import scratch_folder
from trainer.store import STORE_ERRORS, shown, store_error
from trainer.task import Outcome, Task, TrainedModel
from trainer.tracking import Tracking, describe, open_tracking
from trainer.verify import Verifier


@dataclass(frozen=True)
class Result:
    """What became of one task.

    Attributes
    ----------
    outcome : Outcome
        How training ended; its `error` also says why a candidate was not registered.
    version : str or None
        Registered version.
    seconds : dict of str to float
        Wall time of logging and verifying, beside the worker's own phases.
    """

    outcome: Outcome
    version: str | None
    seconds: dict[str, float]


@dataclass(frozen=True)
class Summary:
    """A finished run: its results in the order of the tasks, and where to look at them."""

    results: list[Result]
    tracking_uri: str
    compare_link: str

    @property
    def failed(self) -> bool:
        """Whether any task has no registered version."""
        return any(result.version is None for result in self.results)


def train(
    config: TrainConfig,
    engine: Engine,
    *,
    listen: Listener,
    finished: Callable[[Result], None],
) -> Summary:
    """Train every model for every symbol and register what is sound.

    Parameters
    ----------
    config : TrainConfig
    engine : Engine
        Open worker processes.
    listen : callable
        Told of progress within tasks.
    finished : callable
        Told of each result as it comes.

    Returns
    -------
    Summary

    Raises
    ------
    TrainerError
        If MLflow cannot be used. A failing task is part of the summary instead.
    """
    tasks = [Task(symbol, model) for symbol in config.symbols for model in config.models]
    results: dict[Task, Result] = {}
    with (
        open_tracking(config.experiment, config.model_dump()) as tracking,
        scratch_folder() as workspace,
        Verifier(tracking.uri, os.environ, len(tasks), config.surely_needed) as verifier,
    ):
        for outcome in engine.run(tasks, workspace, listen):
            results[outcome.task] = _record(tracking, verifier, outcome)
            finished(results[outcome.task])
        if config.fit_cache:
            FitCache(Path(config.fit_cache_folder)).prune()
        summary = Summary([results[t] for t in tasks], shown(tracking.uri), tracking.compare_link())
        if summary.failed:
            tracking.fail()
        return summary


def _record(tracking: Tracking, verifier: Verifier, outcome: Outcome) -> Result:
    """Log a task's outcome, and verify and register its candidate."""
    clock = time.perf_counter()
    seconds: dict[str, float] = {}
    try:
        with tracking.child(outcome) as run_id:
            if outcome.trained is None:
                return Result(outcome, None, seconds)
            uri = tracking.log(run_id, outcome.task, outcome.trained)
            seconds["log"] = time.perf_counter() - clock
            version = register_verified(
                tracking.client,
                uri,
                outcome.task.name,
                tags=_version_tags(run_id, outcome.trained),
                description=describe(outcome.trained),
                verifier=verifier,
            )
            seconds["verify"] = time.perf_counter() - clock - seconds["log"]
            return Result(outcome, str(version.version), seconds)
    except STORE_ERRORS as error:
        # The others go on: a full disk or a server that went away may be back for them.
        text = str(store_error(tracking.uri, error))
        return Result(replace(outcome, trained=None, error=text), None, seconds)
    except TrainerError as error:
        return Result(replace(outcome, trained=None, error=str(error)), None, seconds)


def _version_tags(run_id: str, trained: TrainedModel) -> dict[str, str]:
    return {
        "run_id": run_id,
        # Beside the files, and not among them: who alters them cannot alter this with them.
        MANIFEST_TAG: sha256(trained.folder / MANIFEST),
        "data_digest": str(trained.data["digest"]),
        "feature_signature": str(trained.params["feature_signature"]),
        # What a trader says of it.
        "status": trained.status,
        "status_reason": trained.status_reason,
        **{
            name: f"{trained.metrics[name]:.4f}"
            for name in ("wf_net_sharpe", "wf_gross_sharpe")
            if math.isfinite(trained.metrics[name])
        },
    }
