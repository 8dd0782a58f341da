"""Null runs: bars stay valid, their order is random, and a signal is gone."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from features.bars import validate_bars
from features.dataset import DatasetBuilder
from features.feature_set import FeatureSet
from features.interval import Interval
from features.labels import LabelSpec
from features.sources import RawBars
from trainer.evidence.null_runs import null_net_sharpe, percentile, permute_bars
from trainer.procedure.sample import Sample

HOUR = Interval.parse("1h")


def bars(n: int = 1_500, pull: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Return synthetic bars: each log return repeats `pull` of the one before."""
    rng = np.random.default_rng(seed)
    moves = rng.normal(0, 0.005, n)
    for i in range(1, n):
        moves[i] += pull * moves[i - 1]
    close = 100 * np.exp(np.cumsum(moves))
    open_ = np.concatenate([[100.0], close[:-1]]) * np.exp(rng.normal(0, 0.0005, n))
    return pd.DataFrame(
        {
            "timestamp": pd.date_range("2020-01-01", periods=n, freq="1h", tz="UTC"),
            "open": open_,
            "high": np.maximum(open_, close) * 1.001,
            "low": np.minimum(open_, close) * 0.999,
            "close": close,
            "volume": rng.lognormal(3, 1, n),
        }
    )


@pytest.mark.parametrize("block", [1, 7, 13, 5_000])
def test_bars_keep_their_ratios_and_only_their_order_changes(block: int) -> None:
    frame = bars()
    out = permute_bars(frame, block, np.random.default_rng(3))
    validate_bars(out, symbol="X", interval=HOUR)
    pd.testing.assert_series_equal(out["timestamp"], frame["timestamp"])
    for name in ("open", "high", "low", "close"):
        before = frame[name].to_numpy()[1:] / frame["close"].to_numpy()[:-1]
        after = out[name].to_numpy()[1:] / out["close"].to_numpy()[:-1]
        np.testing.assert_allclose(np.sort(after), np.sort(before), rtol=1e-9)
    assert sorted(out["volume"]) == sorted(frame["volume"])
    assert out["close"].iloc[-1] == pytest.approx(frame["close"].iloc[-1])
    if block < 100:
        assert (out["close"].to_numpy()[1:] != frame["close"].to_numpy()[1:]).mean() > 0.9


def test_dependence_stays_within_blocks_and_is_gone_between_them() -> None:
    def autocorrelation(frame: pd.DataFrame) -> float:
        moves = np.diff(np.log(frame["close"]))
        return float(np.corrcoef(moves[1:], moves[:-1])[0, 1])

    frame = bars(20_000, pull=0.5)
    assert autocorrelation(frame) == pytest.approx(0.5, abs=0.03)
    single = permute_bars(frame, 1, np.random.default_rng(0))
    assert autocorrelation(single) == pytest.approx(0, abs=0.03)
    pairs = permute_bars(frame, 10, np.random.default_rng(0))
    assert autocorrelation(pairs) == pytest.approx(0.45, abs=0.03)


class _Unread:
    def read(self, symbol: str, interval: str) -> RawBars:
        raise AssertionError("null runs read no bars")


def test_runs_differ_and_equal_seeds_give_equal_runs() -> None:
    features = FeatureSet.build(interval=HOUR, groups=["returns"], windows={"ret": [1, 4]})
    builder = DatasetBuilder(_Unread(), HOUR, features, LabelSpec("direction", 3))
    seen: list[float] = []

    def measure(sample: Sample) -> float:
        assert sample.volatility is not None
        seen.append(float(sample.forward_return[:50].sum()))
        return math.nan if len(seen) == 1 else len(seen)

    ratios = null_net_sharpe(builder, "X", bars(), measure, runs=3, seed=5, volatility_window=9)
    assert ratios == [0.0, 2.0, 3.0]  # a run that never traded counts as 0
    assert len(set(seen)) == 3
    first = seen.copy()
    null_net_sharpe(builder, "X", bars(), measure, runs=3, seed=5, volatility_window=9)
    assert seen[3:] == first
    assert null_net_sharpe(builder, "X", bars(), measure, runs=0, seed=5) == []


@pytest.mark.parametrize(
    ("headline", "null", "expected"),
    [
        (1.0, [0.0, 0.5, 1.5, 2.0], 50.0),
        (0.0, [0.0, 0.0, 0.0, 1.0], 37.5),
        (math.nan, [0.0, -1.0], 75.0),
        (5.0, [1.0], 100.0),
        (1.0, [], math.nan),
    ],
)
def test_ties_count_half_in_the_percentile(
    headline: float, null: list[float], expected: float
) -> None:
    assert percentile(headline, null) == pytest.approx(expected, nan_ok=True)
