"""A training run: jobs on workers, their candidates in MLflow, sound candidates in the registry."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from trainer.config import TrainConfig
from trainer.errors import TrainerError
from trainer.evidence.verdict import Verdict, judge
from trainer.job import Job, JobResult, TrainedModel, jobs_of
from trainer.jobs.job_cache import check_fit_cache, fit_cache_of
from trainer.jobs.run_names import command_run_name, job_run_name
from trainer.jobs.unchanged import Unchanged, settings_digest
from trainer.registry.claims import TagHolder, exclusive_claim
from trainer.registry.newest import KeptVersion, Newest
from trainer.registry.register import register_verified
from trainer.registry.verify import Verifier
from trainer.registry.version_tags import version_tags
from trainer.report.html import candidate_report
from trainer.report.markdown import describe
from trainer.report.page import Page
from trainer.run_file import job_run_file, run_file_text
from trainer.scratch import scratch_folder
from trainer.serving.manifest import MANIFEST, sha256
from trainer.startup import work_for_long
from trainer.tracking.mlflow_runs import Tracking, open_tracking
from trainer.tracking.outage import through_outages
from trainer.tracking.search_runs import find_search_trials
from trainer.tracking.store import STORE_ERRORS, redacted, store_error
from trainer.tracking.trials import Trials, find_trials

if TYPE_CHECKING:
    from trainer.jobs.worker_pool import OnJobProgress, WorkerPool

#: Seconds that a job waits for another command which registers a version of the same name.
_PATIENCE = 300.0


@dataclass(frozen=True)
class Registration:
    """A job's result with the version that was registered for it, or kept.

    Attributes
    ----------
    result : JobResult
        End of the job. Its `error` is also the reason why a candidate was not registered.
    version : str or None
        Registered version.
    verdict : Verdict or None
        Verdict on the evidence; None if there is no model.
    seconds : dict of str to float
        Wall time of logging and verifying, beside the worker's own phases.
    run_id : str
        Run of the candidate; empty if there is no model.
    kept : KeptVersion or None
        The version that is there already, if it was not made by this command.
    """

    result: JobResult
    version: str | None
    verdict: Verdict | None
    seconds: dict[str, float] = field(default_factory=dict)
    run_id: str = ""
    kept: KeptVersion | None = None

    @classmethod
    def of_kept(cls, result: JobResult, kept: KeptVersion) -> Registration:
        """Return the registration of a job whose version is there already."""
        result = replace(result, trained=None)
        return cls(result, kept.version, kept.verdict, run_id=kept.run_id, kept=kept)

    @property
    def metrics(self) -> Mapping[str, float]:
        """Metrics of the walk-forward, without prefix; empty if there is no model."""
        if self.kept is not None:
            return self.kept.metrics
        return {} if self.result.trained is None else self.result.trained.headline.metrics


@dataclass(frozen=True)
class Summary:
    """A finished training run.

    Attributes
    ----------
    results : list of Registration
        In the order of the jobs: by symbol, then by model.
    tracking_uri : str
        Address of the store, without a password.
    compare_link : str
        Address in MLflow's UI that ranks the candidates.
    """

    results: list[Registration]
    tracking_uri: str
    compare_link: str

    @property
    def failed(self) -> bool:
        """Whether any job has no registered version."""
        return any(registration.version is None for registration in self.results)


def train(
    config: TrainConfig,
    pool: AbstractContextManager[WorkerPool],
    verifier: Verifier,
    *,
    on_progress: OnJobProgress,
    on_result: Callable[[Registration], None],
) -> Summary:
    """Train every model for every symbol and register the candidates that pass verification.

    Parameters
    ----------
    config : TrainConfig
    pool : context manager of WorkerPool
        Opened only if a job has to be trained.
    verifier : Verifier
        Open; its store is named here.
    on_progress : callable
        Called with name of the job, phase, units that are done, units in total.
    on_result : callable
        Called with each registration as it comes.

    Returns
    -------
    Summary

    Raises
    ------
    TrainerError
        If MLflow or the fit cache cannot be used. The summary contains the jobs that failed.
    """
    check_fit_cache(config)
    jobs = jobs_of(config)
    name, run_file = command_run_name(config), run_file_text(config, cluster=False)
    with open_tracking(config.experiment, config.logged(), name, run_file) as tracking:
        if config.search:
            _check_search(tracking, jobs, config)
        return train_jobs(
            dict.fromkeys(jobs, config),
            pool,
            tracking,
            verifier,
            on_progress=on_progress,
            on_result=on_result,
        )


def _check_search(tracking: Tracking, jobs: Sequence[Job], config: TrainConfig) -> None:
    """Check that the study that is named has trials of every job."""
    for job in jobs:
        if not find_search_trials(tracking.client, tracking.experiment_id, config.search, job):
            raise TrainerError(
                f"`--search` must be a study of {job.name} in this experiment, got "
                f"{config.search!r}; give the name that `barwright search` printed, or leave it out"
            )


def train_jobs(
    configs: Mapping[Job, TrainConfig],
    pool: AbstractContextManager[WorkerPool],
    tracking: Tracking,
    verifier: Verifier,
    *,
    on_progress: OnJobProgress,
    on_result: Callable[[Registration], None],
) -> Summary:
    """Train each job with its settings, in the parent run of an open command.

    A job that would make its newest version again is not trained, unless its settings say so.

    Parameters
    ----------
    configs : mapping of Job to TrainConfig
        At least one.
    pool, verifier, on_progress, on_result
        As in `train`.
    tracking : Tracking
        Its run ends as FAILED if a job has no registered version.

    Returns
    -------
    Summary
    """
    newest = Newest(tracking.client, tracking.experiment_id)
    unchanged, registrations = Unchanged(newest), dict[Job, Registration]()
    for job, config in configs.items():
        kept = unchanged.find(job, config)
        if kept is not None and config.unchanged == "keep":
            now = time.time()
            registrations[job] = Registration.of_kept(JobResult(job, now, now), kept)
            on_result(registrations[job])
    if registrations:
        tracking.count_unchanged(len(registrations))
    left = {job: config for job, config in configs.items() if job not in registrations}
    if left:
        # A command without anything to train needs no cluster.
        from trainer.jobs.training import run_jobs

        work_for_long()
        verifier.open(tracking.uri)
        with pool as workers, scratch_folder() as workspace:
            for result in run_jobs(left, workers, workspace, on_progress):
                config = left[result.job]
                registrations[result.job] = _register(tracking, verifier, newest, result, config)
                on_result(registrations[result.job])
                of_symbol = [job for job in left if job.symbol == result.job.symbol]
                if all(job in registrations for job in of_symbol):
                    _conclude_symbol(tracking, of_symbol, registrations, left)
    for config in {config.fit_cache_folder: config for config in left.values()}.values():
        if cache := fit_cache_of(config):
            cache.tidy()
    summary = Summary(
        [registrations[job] for job in configs], redacted(tracking.uri), tracking.compare_link()
    )
    if summary.failed:
        tracking.fail()
    return summary


def _register(
    tracking: Tracking,
    verifier: Verifier,
    newest: Newest,
    result: JobResult,
    config: TrainConfig,
) -> Registration:
    """Log the result of a job in a run, then verify and register its candidate.

    Another command may have registered an equal version since this one began: then that is kept.
    """
    try:
        return through_outages(
            tracking.uri, lambda: _try_to_register(tracking, verifier, newest, result, config)
        )
    except STORE_ERRORS as error:
        # The other jobs go on: the next call of a full disk or a stopped server may succeed.
        text = str(store_error(tracking.uri, error))
    except TrainerError as error:
        text = str(error)
    return Registration(replace(result, trained=None, error=text), None, None)


def _try_to_register(
    tracking: Tracking,
    verifier: Verifier,
    newest: Newest,
    result: JobResult,
    config: TrainConfig,
) -> Registration:
    job, trained = result.job, result.trained
    tracking.end_broken_runs()  # what an outage has broken is no trial
    if trained is None:
        with tracking.child(result, job_run_name(job, config)):
            return Registration(result, None, None)
    trained = replace(trained, settings_digest=settings_digest(job, config))
    result = replace(result, trained=trained)
    experiment = TagHolder.experiment(tracking.client, tracking.experiment_id)
    what, text = f"registering.{job.name}", f"{job.name} is being registered"
    with exclusive_claim(experiment, what, text, patience=_PATIENCE):
        kept = newest.equal(job.name, trained.settings_digest, trained.data.digest)
        if kept is not None and newest.is_left(job.name, kept, sha256(trained.folder / MANIFEST)):
            tracking.finish(kept.run_id)
            return Registration(result, kept.version, kept.verdict, {}, kept.run_id)
        if kept is not None and config.unchanged == "keep":
            return Registration.of_kept(result, kept)
        return _log_and_register(tracking, verifier, result, trained, config)


def _log_and_register(
    tracking: Tracking,
    verifier: Verifier,
    result: JobResult,
    trained: TrainedModel,
    config: TrainConfig,
) -> Registration:
    start = time.perf_counter()
    seconds: dict[str, float] = {}
    job = result.job
    with tracking.child(result, job_run_name(job, config)) as run_id:
        # The criteria need all trials, and other jobs may still run.
        verdict = Verdict.of(trained.flat_because, [])
        note = describe(trained, verdict)
        run_file = job_run_file(job, config)
        uri = tracking.log(run_id, job, trained, note, verdict.status, run_file)
        seconds["log"] = time.perf_counter() - start
        version = register_verified(
            tracking.client,
            uri,
            job.name,
            tags=version_tags(run_id, trained, verdict),
            description=note,
            verifier=verifier,
        )
        seconds["verify"] = time.perf_counter() - start - seconds["log"]
        return Registration(result, str(version.version), verdict, seconds, run_id)


def _conclude_symbol(
    tracking: Tracking,
    jobs: Sequence[Job],
    registrations: dict[Job, Registration],
    configs: Mapping[Job, TrainConfig],
) -> None:
    """Judge each version of a symbol with all of its trials, those of this command included.

    After that, what is in the store is no longer kept: a run may have hundreds of symbols.
    """
    ended = [registrations[job].result.trained for job in jobs]
    records = {trained.record.digest: trained.record for trained in ended if trained is not None}
    trials = None
    for job in jobs:
        registration = registrations[job]
        trained, version = registration.result.trained, registration.version
        if trained is None or version is None:
            continue
        try:
            if trials is None:
                find = partial(find_trials, tracking.client, tracking.experiment_id, job.symbol)
                trials = through_outages(tracking.uri, find)
                trials.records.update(records)
            conclude = partial(
                _conclude_version,
                tracking, trials, registration.run_id, job, version, trained, configs[job],
            )  # fmt: skip
            verdict = through_outages(tracking.uri, conclude)
            registration = replace(registration, verdict=verdict)
        except (TrainerError, *STORE_ERRORS) as error:
            # The version stays registered; `promote` gathers the evidence again.
            text = f"registered, but its evidence could not be gathered: {redacted(str(error))}"
            registration = replace(registration, result=replace(registration.result, error=text))
        shutil.rmtree(trained.folder, ignore_errors=True)
        result = replace(registration.result, trained=trained.slim())
        registrations[job] = replace(registration, result=result)


def _conclude_version(
    tracking: Tracking,
    trials: Trials,
    run_id: str,
    job: Job,
    version: str,
    trained: TrainedModel,
    config: TrainConfig,
) -> Verdict:
    """Judge a version with all trials; write verdict and report to its run and its version."""
    trial_metrics = trials.metrics(
        trained.record,
        interval=trained.contract.interval,
        terms=trained.terms,
        search=config.search,
    )
    criteria = judge({**trained.headline.metrics, **trial_metrics}, config.against)
    verdict = Verdict.of(trained.flat_because, criteria)
    searched = find_search_trials(tracking.client, tracking.experiment_id, config.search, job)
    page = replace(
        Page.of_trained(trained, verdict.status),
        search=tuple(searched),
        settings=job.settings_in(job_run_name(job, config)),
    )
    figures = trained.figures
    if searched:
        figures = {**figures, **_draw_search(page, trained)}
    about = {"version": f"{job.name} version {version}", "run": run_id}
    tracking.conclude(
        run_id,
        job,
        version,
        metrics=trial_metrics,
        note=describe(trained, verdict, trial_metrics),
        report_html=candidate_report(page, figures, verdict, trial_metrics, about),
        verdict=verdict,
    )
    return verdict


def _draw_search(page: Page, trained: TrainedModel) -> dict[str, bytes]:
    # A worker, which drew the other figures, does not know the trials.
    from trainer.report.figures import draw_figures

    return draw_figures(page, trained.record.to_frame(), only=("search",))
