"""Results of jobs while others run: their files, errors of the workers, a caller that stops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.jobs.inline_pool import InlinePool
from trainer.config import TrainConfig
from trainer.errors import TrainerError
from trainer.job import Job
from trainer.jobs.training import run_jobs
from trainer.serving.trading_model import TradingModel

SMALL = {
    "symbols": "EURUSD,NONE", "source": "sample", "n_splits": 2, "wf_splits": 2, "cache": "off",
    "fit_cache": "off", "features": "returns,volatility",
    "params": "lightgbm.num_boost_round=12,lightgbm.learning_rate=0.2",
}  # fmt: skip


def configs() -> dict[Job, TrainConfig]:
    config = TrainConfig.parse(SMALL)
    return {Job(symbol, "lightgbm"): config for symbol in config.symbols}


@pytest.mark.slow
def test_each_result_comes_once_with_the_files_of_its_model(tmp_path: Path) -> None:
    pool, progress = InlinePool(), []
    results = {
        result.job.symbol: result
        for result in run_jobs(configs(), pool, tmp_path, lambda *call: progress.append(call))  # type: ignore[arg-type]
    }
    assert pool.closed
    assert set(results) == {"EURUSD", "NONE"}
    trained = results["EURUSD"].trained
    assert trained is not None
    assert trained.folder == tmp_path / "lightgbm-EURUSD"
    assert TradingModel.load(trained.folder).contract.symbol == "EURUSD"
    assert "the sample has no NONE at 1h" in results["NONE"].error
    name = "lightgbm-EURUSD"
    phases = [phase for own, phase, _, _ in progress if own == name]
    assert phases[0] == "features"
    assert phases[-1] == "saving"
    assert (name, "fits", 9, 9) in progress


class Broken(InlinePool):
    def each(self, *_: Any) -> Iterator[Any]:
        raise TrainerError("no worker was there for 120 s")


def test_an_error_of_the_workers_reaches_the_caller(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="no worker was there"):
        list(run_jobs(configs(), Broken(), tmp_path, lambda *_: None))  # type: ignore[arg-type]


def test_the_work_ends_if_the_caller_stops(tmp_path: Path) -> None:
    pool = InlinePool(fails=lambda task: OSError("it failed"))
    symbols = ",".join(f"S{number}" for number in range(50))
    config = TrainConfig.parse({**SMALL, "symbols": symbols})
    jobs = {Job(symbol, "lightgbm"): config for symbol in config.symbols}
    results = run_jobs(jobs, pool, tmp_path, lambda *_: None)  # type: ignore[arg-type]
    next(results)
    results.close()
    assert len(pool.ended) <= 10, "results that nobody takes hold the next ones"
