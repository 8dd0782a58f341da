"""One job in one worker, on the real EURUSD sample bars: its result, and that it repeats.

Small settings: two folds, two blocks, twenty rounds of LightGBM.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.sources import open_source
from trainer.config import TrainConfig
from trainer.dataset import make_builder
from trainer.evidence.evidence import Evidence
from trainer.evidence.headline import Headline
from trainer.job import Job, JobResult, TrainedModel
from trainer.jobs.run_job import run_job
from trainer.procedure.procedure import FOLD_METRICS, row_positions
from trainer.procedure.sample import Sample, score_rows
from trainer.serving.manifest import EVIDENCE, FILES, MANIFEST
from trainer.serving.trading_model import TradingModel

BASELINES = (
    "momentum_sharpe", "momentum_return", "less_hold", "less_hold_lower", "less_hold_upper",
    "less_momentum", "less_momentum_lower", "less_momentum_upper", "hold_beta", "appraisal_ratio",
)  # fmt: skip
HEADLINE = (
    "net_sharpe", "gross_sharpe", "net_sortino", "net_max_drawdown", "net_return", "gross_return",
    "turnover", "n_trades", "exposure", "hit_rate", "n_bars", "net_sharpe_cost2x",
    "net_sharpe_cost3x", "buy_hold_sharpe", "buy_hold_return", "log_loss", "brier", "roc_auc",
    "ece", "base_rate_log_loss", "net_sharpe_lower", "net_sharpe_upper", "psr",
    "min_track_record", "break_even_bps", *BASELINES,
    "cpcv_net_sharpe_mean", "cpcv_net_sharpe_std",
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
    """Do nothing with the progress."""


Progress = list[tuple[str, int, int]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[JobResult, Progress]:
    """A job that ran once, and the calls of its progress callback."""
    progress: Progress = []
    folder = tmp_path_factory.mktemp("job") / "first"

    def on_progress(phase: str, done: int, total: int) -> None:
        progress.append((phase, done, total))

    return run_job(Job("EURUSD", "lightgbm"), config(), folder, on_progress), progress


@pytest.fixture(scope="module")
def trained(finished: tuple[JobResult, Progress]) -> TrainedModel:
    result, _ = finished
    assert result.error == "", result.details
    assert result.trained is not None
    return result.trained


def test_metrics_are_the_headline_and_the_dispersion_of_the_folds(trained: TrainedModel) -> None:
    folds = {f"val_{name}_{part}" for name in FOLD_METRICS for part in ("mean", "std", "min")}
    headline = trained.headline
    assert set(headline.metrics) == set(HEADLINE)
    assert set(headline.selection) <= folds
    assert {"val_log_loss_mean", "val_brier_std", "val_roc_auc_min"} <= set(headline.selection)
    assert len(trained.evidence.folds) == 2
    losses = [fold.log_loss for fold in trained.evidence.folds]
    assert headline.selection["val_log_loss_mean"] == pytest.approx(sum(losses) / 2, abs=1e-15)
    assert headline.selection["val_log_loss_min"] == min(losses)
    assert 0 < headline.metrics["log_loss"] < 1


def plain(value: object) -> bool:
    """Return whether all values are Python's own: a NumPy scalar would have to be unpickled."""
    if isinstance(value, dict):
        return all(type(key) is str and plain(part) for key, part in value.items())
    if isinstance(value, list | tuple):
        return all(plain(part) for part in value)
    return value is None or type(value) in (int, float, str, bool)


def test_every_value_of_the_result_is_plain(trained: TrainedModel) -> None:
    stored = trained.headline.stored_metrics()
    assert all(type(value) is float for value in stored.values())
    for part in ("headline", "evidence", "data"):
        assert plain(getattr(trained, part).to_json()), part
        assert plain(asdict(getattr(trained, part))), part
    for part in ("params", "seconds", "curves"):
        assert plain(getattr(trained, part)), part
    assert trained.requirements == ("lightgbm",)


def test_the_parts_of_the_result_agree(trained: TrainedModel) -> None:
    assert trained.params["symbol"] == "EURUSD"
    assert trained.params["lightgbm.num_boost_round"] == 20
    assert trained.params["calendar"] == "24/5"
    assert trained.params["data_digest"] == trained.data.digest
    assert trained.data.rows + sum(trained.data.dropped.values()) == trained.data.bars
    blocks = trained.headline.blocks
    assert [block.block for block in blocks] == [0, 1]
    bars = sum(block.metrics["n_bars"] for block in blocks)
    metrics = trained.headline.metrics
    assert 0 <= metrics["n_bars"] - bars < 100  # dropped rows between blocks
    assert (trained.flat_because == "") == (trained.params["threshold"] is not None)
    laps = {"data", "walk_forward", "production", "null", "evidence", "figures", "save", "fits"}
    assert laps <= set(trained.seconds)
    assert trained.params["record_digest"] == trained.record.digest
    assert len(trained.record) == metrics["n_bars"]
    assert trained.terms.periods_per_year == trained.params["periods_per_year"]
    assert "null" not in trained.figures
    assert {"equity", "costs", "regimes"} < set(trained.figures)
    assert all(png.startswith(b"\x89PNG") for png in trained.figures.values())


def test_progress_counts_every_fit(finished: tuple[JobResult, Progress]) -> None:
    result, progress = finished
    fits = [(done, total) for phase, done, total in progress if phase == "fits"]
    assert fits == [(done, 9) for done in range(10)]  # (2 blocks + production) x (2 folds + 1)
    assert [progress[0][0], progress[-1][0]] == ["features", "saving"]
    assert result.started <= result.ended


