"""The order of a training run, and its summary; tests/service/test_train.py runs the command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from trainer.config import TrainConfig
from trainer.errors import TrainerError
from trainer.job import Job, JobResult
from trainer.jobs.train import Registration, Summary, train


def registration(version: str | None) -> Registration:
    result = JobResult(Job("X", "gru"), 0.0, 1.0, error="" if version else "it failed")
    return Registration(result, version, None, {})


def test_a_run_failed_if_one_job_has_no_version() -> None:
    whole = Summary([registration("1"), registration("2")], "sqlite:///mlflow.db", "")
    assert not whole.failed
    part = Summary([registration("1"), registration(None)], "sqlite:///mlflow.db", "")
    assert part.failed


class FailingPool:
    """Workers on which every job fails; they record the order in which the jobs start."""

    def __init__(self) -> None:
        self.started: list[Job] = []

    def run(self, jobs: Sequence[Job], *_: object) -> Iterator[JobResult]:
        for job in jobs:
            self.started.append(job)
            yield JobResult(job, 1.0, 2.0, error="it failed")


@pytest.fixture
def config(registry_store: Any) -> TrainConfig:
    return TrainConfig.parse(
        {"symbols": "B,A", "models": "lightgbm,ppo,gru", "source": registry_store.source,
         "fee_bps": 5, "fit_cache": "off"}
    )  # fmt: skip


@pytest.mark.slow
def test_long_jobs_start_first_and_results_are_in_the_order_of_the_symbols(
    registry_store: Any, config: TrainConfig
) -> None:
    pool, ended = FailingPool(), []

    def on_result(registration: Registration) -> None:
        assert pool.started[-1] == registration.result.job, "it is logged before the next one"
        ended.append(registration.result.job)

    summary = train(config, pool, on_progress=print, on_result=on_result)  # type: ignore[arg-type]
    assert [job.name for job in pool.started] == [
        "ppo-B", "ppo-A", "gru-B", "gru-A", "lightgbm-B", "lightgbm-A",
    ]  # fmt: skip
    assert ended == pool.started
    assert [one.result.job.name for one in summary.results] == [
        "lightgbm-B", "ppo-B", "gru-B", "lightgbm-A", "ppo-A", "gru-A",
    ]  # fmt: skip
    client = registry_store.client
    experiment = client.get_experiment_by_name("barwright").experiment_id
    names = {run.info.run_name for run in client.search_runs([experiment])}
    assert names == {
        "train B A models=lightgbm,ppo,gru fee_bps=5",
        *(f"{job.name} fee_bps=5" for job in pool.started),
    }


def test_no_job_starts_if_the_search_is_not_one_of_its_own(
    registry_store: Any, config: TrainConfig
) -> None:
    pool = FailingPool()
    searched = config.model_copy(update={"search": "0123456789abcdef"})
    text = "must be a study of lightgbm-B in this experiment, got '0123456789abcdef'; give the name"
    with pytest.raises(TrainerError, match=text):
        train(searched, pool, on_progress=print, on_result=print)  # type: ignore[arg-type]
    assert pool.started == []


def test_no_job_starts_if_no_file_can_be_stored(registry_store: Any, config: TrainConfig) -> None:
    (Path(registry_store.folder) / "mlruns").touch()
    pool = FailingPool()
    with pytest.raises(TrainerError, match=r"the artifact store .* cannot be written: "):
        train(config, pool, on_progress=print, on_result=print)  # type: ignore[arg-type]
    assert pool.started == []
