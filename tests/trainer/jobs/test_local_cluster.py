"""A real worker process: results of jobs that fail, and their progress.

A worker that dies is tested by tests/service/test_crash.py.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from trainer.config import TrainConfig
from trainer.job import Job
from trainer.jobs.local_cluster import WorkerPool


def config(folder: Path) -> TrainConfig:
    """Return settings with which every job fails: the folder has no bars."""
    return TrainConfig.parse(
        {"symbols": "AAA,BBB", "models": "lightgbm", "source": str(folder), "max_workers": 1,
         "cache": "off", "fit_cache": "off"}
    )  # fmt: skip


def _level_of_the_log() -> int:
    return logging.getLogger("distributed.worker").getEffectiveLevel()


@pytest.mark.slow
def test_one_worker_runs_all_jobs_and_passes_on_why_they_fail(tmp_path: Path) -> None:
    (tmp_path / "bars").mkdir()
    jobs = [Job("AAA", "lightgbm"), Job("BBB", "lightgbm")]
    calls: list[tuple[str, str, int, int]] = []
    own = config(tmp_path / "bars")
    with WorkerPool(own) as pool:
        pool._client.wait_for_workers(1, timeout=60)
        # A connection that ends would print a traceback between the lines for people.
        assert list(pool._client.run(_level_of_the_log).values()) == [logging.CRITICAL]
        configs = dict.fromkeys(jobs, own)
        results = list(pool.run(jobs, configs, tmp_path, lambda *call: calls.append(call)))
    assert [result.job for result in results] == jobs
    for result in results:
        assert result.trained is None
        assert result.job.symbol in result.error
        assert "Traceback" in result.details
        assert result.started <= result.ended
        assert (result.job.name, "features", 0, 1) in calls