def test_its_folder_is_a_model_that_loads_with_the_evidence_inside(trained: TrainedModel) -> None:
    assert {path.name for path in trained.folder.iterdir()} == {*FILES, MANIFEST}
    model = TradingModel.load(trained.folder)
    assert model.contract.symbol == "EURUSD"
    assert model.contract.calendar == "24/5"
    assert model.threshold.value == trained.params["threshold"]
    bars = open_source("sample").read("EURUSD", "1h").frame
    assert len(model.decide(bars, last=5)) == 5
    metrics = json.loads((trained.folder / "metrics.json").read_text())
    assert metrics == trained.headline.to_json()
    assert Headline.from_json(metrics).to_json() == metrics
    evidence = json.loads((trained.folder / EVIDENCE).read_text())
    assert evidence == trained.evidence.to_json()
    assert Evidence.from_json(evidence).to_json() == evidence
    assert trained.evidence.record_digest == trained.record.digest
    assert trained.evidence.threshold == trained.params["threshold"]


def test_null_runs_stand_beside_the_headline(trained: TrainedModel, tmp_path: Path) -> None:
    progress: Progress = []
    result = run_job(
        Job("EURUSD", "lightgbm"), config(null_runs=2), tmp_path / "m",
        lambda *call: progress.append(call),
    )  # fmt: skip
    assert result.trained is not None, result.details
    null = result.trained.evidence.null_net_sharpe
    assert "null" in result.trained.figures
    assert len(null) == 2
    assert null[0] != null[1]
    assert 0 <= result.trained.headline.metrics["null_percentile"] <= 100
    assert ("fits", 21, 21) in progress  # (2 blocks x 3 + production) x (2 folds + 1)
    # Null runs do not change the model.
    log_loss = result.trained.headline.metrics["log_loss"]
    assert log_loss == trained.headline.metrics["log_loss"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.slow
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
    for origin in ("computed", "read"):
        again = run_job(Job("EURUSD", "lightgbm"), changed, tmp_path / origin, quiet)
        assert again.trained is not None, again.details
        assert again.trained.data.cache == origin
        assert contents(again.trained.folder) == contents(trained.folder)
    assert set(contents(trained.folder)) >= {"model.bin", "metrics.json", MANIFEST}


def test_another_seed_gives_another_model(trained: TrainedModel, tmp_path: Path) -> None:
    other = run_job(Job("EURUSD", "lightgbm"), config(seed=43), tmp_path / "m", quiet)
    assert other.trained is not None
    model = "model.bin"
    assert (other.trained.folder / model).read_bytes() != (trained.folder / model).read_bytes()


@pytest.mark.parametrize(
    ("symbol", "changes", "text"),
    [
        ("GBPUSD", {}, "the sample has no GBPUSD at 1h, only EURUSD at 1h, GOOGL at 1d, SP500"),
        ("EURUSD", {"embargo": 5_000}, "`embargo` must be smaller than the shortest fold"),
        ("EURUSD", {"horizon": 9_000}, "no row of EURUSD is usable out of"),
    ],
)
def test_a_failure_is_returned_with_the_text_for_the_user(
    tmp_path: Path, symbol: str, changes: dict[str, Any], text: str
) -> None:
    failed = run_job(Job(symbol, "lightgbm"), config(**changes), tmp_path / "m", quiet)
    assert failed.trained is None
    assert failed.error.startswith(text)
    assert "\n" not in failed.error
    assert "Traceback" in failed.details
    assert not (tmp_path / "m").exists()


def test_an_unforeseen_error_is_returned_with_its_kind(tmp_path: Path) -> None:
    """Here the progress callback raises; any other error of the job would do."""

    def broken(phase: str, done: int, total: int) -> None:
        raise OSError("the pipe is closed")

    failed = run_job(Job("EURUSD", "lightgbm"), config(), tmp_path / "m", broken)
    assert (failed.trained, failed.error) == (None, "OSError: the pipe is closed")


def test_a_mean_over_more_bars_than_there_are_is_refused(tmp_path: Path) -> None:
    failed = run_job(Job("EURUSD", "lightgbm"), config(smooth=1_000), tmp_path / "m", quiet)
    text = "`--smooth` 1000 looks 10,000 bars back, and EURUSD has 6,225 bars, 5,918 of them with"
    assert failed.error.startswith(text)


@pytest.mark.parametrize("position", ["threshold", "exit", "break-even"])
@pytest.mark.parametrize(
    ("task", "calibration", "adapter_task"),
    [
        ("forward_return", "platt", "regression"),
        ("triple_barrier", "auto", "classification"),
    ],
)
def test_the_other_label_kinds_are_served_as_they_were_trained(
    tmp_path: Path, task: str, calibration: str, adapter_task: str, position: str
) -> None:
    settings = config(task=task, calibration=calibration, position=position)
    result = run_job(Job("EURUSD", "lightgbm"), settings, tmp_path / task, quiet)
    assert result.trained is not None, result.details
    loaded = TradingModel.load(result.trained.folder)
    assert (loaded.contract.task, loaded.adapter.task) == (task, adapter_task)
    assert loaded.threshold.kind == position

    # Whatever the procedure chose, a rule that trades must be served as on the rows of training.
    data = make_builder(settings).build("EURUSD")
    sample = Sample.of(data, settings.rule.volatility_window)
    rows = np.arange(len(sample))
    probability = loaded.calibrator.transform(score_rows(loaded.adapter, sample, rows))
    likely = np.quantile(np.maximum(probability, 1 - probability), 0.9)
    rule = settings.rule.rule(float(likely) if loaded.threshold.searched else 0.5)
    expected = row_positions(rule, sample, rows, probability)
    assert len(set(expected.tolist())) > 1
    frame = data.meta.bars.to_frame()
    decided = replace(loaded, threshold=rule).decide(frame, held=0).set_index("timestamp")
    assert decided.loc[data.timestamps, "position"].tolist() == expected.tolist()
