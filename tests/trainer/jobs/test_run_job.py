"""One task in one worker, on the real EURUSD sample bars: what it hands back, and that it repeats.

Small settings: two folds, two blocks, twenty rounds of LightGBM.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from features.sources import open_source
from trainer.config import TrainConfig
from trainer.job import Outcome, Task, TrainedModel
from trainer.jobs.run_job import run_task
from trainer.procedure.procedure import FOLD_METRICS
from trainer.serving.manifest import EVIDENCE, FILES, MANIFEST
from trainer.serving.trading_model import TradingModel

HEADLINE = (
    "net_sharpe", "gross_sharpe", "net_sortino", "net_max_drawdown", "net_return", "gross_return",
    "turnover", "n_trades", "exposure", "hit_rate", "n_bars", "net_sharpe_cost2x",
    "net_sharpe_cost3x", "buy_hold_sharpe", "buy_hold_return", "log_loss", "brier", "roc_auc",
    "ece", "base_rate_log_loss", "net_sharpe_lower", "net_sharpe_upper", "psr",
    "min_track_record", "break_even_bps", "cpcv_net_sharpe_mean", "cpcv_net_sharpe_std",
    "cpcv_net_sharpe_min", "cpcv_net_sharpe_max", "volatility_low_net_sharpe",
    "volatility_middle_net_sharpe", "volatility_high_net_sharpe", "year_2017_net_sharpe",
)  # fmt: skip


def config(**changes: Any) -> TrainConfig:
    small = {
        "symbols": "EURUSD",
        "source": "sample",
        "n_splits": 2,
        "wf_splits": 2,
        "fee_bps": 0.1,
        "slippage_bps": 0.1,
        "cache": "off",
        "fit_cache": "off",
        "params": "lightgbm.num_boost_round=20,lightgbm.learning_rate=0.1",
    }
    return TrainConfig.parse({**small, **changes})


def quiet(phase: str, done: int, total: int) -> None:
    """Report nothing."""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, list[tuple[str, int, int]]]:
    told: list[tuple[str, int, int]] = []
    folder = tmp_path_factory.mktemp("task") / "first"

    def report(phase: str, done: int, total: int) -> None:
        told.append((phase, done, total))

    return run_task(Task("EURUSD", "lightgbm"), config(), folder, report), told


@pytest.fixture(scope="module")
def trained(outcome: tuple[Outcome, Any]) -> TrainedModel:
    assert outcome[0].error == "", outcome[0].details
    assert outcome[0].trained is not None
    return outcome[0].trained


def test_metrics_are_the_headline_and_the_dispersion_of_the_folds(trained: TrainedModel) -> None:
    folds = {f"val_{name}_{part}" for name in FOLD_METRICS for part in ("mean", "std", "min")}
    headline = {f"wf_{name}" for name in HEADLINE}
    assert headline <= set(trained.metrics)
    assert set(trained.metrics) - headline <= folds
    assert {"val_log_loss_mean", "val_brier_std", "val_roc_auc_min"} <= set(trained.metrics)
    assert len(trained.fold_metrics) == 2
    losses = [fold["log_loss"] for fold in trained.fold_metrics]
    assert trained.metrics["val_log_loss_mean"] == pytest.approx(sum(losses) / 2, abs=1e-15)
    assert trained.metrics["val_log_loss_min"] == min(losses)
    assert 0 < trained.metrics["wf_log_loss"] < 1


def plain(value: object) -> bool:
    """Nothing but Python's own values: no numpy scalar, which MLflow or pickle would carry."""
    if isinstance(value, dict):
        return all(type(key) is str and plain(part) for key, part in value.items())
    if isinstance(value, list | tuple):
        return all(plain(part) for part in value)
    return value is None or type(value) in (int, float, str, bool)


def test_every_value_handed_back_is_plain(trained: TrainedModel) -> None:
    assert all(type(value) is float for value in trained.metrics.values())
    for part in ("metrics", "fold_metrics", "told", "evidence", "params", "data", "seconds"):
        assert plain(getattr(trained, part)), part
    assert trained.requirements == ("lightgbm",)


def test_what_it_says_fits_together(trained: TrainedModel) -> None:
    assert trained.params["symbol"] == "EURUSD"
    assert trained.params["lightgbm.num_boost_round"] == 20
    assert trained.params["calendar"] == "24/5"
    assert trained.params["data_digest"] == trained.data["digest"]
    assert trained.data["rows"] + sum(trained.data["dropped"].values()) == trained.data["bars"]
    blocks = trained.told["blocks"]
    assert [block["block"] for block in blocks] == [0, 1]
    bars = sum(block["n_bars"] for block in blocks)
    assert 0 <= trained.metrics["wf_n_bars"] - bars < 100  # dropped rows between blocks
    assert (trained.flat_because == "") == (trained.params["threshold"] is not None)
    laps = {"data", "walk_forward", "production", "null", "evidence", "save", "fits"}
    assert laps <= set(trained.seconds)
    assert trained.params["record_digest"] == trained.record.digest
    assert len(trained.record) == trained.metrics["wf_n_bars"]


