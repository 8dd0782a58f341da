"""Settings and data facts of a job: the names that MLflow shows, with the values that were used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.base import ModelAdapter
from features.dataset import Dataset
from tests.golden_run import GOLDEN
from tests.registry_store import synthetic_bars
from trainer.config import TrainConfig
from trainer.dataset import make_builder
from trainer.evidence.dossier import record_of
from trainer.evidence.walk_forward import walk_forward
from trainer.job import Job
from trainer.jobs.results import data_facts, params
from trainer.procedure.sample import Sample


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    folder = tmp_path_factory.mktemp("bars")
    synthetic_bars(900).to_parquet(folder / "SYNTH_1h.parquet")
    return TrainConfig.parse(
        {"symbols": "SYNTH", "models": "lightgbm", "source": str(folder), "horizon": 6,
         "cache": "off", "seed": 7}
    )  # fmt: skip


@pytest.fixture(scope="module")
def data(config: TrainConfig) -> Dataset:
    return make_builder(config).build("SYNTH")


def test_params_are_the_settings_and_digests_of_the_job(
    config: TrainConfig,
    data: Dataset,
    make_procedure: Callable[..., Any],
    trees: Callable[..., Callable[[], ModelAdapter]],
) -> None:
    sample, procedure = Sample.of(data), make_procedure(trees())
    fitted, walk = procedure.run(sample), walk_forward(sample, procedure, 2)
    record = record_of(data, sample, walk)
    logged = params(Job("SYNTH", "lightgbm"), config, data, fitted, walk, record)
    assert (logged["seed"], logged["horizon"], logged["model"]) == (7, 6, "lightgbm")
    assert logged["threshold"] == fitted.threshold.value
    assert logged["fold_plan"] == fitted.plan_digest
    assert logged["walk_forward_plan"] == walk.plan_digest
    assert logged["record_digest"] == record.digest
    assert logged["lightgbm.num_boost_round"] == 40
    # The names are those of the runs that exist; a name of an option may be new.
    stored = json.loads(GOLDEN.read_text())["models"]["lightgbm"]["run_params"]
    assert set(stored) <= set(logged)


def test_facts_count_the_rows_of_the_dataset(data: Dataset) -> None:
    facts = data_facts(data, fits_read=3)
    assert (facts.symbol, facts.interval, facts.fits_read) == ("SYNTH", "1h", 3)
    assert facts.rows == len(data.y)
    assert facts.rows + sum(facts.dropped.values()) == facts.bars == 900
    assert facts.first == "2022-01-01T00:00:00+00:00"
    assert facts.to_json()["label"]["horizon"] == 6


def test_files_of_the_source_are_named_as_they_were_read(data: Dataset) -> None:
    assert Path(data_facts(data, 0).understood.split(":")[0]).name == "SYNTH_1h.parquet"
