"""A search: studies of settings on workers, then a training with the best settings of each."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from barwright import BarwrightError
from trainer.config import TrainConfig
from trainer.dataset import make_builder
from trainer.job import Job
from trainer.jobs.job_cache import check_fit_cache
from trainer.jobs.run_names import command_run_name
from trainer.jobs.run_trial import (
    SEARCH_BLOCKS,
    SEARCH_FOLDS,
    FirstPart,
    TrialTask,
    run_trial,
)
from trainer.jobs.train import Registration, Summary, train_jobs
from trainer.jobs.worker_pool import OnJobProgress, Task, WorkerPool, death_text
from trainer.registry.verify import Verifier
from trainer.run_file import run_file_text
from trainer.search.space import Space
from trainer.search.study import BATCH, known_before, propose
from trainer.search.trial import Trial, best_trial
from trainer.tracking.mlflow_runs import Tracking, open_tracking
from trainer.tracking.search_runs import find_search_trials, log_trial

#: Increase it when a study of equal settings would have other trials.
_FORMAT = 1


@dataclass(eq=False)
class Study:
    """The study of one model for one symbol.

    Attributes
    ----------
    job : Job
    error : str
        Why it ended early; empty if it did not.
    key : str
        Its name in the store; empty if the bars could not be read.
    part : FirstPart or None
    space : Space or None
    trials : dict of int to Trial
        By number.
    read : int
        Trials that an earlier command had made.
    running : int
        Trials on workers.
    """

    job: Job
    error: str = ""
    key: str = ""
    part: FirstPart | None = None
    space: Space | None = None
    trials: dict[int, Trial] = field(default_factory=dict)
    read: int = 0
    running: int = 0

    @property
    def best(self) -> Trial | None:
        """The trial whose settings are trained; None if none earned anything."""
        return None if self.error else best_trial(list(self.trials.values()))

    def count(self, state: str) -> int:
        """Return the number of trials that ended so."""
        return sum(trial.state == state for trial in self.trials.values())


@dataclass(frozen=True)
class SearchSummary:
    """A finished search.

    Attributes
    ----------
    studies : list of Study
    trained : Summary or None
        Training with the best settings; None if no study found any.
    """

    studies: list[Study]
    trained: Summary | None

    @property
    def failed(self) -> bool:
        """Whether a study ended early, or a training has no registered version."""
        failed = any(study.error for study in self.studies)
        return failed or (self.trained is not None and self.trained.failed)


def search(
    config: TrainConfig,
    given: Mapping[str, Any],
    budget: int,
    pool: WorkerPool,
    *,
    on_progress: OnJobProgress,
    on_trial: Callable[[Study, Trial], None],
    on_result: Callable[[Registration], None],
) -> SearchSummary:
    """Search settings for every model and symbol, then train each with its best ones.

    Parameters
    ----------
    config : TrainConfig
    given : mapping of str to value
        Options that the command names: they are not varied.
    budget : int
        Trials of each study, those of an earlier command with the same settings included.
    pool : WorkerPool
    on_progress, on_result
        As in `trainer.jobs.train.train`.
    on_trial : callable
        Called with each study and its trial as they end.

    Returns
    -------
    SearchSummary

    Raises
    ------
    TrainerError
        If MLflow or the fit cache cannot be used.
    """
    check_fit_cache(config)
    options = {**config.logged(), "budget": budget}
    name = command_run_name(config, "search")
    run_file = run_file_text(config, cluster=False)
    with open_tracking(config.experiment, options, name, run_file) as tracking:
        studies = [
            study
            for symbol in config.symbols
            for study in _open_studies(symbol, config, given, tracking)
        ]
        _run_trials(studies, config, budget, pool, tracking, on_progress, on_trial)
        configs = _chosen_configs(studies, config)
        trained = None
        if configs:
            with Verifier(os.environ, config.models) as verifier:
                trained = train_jobs(
                    configs,
                    nullcontext(pool),
                    tracking,
                    verifier,
                    on_progress=on_progress,
                    on_result=on_result,
                )
        summary = SearchSummary(studies, trained)
        if summary.failed and (trained is None or not trained.failed):
            tracking.fail()
        return summary


def _open_studies(
    symbol: str, config: TrainConfig, given: Mapping[str, Any], tracking: Tracking
) -> list[Study]:
    """Return the studies of a symbol, one a model."""
    jobs = [Job(symbol, model) for model in config.models]
    try:
        part = FirstPart.of(symbol, config)
    except BarwrightError as error:
        return [Study(job, error=str(error)) for job in jobs]
    return [_open_study(job, config, given, part, tracking) for job in jobs]


def _open_study(
    job: Job,
    config: TrainConfig,
    given: Mapping[str, Any],
    part: FirstPart,
    tracking: Tracking,
) -> Study:
    """Return a study with the trials that an earlier command made."""
    try:
        space = Space.of(job.model, config, given)
        key = _key(job, config, space, part)
        trials = find_search_trials(tracking.client, tracking.experiment_id, key, job)
        space.check(trials)
    except BarwrightError as error:
        return Study(job, error=str(error))
    study = Study(job, key=key, part=part, space=space, trials={t.number: t for t in trials})
    study.read = len(trials)
    return study


def _key(job: Job, config: TrainConfig, space: Space, part: FirstPart) -> str:
    """Return the name of the study: equal for commands that would make equal trials."""
    settings = {
        "format": _FORMAT,
        "job": [job.symbol, job.model],
        "settings": config.model_settings(),
        # A file of features may change while its name stays.
        "features": make_builder(config).features.signature.to_json(),
        "dimensions": repr(space.dimensions),
        "start": space.start,
        "bars": [part.digest, len(part.frame), SEARCH_BLOCKS, SEARCH_FOLDS],
    }
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _run_trials(
    studies: list[Study],
    config: TrainConfig,
    budget: int,
    pool: WorkerPool,
    tracking: Tracking,
    on_progress: OnJobProgress,
    on_trial: Callable[[Study, Trial], None],
) -> None:
    """Run the trials of all studies, batch by batch, and log each when it ends."""
    by_name = {study.job.name: study for study in studies}
    waiting = _Queue()
    for study in studies:
        waiting += _next_batch(study, config, budget)
    for end in pool.each(waiting, on_progress):
        task: TrialTask = end.task.arguments[0]
        trial = end.result
        if end.error is not None:
            trial = Trial(task.number, task.values, "failed", error=death_text(end.error))
        study = by_name[end.task.name]
        log_trial(tracking, study.key, study.job, task.config, trial)
        study.trials[trial.number] = trial
        study.running -= 1
        if trial.number == 0 and trial.state == "failed":
            study.error = f"trial 1, with the settings of the command, failed: {trial.error}"
        on_trial(study, trial)
        waiting += _next_batch(study, config, budget)


class _Queue(deque[Task]):
    """Tasks in the order in which they were appended."""

    more = False

    def take(self, n_workers: int) -> Task | None:
        """Return the next task."""
        return self.popleft() if self else None


def _next_batch(study: Study, config: TrainConfig, budget: int) -> list[Task]:
    """Return the tasks of the next trials, if all of the batch before have ended."""
    if study.error or study.running or study.part is None or study.space is None:
        return []
    missing = [number for number in range(budget) if number not in study.trials]
    if not missing:
        return []
    past = known_before(list(study.trials.values()), missing[0])
    seed = config.seed_of(study.job.symbol, study.job.model)
    tasks = []
    for number in missing:
        if number // BATCH != missing[0] // BATCH:
            break
        values = propose(study.space, past, number, seed)
        settings = study.space.apply(config, values)
        task = TrialTask(study.job, settings, study.part, study.space, tuple(past), number, values)
        tasks.append(Task(study.job.name, run_trial, (task,)))
    study.running = len(tasks)
    return tasks


def _chosen_configs(studies: list[Study], config: TrainConfig) -> dict[Job, TrainConfig]:
    """Return the settings of the best trial of each study, for a training on all bars."""
    configs = {}
    for study in studies:
        best, space, part, job = study.best, study.space, study.part, study.job
        if best is None or space is None or part is None:
            continue
        own = {"search": study.key, "symbols": (job.symbol,), "models": (job.model,)}
        chosen = space.apply(config, best.values).model_copy(update=own)
        if part.touches_headline(job.symbol, chosen):
            study.error = (
                "the headline of its best settings would begin within the bars of the search; "
                "give fewer --wf-splits"
            )
            continue
        configs[job] = chosen
    return configs
