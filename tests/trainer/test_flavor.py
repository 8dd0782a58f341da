"""The MLflow form of a model: what is written, what is refused."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest

from features.sources import open_source
from trainer import flavor
from trainer.config import TrainConfig
from trainer.errors import TrainerError
from trainer.job import Task
from trainer.jobs.run_job import run_task


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real model of the sample bars."""
    folder = tmp_path_factory.mktemp("saved")
    config = TrainConfig.parse(
        {
            "symbols": "EURUSD",
            "source": "sample",
            "cache": "off",
            "fit_cache": "off",
            "n_splits": 2,
            "wf_splits": 2,
        }
    )
    outcome = run_task(Task("EURUSD", "lightgbm"), config, folder / "m", lambda *_: None)
    assert outcome.trained is not None, outcome.details
    return folder / "m"


def test_a_saved_pyfunc_decides_as_the_model(saved: Path, tmp_path: Path) -> None:
    flavor.save_model(saved, tmp_path / "mlflow", requirements=["lightgbm"])
    bars = open_source("sample").read("EURUSD", "1h").frame.tail(400)
    served = mlflow.pyfunc.load_model(str(tmp_path / "mlflow")).predict(bars, params={"last": 9})
    own = flavor.TradingModel.load(flavor.data_folder(tmp_path / "mlflow")).decide(bars, last=9)
    assert served["score"].tolist() == own["score"].tolist()
    assert served["position"].tolist() == own["position"].tolist()
    assert served["timestamp"].tolist() == [t.isoformat() for t in own["timestamp"]]


def test_every_requirement_is_pinned(saved: Path, tmp_path: Path) -> None:
    flavor.save_model(saved, tmp_path / "mlflow", requirements=["lightgbm"])
    lines = (tmp_path / "mlflow" / "requirements.txt").read_text().split()
    names = {line.partition("==")[0] for line in lines}
    assert all("==" in line for line in lines)
    assert names == {"lightgbm", "mlflow", "numpy", "pandas", "PyYAML", "TA-Lib"}


def test_registering_while_logging_is_refused(saved: Path) -> None:
    with pytest.raises(TrainerError, match="would register a model that nobody has loaded yet"):
        flavor.log_model(saved, "m", registered_model_name="lightgbm-EURUSD")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "flavors: {}",
        "flavors: {python_function: {loader_module: other, data: data}}",
        "flavors: {python_function: {loader_module: trainer.flavor, data: ../../etc}}",
        "flavors: {python_function: {loader_module: trainer.flavor, data: data}}",
        "- a list",
        ": : no yaml",
    ],
)
def test_what_is_not_ours_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "MLmodel").write_text(text)
    with pytest.raises(TrainerError, match=r"not one of ours|lacks manifest\.json"):
        flavor.data_folder(tmp_path)
