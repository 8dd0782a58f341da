"""Trials of a search as runs: written when they end, read by the search that goes on with them."""

from __future__ import annotations

import time

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from trainer.config import TrainConfig, option_text
from trainer.errors import TrainerError
from trainer.evidence.metric_names import stored_name
from trainer.evidence.record import RECORD_FILE
from trainer.job import Job
from trainer.scratch import scratch_folder
from trainer.search.trial import Trial
from trainer.tracking.mlflow_runs import Tracking
from trainer.tracking.store import find_runs
from trainer.tracking.tag_names import (
    FAILURE,
    KIND,
    MODEL,
    NOTE,
    PARENT_RUN,
    SEARCH,
    SEARCH_TRIAL,
    SYMBOL,
    TRIAL,
)


def log_trial(tracking: Tracking, search: str, job: Job, config: TrainConfig, trial: Trial) -> None:
    """Write a trial that ended as a run below the run of the command.

    Parameters
    ----------
    tracking : Tracking
    search : str
        Study of the trial.
    job : Job
    config : TrainConfig
        Settings of the trial.
    trial : Trial
        With its record if it is complete.
    """
    client, now = tracking.client, int(time.time() * 1000)
    failed = trial.state == "failed"
    run = client.create_run(
        tracking.experiment_id,
        start_time=now - int(trial.seconds * 1000),
        tags={
            PARENT_RUN: tracking.parent_id,
            # A trial without a result cannot be chosen, so it does not count.
            KIND: FAILURE if failed else TRIAL,
            MODEL: job.model,
            SYMBOL: job.symbol,
            SEARCH: search,
        },
        run_name=f"{job.name} trial {trial.name}",
    )
    run_id = run.info.run_id
    params = {
        "trial": trial.name,
        "state": trial.state,
        "interval": config.interval,
        "trials": trial.tries,
        **{name: option_text(value) for name, value in trial.values.items()},
    }
    if trial.record is not None:
        params["record_digest"] = trial.record.digest
        with scratch_folder() as folder:
            trial.record.write(folder / RECORD_FILE)
            client.log_artifact(run_id, str(folder / RECORD_FILE))
    metrics = [
        Metric("search/net_sharpe", value, now, step) for step, value in enumerate(trial.net_sharpe)
    ]
    if trial.net_sharpe:
        metrics.append(Metric(stored_name("net_sharpe"), trial.value, now, 0))
    tags = [RunTag(NOTE, trial.error)] if failed else []
    client.log_batch(
        run_id,
        metrics=metrics,
        params=[Param(name, str(value)) for name, value in params.items()],
        # Last of all: only a run with this tag is a trial that need not be repeated.
        tags=[*tags, RunTag(SEARCH_TRIAL, trial.to_json())],
    )
    client.set_terminated(run_id, "FAILED" if failed else "FINISHED", end_time=now)


def find_search_trials(
    client: MlflowClient, experiment_id: str, search: str, job: Job
) -> list[Trial]:
    """Return the trials of a job's study that have a result, by number, without their records.

    The empty name of no study has no trials. A trial that failed is tried again: what its worker
    died of may be gone.

    Raises
    ------
    TrainerError
        If a run holds the text of no trial; the error names the run.
    """
    if not search:
        return []
    wanted = {SEARCH: search, MODEL: job.model, SYMBOL: job.symbol}
    condition = " and ".join(f"tags.{name} = '{value}'" for name, value in wanted.items())
    trials: dict[int, Trial] = {}
    for run in find_runs(client, experiment_id, condition):
        # A command that was killed while it wrote a trial left a run that is not at its end.
        if SEARCH_TRIAL not in run.data.tags or run.info.status != "FINISHED":
            continue
        try:
            trial = Trial.from_json(run.data.tags[SEARCH_TRIAL])
        except TrainerError as error:
            raise TrainerError(
                f"the run {run.info.run_id} of the search {search} holds no trial: {error}; delete "
                "that run, then give the command again"
            ) from error
        trials[trial.number] = trial
    return [trials[number] for number in sorted(trials)]