def test_progress_counts_every_fit(
    outcome: tuple[Outcome, list[tuple[str, int, int]]],
) -> None:
    finished, told = outcome
    fits = [(done, total) for phase, done, total in told if phase == "fits"]
    assert fits == [(done, 9) for done in range(10)]  # (2 blocks + production) x (2 folds + 1)
    assert [told[0][0], told[-1][0]] == ["features", "saving"]
    assert finished.started <= finished.ended


def test_its_folder_is_a_model_that_loads_with_the_evidence_inside(trained: TrainedModel) -> None:
    assert {path.name for path in trained.folder.iterdir()} == {*FILES, MANIFEST}
    model = TradingModel.load(trained.folder)
    assert model.contract.symbol == "EURUSD"
    assert model.contract.calendar == "24/5"
    assert model.threshold.value == trained.params["threshold"]
    bars = open_source("sample").read("EURUSD", "1h").frame
    assert len(model.decide(bars, last=5)) == 5
    evidence = json.loads((trained.folder / "metrics.json").read_text())
    for name, value in evidence["metrics"].items():
        found = trained.metrics[name]
        assert value == found or (value is None and not math.isfinite(found))
    assert json.loads((trained.folder / EVIDENCE).read_text()) == trained.evidence
    assert trained.evidence["record_digest"] == trained.record.digest
    assert trained.evidence["threshold"] == trained.params["threshold"]


def test_null_runs_stand_beside_the_headline(trained: TrainedModel, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    done = run_task(
        Task("EURUSD", "lightgbm"), config(null_runs=2), tmp_path / "m",
        lambda *report: told.append(report),
    )  # fmt: skip
    assert done.trained is not None, done.details
    null = done.trained.evidence["null_net_sharpe"]
    assert len(null) == 2
    assert null[0] != null[1]
    assert 0 <= done.trained.metrics["wf_null_percentile"] <= 100
    assert ("fits", 21, 21) in told  # (2 blocks x 3 + production) x (2 folds + 1)
    # What is served is not touched by it.
    assert done.trained.metrics["wf_log_loss"] == trained.metrics["wf_log_loss"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_one_seed_gives_byte_identical_files_wherever_bars_and_cache_are(
    trained: TrainedModel, tmp_path: Path
) -> None:
    bars = tmp_path / "elsewhere"
    bars.mkdir()
    open_source("sample").read("EURUSD", "1h").frame.to_parquet(bars / "EURUSD_1h.parquet")
    changed = config(
        source=str(bars), cache="on", cache_folder=str(tmp_path / "cache"), max_workers=2,
        symbols="GBPUSD,EURUSD",
    )  # fmt: skip
    for round_ in ("computed", "read"):
        again = run_task(Task("EURUSD", "lightgbm"), changed, tmp_path / round_, quiet)
        assert again.trained is not None, again.details
        assert again.trained.data["cache"] == round_
        assert contents(again.trained.folder) == contents(trained.folder)
    assert set(contents(trained.folder)) >= {"model.bin", "metrics.json", MANIFEST}


def test_another_seed_gives_another_model(trained: TrainedModel, tmp_path: Path) -> None:
    other = run_task(Task("EURUSD", "lightgbm"), config(seed=43), tmp_path / "m", quiet)
    assert other.trained is not None
    model = "model.bin"
    assert (other.trained.folder / model).read_bytes() != (trained.folder / model).read_bytes()


@pytest.mark.parametrize(
    ("symbol", "changes", "said"),
    [
        ("GBPUSD", {}, "the sample has no GBPUSD at 1h, only EURUSD at 1h, GOOGL at 1d; pick"),
        ("EURUSD", {"embargo": 5_000}, "`embargo` must be smaller than the shortest fold"),
        ("EURUSD", {"horizon": 9_000}, "no row of EURUSD is usable out of"),
    ],
)
def test_a_failure_is_returned_with_the_text_for_the_user(
    tmp_path: Path, symbol: str, changes: dict[str, Any], said: str
) -> None:
    failed = run_task(Task(symbol, "lightgbm"), config(**changes), tmp_path / "m", quiet)
    assert failed.trained is None
    assert failed.error.startswith(said)
    assert "\n" not in failed.error
    assert "Traceback" in failed.details
    assert not (tmp_path / "m").exists()


def test_an_unforeseen_error_is_returned_with_its_kind(tmp_path: Path) -> None:
    """Here a progress report that raises: anything else of this symbol would do."""

    def broken(phase: str, done: int, total: int) -> None:
        raise OSError("no one listens")

    failed = run_task(Task("EURUSD", "lightgbm"), config(), tmp_path / "m", broken)
    assert (failed.trained, failed.error) == (None, "OSError: no one listens")


@pytest.mark.parametrize(
    ("task", "calibration", "adapter_task"),
    [
        ("forward_return", "platt", "regression"),
        ("triple_barrier", "auto", "classification"),
    ],
)
def test_the_other_tasks_train_and_load(
    tmp_path: Path, task: str, calibration: str, adapter_task: str
) -> None:
    settings = config(task=task, calibration=calibration)
    done = run_task(Task("EURUSD", "lightgbm"), settings, tmp_path / task, quiet)
    assert done.trained is not None, done.details
    loaded = TradingModel.load(done.trained.folder)
    assert loaded.contract.task == task
    assert loaded.adapter.task == adapter_task
