"""The summary of a training run; the run itself is tested by tests/service/test_train.py."""

from __future__ import annotations

from trainer.job import Job, JobResult
from trainer.jobs.train import Registration, Summary


def registration(version: str | None) -> Registration:
    result = JobResult(Job("X", "gru"), 0.0, 1.0, error="" if version else "it failed")
    return Registration(result, version, None, {})


def test_a_run_failed_if_one_job_has_no_version() -> None:
    whole = Summary([registration("1"), registration("2")], "sqlite:///mlflow.db", "")
    assert not whole.failed
    part = Summary([registration("1"), registration(None)], "sqlite:///mlflow.db", "")
    assert part.failed
