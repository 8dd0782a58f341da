"""The order of a training run, and its summary; tests/service/test_train.py runs the command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.trainer.jobs.inline_pool import InlinePool
from trainer.config import TrainConfig
from trainer.errors import TrainerError
from trainer.job import Job, JobResult
from trainer.jobs.train import Registration, Summary, train
from trainer.registry.verify import Verifier

#: Nothing is ever verified here.
VERIFIER = Verifier({})


def registration(version: str | None) -> Registration:
    result = JobResult(Job("X", "gru"), 0.0, 1.0, error="" if version else "it failed")
    return Registration(result, version, None, {})


def test_a_run_failed_if_one_job_has_no_version() -> None:
    whole = Summary([registration("1"), registration("2")], "sqlite:///mlflow.db", "")
    assert not whole.failed
    part = Summary([registration("1"), registration(None)], "sqlite:///mlflow.db", "")
    assert part.failed


def failing_pool() -> InlinePool:
    """Workers on which every task fails."""
    return InlinePool(1, fails=lambda task: OSError("it failed"))


@pytest.fixture
def config(registry_store: Any) -> TrainConfig:
    return TrainConfig.parse(
        {"symbols": "B,A", "models": "lightgbm,ppo,gru", "source": registry_store.source,
         "fee_bps": 5, "fit_cache": "off"}
    )  # fmt: skip


@pytest.mark.slow
def test_results_come_as_they_end_and_the_summary_has_the_order_of_the_symbols(
    registry_store: Any, config: TrainConfig
) -> None:
    pool, ended = failing_pool(), []

    def on_result(registration: Registration) -> None:
        assert registration.result.error == "OSError: it failed"
        ended.append(registration.result.job.name)

    summary = train(config, pool, VERIFIER, on_progress=print, on_result=on_result)  # type: ignore[arg-type]
    names = ["lightgbm-B", "ppo-B", "gru-B", "lightgbm-A", "ppo-A", "gru-A"]
    assert sorted(ended) == sorted(names)
    assert [name[-1] for name in ended] in (list("BBBAAA"), list("AAABBB"))
    assert [one.result.job.name for one in summary.results] == names
    assert summary.failed
    assert pool.closed
    client = registry_store.client
    experiment = client.get_experiment_by_name("barwright").experiment_id
    stored = {run.info.run_name for run in client.search_runs([experiment])}
    assert stored == {
        "train B A models=lightgbm,ppo,gru fee_bps=5",
        *(f"{name} fee_bps=5" for name in names),
    }


def test_no_job_starts_if_the_search_is_not_one_of_its_own(
    registry_store: Any, config: TrainConfig
) -> None:
    pool = failing_pool()
    searched = config.model_copy(update={"search": "0123456789abcdef"})
    text = "must be a study of lightgbm-B in this experiment, got '0123456789abcdef'; give the name"
    with pytest.raises(TrainerError, match=text):
        train(searched, pool, VERIFIER, on_progress=print, on_result=print)  # type: ignore[arg-type]
    assert pool.ended == []


def test_no_job_starts_if_no_file_can_be_stored(registry_store: Any, config: TrainConfig) -> None:
    (Path(registry_store.folder) / "mlruns").touch()
    pool = failing_pool()
    with pytest.raises(TrainerError, match=r"the artifact store .* cannot be written: "):
        train(config, pool, VERIFIER, on_progress=print, on_result=print)  # type: ignore[arg-type]
    assert pool.ended == []
