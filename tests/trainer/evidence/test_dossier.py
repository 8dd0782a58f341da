"""Evidence of a small training on synthetic bars, against slow computations from its record."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.registry_store import synthetic_bars
from trainer.config import TrainConfig
from trainer.dataset import make_builder
from trainer.evidence import dossier
from trainer.evidence.baselines import baseline_metrics, momentum_position
from trainer.evidence.dossier import (
    STRESS,
    evidence_metrics,
    gather,
    headline_of,
    record_of,
    selection_metrics,
)
from trainer.evidence.evidence import Evidence, RegimeRow
from trainer.evidence.null_runs import percentile
from trainer.evidence.record import Record
from trainer.evidence.walk_forward import WalkForward, walk_forward
from trainer.procedure.procedure import FOLD_METRICS, Fitted
from trainer.procedure.sample import Sample
from trainer.statistics.costs import Costs, Terms
from trainer.statistics.performance import net_returns, sharpe, total_return

TERMS = Terms(Costs(1.0, 0.5), 8_760)


def trending_bars(n: int) -> pd.DataFrame:
    """Return synthetic bars that rise for six hours and fall for six, so that models trade."""
    rng = np.random.default_rng(5)
    moves = 0.005 * np.sign(np.sin(2 * np.pi * np.arange(n) / 12)) + rng.normal(0, 0.005, n)
    close = 100 * np.exp(np.cumsum(moves))
    open_ = np.concatenate([[100.0], close[:-1]])
    return synthetic_bars(n).assign(
        open=open_,
        close=close,
        high=np.maximum(open_, close) * 1.001,
        low=np.minimum(open_, close) * 0.999,
    )


class Trained:
    """One small training with its evidence."""

    def __init__(self, folder: Path, make_procedure: Callable[..., Any], adapter: Any) -> None:
        frame = trending_bars(1_300)
        # A gap wider than a day, with bars without a row on both sides.
        frame.drop(index=range(700, 740)).to_parquet(folder / "SYNTH_1h.parquet")
        self.config = TrainConfig.parse(
            {"symbols": "SYNTH", "models": "lightgbm", "source": str(folder), "horizon": 6,
             "fee_bps": 1.0, "slippage_bps": 0.5, "cache": "off"}
        )  # fmt: skip
        self.data = make_builder(self.config).build("SYNTH")
        self.sample = Sample.of(self.data)
        procedure = make_procedure(adapter)
        self.walk: WalkForward = walk_forward(self.sample, procedure, 2)
        self.fitted: Fitted = procedure.run(self.sample)
        self.record: Record = record_of(self.data, self.sample, self.walk)
        self.evidence = gather(
            self.config, self.data, self.sample, self.fitted, self.record, [0.5, -1.0]
        )


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
    make_procedure: Callable[..., Any],
    trees: Callable[..., Any],
) -> Trained:
    return Trained(tmp_path_factory.mktemp("bars"), make_procedure, trees())


def test_the_record_is_the_walk_forward_on_its_bars(trained: Trained) -> None:
    walk, record = trained.walk, trained.record
    times = trained.data.meta.bars.time_ns
    assert record.time_ns.tolist() == times[walk.bar[0] : walk.bar[-1] + 1].tolist()
    open_ = trained.data.meta.bars.open
    for k in range(0, len(walk.bar), 7):
        i = walk.bar[k]
        row = int(np.flatnonzero(record.time_ns == times[i])[0])
        assert record.position[row] == walk.position[k]
        assert record.probability[row] == walk.probability[k]
        assert record.forward_return[row] == open_[i + 2] / open_[i + 1] - 1
        assert record.outcome[row] == (open_[i + 7] > open_[i + 1])
    assert np.abs(record.position).sum() > 100, "without trades the comparison below means nothing"
    earned = sharpe(record.net(Costs(1.0, 0.5)), 8_760)
    np.testing.assert_equal(earned, walk.metrics["net_sharpe"])


def test_the_histories_of_cpcv_have_the_volatility_of_their_rows(trained: Trained) -> None:
    sample = Sample.of(trained.data, 9)
    assert sample.volatility is not None
    bars = np.searchsorted(trained.record.time_ns, trained.data.meta.bars.time_ns[trained.walk.bar])
    volatility = dossier._volatility(trained.data, trained.record, 9)
    assert volatility is not None
    assert len(volatility) == len(trained.record)
    rows = np.searchsorted(sample.bar, trained.walk.bar)
    assert volatility[bars].tolist() == sample.volatility[rows].tolist()
    assert dossier._volatility(trained.data, trained.record, 0) is None


def test_costs_are_stressed_in_whole_multiples(trained: Trained) -> None:
    record = trained.record
    for multiple, row in zip(STRESS, trained.evidence.cost_stress, strict=True):
        net = net_returns(record.position, record.forward_return, Costs(multiple * 1.5, 0))
        assert (row.multiple, row.bps_per_side) == (multiple, multiple * 1.5)
        np.testing.assert_allclose(row.net_sharpe, sharpe(net, 8_760))
        np.testing.assert_allclose(row.net_return, total_return(net))
    np.testing.assert_allclose(
        trained.evidence.cost_stress[2].net_sharpe, trained.walk.metrics["net_sharpe_cost2x"]
    )


def test_the_evidence_describes_the_data_the_model_and_the_walk_forward(trained: Trained) -> None:
    evidence = trained.evidence
    content = evidence.to_json()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    bars = trained.data.meta.bars.timestamps
    assert (evidence.first, evidence.last) == (bars[0].isoformat(), bars[-1].isoformat())
    assert evidence.rows == len(trained.data.y)
    assert evidence.record_digest == trained.record.digest
    assert evidence.null_net_sharpe == (0.5, -1.0)
    assert evidence.flat_because == trained.fitted.flat_because
    assert evidence.threshold == trained.fitted.threshold.value
    assert [row.fold for row in evidence.folds] == [0, 1, 2]
    assert [row.log_loss for row in evidence.folds] == [
        fold["log_loss"] for fold in trained.fitted.fold_metrics
    ]
    assert len(evidence.importance) == len(trained.data.feature_names)
    assert {row.feature for row in evidence.importance} == set(trained.data.feature_names)
    assert len(evidence.cpcv_net_sharpe) == 5
    known = np.isfinite(trained.record.probability)
    assert sum(row.rows for row in evidence.reliability) == known.sum()
    curve = [row.threshold for row in evidence.threshold_curve]
    assert curve == sorted(curve)


def test_regimes_use_the_volatility_that_is_known_at_each_close(trained: Trained) -> None:
    record, close = trained.record, trained.data.meta.bars.close
    first = int(trained.walk.bar[0])
    log = np.diff(np.log(close), prepend=np.nan)
    volatility = np.array(
        [log[i - 99 : i + 1].std(ddof=1) for i in range(first, first + len(record))]
    )
    low = volatility <= np.quantile(volatility, 1 / 3)
    rows = {row.name: row for row in trained.evidence.regimes if row.kind == "volatility"}
    assert sum(row.bars for row in rows.values()) == len(record)
    assert abs(rows["low"].bars - low.sum()) <= 1
    held = np.mean(record.position[low] != 0)
    assert rows["low"].exposure == pytest.approx(held, abs=0.01)


def test_the_headline_is_the_walk_forward_with_the_evidence_and_the_folds(trained: Trained) -> None:
    made = headline_of(
        trained.data, trained.walk, trained.fitted, trained.evidence, trained.record, TERMS
    )
    momentum = momentum_position(trained.data.meta.bars)[trained.walk.bar[0] :][
        : len(trained.record)
    ]
    baselines = baseline_metrics(trained.record, momentum, TERMS)
    assert list(made.metrics) == [
        *trained.walk.metrics, *baselines, *evidence_metrics(trained.evidence), "null_percentile",
    ]  # fmt: skip
    assert {name: made.metrics[name] for name in baselines} == baselines
    assert made.metrics["net_return"] == trained.walk.metrics["net_return"]
    assert made.metrics["null_percentile"] == percentile(
        trained.walk.metrics["net_sharpe"], [0.5, -1.0]
    )
    assert made.selection == selection_metrics(trained.fitted.fold_metrics)
    times = trained.data.meta.bars.timestamps
    for block, scored in zip(made.blocks, trained.walk.blocks, strict=True):
        assert block.first == times[scored.first_bar].isoformat()
        assert block.last == times[scored.last_bar].isoformat()
        assert (block.block, block.train_rows, block.metrics) == (
            scored.block, scored.train_rows, scored.metrics,
        )  # fmt: skip
    without = replace(trained.evidence, null_net_sharpe=())
    made = headline_of(trained.data, trained.walk, trained.fitted, without, trained.record, TERMS)
    assert "null_percentile" not in made.metrics


def test_metrics_of_the_evidence_are_the_paths_and_the_regimes() -> None:
    year = RegimeRow("year", "2022", 10, 0.5, 0.6, 0.7, 0.1, 3, 0.2)
    evidence = Evidence(cpcv_net_sharpe=(1.0, 2.0, 6.0), regimes=(year,))
    assert evidence_metrics(evidence) == {
        "cpcv_net_sharpe_mean": 3.0,
        "cpcv_net_sharpe_std": pytest.approx(np.sqrt(7.0)),
        "cpcv_net_sharpe_min": 1.0,
        "cpcv_net_sharpe_max": 6.0,
        "year_2022_net_sharpe": 0.5,
    }


def test_selection_metrics_leave_out_folds_that_are_undefined() -> None:
    folds = [
        dict.fromkeys(FOLD_METRICS, math.nan) | {"net_sharpe": value, "log_loss": 0.5}
        for value in (1.0, math.nan, 3.0)
    ]
    assert selection_metrics(folds) == {
        "val_log_loss_mean": 0.5, "val_log_loss_std": 0.0, "val_log_loss_min": 0.5,
        "val_net_sharpe_mean": 2.0, "val_net_sharpe_std": 1.0, "val_net_sharpe_min": 1.0,
    }  # fmt: skip
