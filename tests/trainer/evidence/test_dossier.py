"""Evidence of a small real training on synthetic bars, against brute force on its record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.registry_store import synthetic_bars
from trainer.config import TrainConfig
from trainer.dataset import make_builder
from trainer.evidence.dossier import STRESS, gather, headline, page, record_of
from trainer.evidence.record import Record
from trainer.evidence.walk_forward import WalkForward, walk_forward
from trainer.jobs.results import finite
from trainer.procedure.procedure import Fitted
from trainer.procedure.sample import Sample
from trainer.serving.contract import Contract
from trainer.statistics.costs import Costs
from trainer.statistics.performance import net_returns, sharpe, total_return


def trending_bars(n: int) -> pd.DataFrame:
    """Synthetic bars that rise for six hours and fall for six: there is trade in them."""
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
    """One small training, and what `gather` makes of it."""

    def __init__(self, folder: Path, make_procedure: Callable[..., Any], adapter: Any) -> None:
        frame = trending_bars(1_300)
        # A gap wider than a day: bars without a row on both sides of it.
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
    assert np.abs(record.position).sum() > 100, "there would be nothing to see below"
    earned = sharpe(record.net(Costs(1.0, 0.5)), 8_760)
    np.testing.assert_equal(earned, walk.metrics["net_sharpe"])


def test_costs_are_stressed_in_whole_multiples(trained: Trained) -> None:
    record = trained.record
    for multiple, row in zip(STRESS, trained.evidence["cost_stress"], strict=True):
        net = net_returns(record.position, record.forward_return, Costs(multiple * 1.5, 0))
        assert (row["multiple"], row["bps_per_side"]) == (multiple, multiple * 1.5)
        np.testing.assert_allclose(row["net_sharpe"], sharpe(net, 8_760))
        np.testing.assert_allclose(row["net_return"], total_return(net))
    np.testing.assert_allclose(
        trained.evidence["cost_stress"][2]["net_sharpe"], trained.walk.metrics["net_sharpe_cost2x"]
    )


def test_what_a_sceptic_asks_for_is_there_and_is_plain(trained: Trained) -> None:
    told = trained.evidence
    assert json.loads(json.dumps(finite(told), allow_nan=False)) == finite(told)
    bars = trained.data.meta.bars.timestamps
    assert (told["first"], told["last"]) == (bars[0].isoformat(), bars[-1].isoformat())
    assert told["rows"] == len(trained.data.y)
    assert told["record_digest"] == trained.record.digest
    assert told["null_net_sharpe"] == [0.5, -1.0]
    assert told["flat_because"] == trained.fitted.flat_because
    assert told["threshold"] == trained.fitted.threshold.value
    assert [row["fold"] for row in told["folds"]] == [0, 1, 2]
    assert len(told["importance"]) == len(trained.data.feature_names)
    assert {row["feature"] for row in told["importance"]} == set(trained.data.feature_names)
    assert len(told["cpcv_net_sharpe"]) == 5
    known = np.isfinite(trained.record.probability)
    assert sum(row["rows"] for row in told["reliability"]) == known.sum()
    curve = [row["threshold"] for row in told["threshold_curve"]]
    assert curve == sorted(curve)


def test_regimes_are_told_by_what_was_known_at_each_close(trained: Trained) -> None:
    record, close = trained.record, trained.data.meta.bars.close
    first = int(trained.walk.bar[0])
    log = np.diff(np.log(close), prepend=np.nan)
    volatility = np.array(
        [log[i - 99 : i + 1].std(ddof=1) for i in range(first, first + len(record))]
    )
    low = volatility <= np.quantile(volatility, 1 / 3)
    rows = {row["name"]: row for row in trained.evidence["regimes"] if row["kind"] == "volatility"}
    assert sum(row["bars"] for row in rows.values()) == len(record)
    assert abs(rows["low"]["bars"] - low.sum()) <= 1
    held = np.mean(record.position[low] != 0)
    assert rows["low"]["exposure"] == pytest.approx(held, abs=0.01)


def test_headlines_are_the_paths_and_the_regimes() -> None:
    told = {
        "cpcv_net_sharpe": [1.0, 2.0, 6.0],
        "regimes": [{"kind": "year", "name": "2022", "net_sharpe": 0.5}],
    }
    assert headline(told) == {
        "cpcv_net_sharpe_mean": 3.0,
        "cpcv_net_sharpe_std": pytest.approx(np.sqrt(7.0)),
        "cpcv_net_sharpe_min": 1.0,
        "cpcv_net_sharpe_max": 6.0,
        "year_2022_net_sharpe": 0.5,
    }


def test_a_page_has_the_walk_forward_only_and_the_contract_as_it_is() -> None:
    contract = Contract("gru", "X", "1h", "24/7", "direction", 12, 10.0, 5.0, 24, False)
    told = {"metrics": {"wf_net_sharpe": 1.0, "val_net_sharpe_mean": 9.0}, "blocks": [{"block": 0}]}
    made = page(contract, told, {"rows": 7, "status": "?", "horizon": 1}, "proven")
    assert made["metrics"] == {"net_sharpe": 1.0}
    assert (made["status"], made["rows"], made["blocks"]) == ("proven", 7, [{"block": 0}])
    assert (made["horizon"], made["fee_bps"], made["understood"]) == (12, 10.0, "X at 1h")
