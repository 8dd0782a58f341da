"""A training run: tasks to workers, candidates to MLflow, sound ones to the registry."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from trainer.config import TrainConfig
from trainer.errors import TrainerError
from trainer.evidence.dossier import walk_forward_figures
from trainer.evidence.verdict import Verdict, judge
from trainer.job import Outcome, Task, TrainedModel
from trainer.jobs.local_cluster import Engine, Listener
from trainer.procedure.fit_cache import FitCache
from trainer.registry.register import register_verified
from trainer.registry.verify import Verifier
from trainer.report.markdown import describe
from trainer.scratch import scratch_folder
from trainer.serving.manifest import MANIFEST, MANIFEST_TAG, sha256
from trainer.statistics.costs import Terms
from trainer.tracking.mlflow_runs import Tracking, open_tracking
from trainer.tracking.store import STORE_ERRORS, shown, store_error
from trainer.tracking.trials import find_campaign


@dataclass(frozen=True)
class Result:
    """What became of one task.

    Attributes
    ----------
    outcome : Outcome
        How training ended; its `error` also says why a candidate was not registered.
    version : str or None
        Registered version.
    verdict : Verdict or None
        What the evidence says of it; None if there is no model.
    seconds : dict of str to float
        Wall time of logging and verifying, beside the worker's own phases.
    run_id : str
        Its run; empty if there is no model.
    """

    outcome: Outcome
    version: str | None
    verdict: Verdict | None
    seconds: dict[str, float]
    run_id: str = ""


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
        _conclude(tracking, results)
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
            trained = outcome.trained
            if trained is None:
                return Result(outcome, None, None, seconds)
            # The other trials are not all in yet.
            verdict = Verdict.of(trained.flat_because, [])
            uri = tracking.log(run_id, outcome.task, trained, verdict)
            seconds["log"] = time.perf_counter() - clock
            version = register_verified(
                tracking.client,
                uri,
                outcome.task.name,
                tags=_version_tags(run_id, trained, verdict),
                description=describe(trained, verdict),
                verifier=verifier,
            )
            seconds["verify"] = time.perf_counter() - clock - seconds["log"]
            return Result(outcome, str(version.version), verdict, seconds, run_id)
    except STORE_ERRORS as error:
        # The others go on: a full disk or a server that went away may be back for them.
        text = str(store_error(tracking.uri, error))
        return Result(replace(outcome, trained=None, error=text), None, None, seconds)
    except TrainerError as error:
        return Result(replace(outcome, trained=None, error=str(error)), None, None, seconds)


def _conclude(tracking: Tracking, results: dict[Task, Result]) -> None:
    """Hold each candidate against all trials of its symbol, those of this command included."""
    records = {
        result.outcome.trained.record.digest: result.outcome.trained.record
        for result in results.values()
        if result.outcome.trained is not None
    }
    for symbol in {task.symbol: None for task in results}:
        campaign = None
        for task, result in results.items():
            trained, version = result.outcome.trained, result.version
            if task.symbol != symbol or trained is None or version is None:
                continue
            try:
                if campaign is None:
                    campaign = find_campaign(tracking.client, tracking.experiment_id, symbol)
                    campaign.records.update(records)
                contract = trained.contract
                terms = Terms(contract.costs, trained.params["periods_per_year"])
                figures = campaign.figures(trained.record, interval=contract.interval, terms=terms)
                own = walk_forward_figures(trained.metrics)
                verdict = Verdict.of(trained.flat_because, judge({**own, **figures}))
                tracking.conclude(result.run_id, task, version, trained, verdict, figures)
                results[task] = replace(result, verdict=verdict)
            except (TrainerError, *STORE_ERRORS) as error:
                # It is registered and stays so; `promote` gathers the evidence again.
                text = f"registered, but its evidence could not be gathered: {error}"
                results[task] = replace(result, outcome=replace(result.outcome, error=text))


def _version_tags(run_id: str, trained: TrainedModel, verdict: Verdict) -> dict[str, str]:
    return {
        "run_id": run_id,
        # Beside the files, and not among them: who alters them cannot alter this with them.
        MANIFEST_TAG: sha256(trained.folder / MANIFEST),
        "data_digest": str(trained.data["digest"]),
        "feature_signature": str(trained.params["feature_signature"]),
        # What a trader says of it.
        "status": verdict.status,
        "status_reason": verdict.reason,
        **{
            name: f"{trained.metrics[name]:.4f}"
            for name in ("wf_net_sharpe", "wf_gross_sharpe")
            if math.isfinite(trained.metrics[name])
        },
    }
