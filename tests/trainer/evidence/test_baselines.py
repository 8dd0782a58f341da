import numpy as np
import pandas as pd
import pytest

from features.bars import validate_bars
from features.interval import Interval
from trainer.evidence.baselines import baseline_metrics, momentum_position
from trainer.evidence.record import Record
from trainer.statistics.bootstrap import sharpe_difference
from trainer.statistics.costs import Costs, Terms
from trainer.statistics.performance import net_returns, sharpe

TERMS = Terms(Costs(10, 5), 8_760)


def bars_of(close, interval="1d", drop=()):
    times = pd.date_range("2024-01-01", periods=len(close), freq=interval.upper().replace("H", "h"),
                          tz="UTC")  # fmt: skip
    prices = dict.fromkeys(["open", "high", "low", "close"], np.asarray(close, dtype=float))
    frame = pd.DataFrame({"timestamp": times, **prices, "volume": 1.0}).drop(index=list(drop))
    return validate_bars(frame, symbol="X", interval=Interval.parse(interval), calendar="24/7")


def record_of(position, ahead):
    n = len(position)
    return Record(
        time_ns=np.arange(n), position=np.asarray(position, dtype=float),
        forward_return=np.asarray(ahead, dtype=float), probability=np.full(n, 0.5),
        outcome=np.zeros(n),
    )  # fmt: skip


def test_momentum_looks_thirty_days_back():
    close = [100.0, *[90.0] * 29, 100.0, 95.0, 89.0, 90.5]
    position = momentum_position(bars_of(close))
    assert position[:30].tolist() == [0] * 30, "the first thirty days have no past"
    # 100 against 100, 95 against 90, 89 against 90, 90.5 against 90.
    assert position[30:].tolist() == [0, 1, 0, 1]


def test_momentum_over_a_gap_takes_the_last_bar_before():
    close = np.full(801, 1_000.0)
    close[79], close[800] = 1_200.0, 1_100.0
    assert momentum_position(bars_of(close, "1h"))[-1] == 1
    # Without bar 80, which is 720 hours before the last one, bar 79 stands for it.
    assert momentum_position(bars_of(close, "1h", drop=[80]))[-1] == 0


def test_each_baseline_pays_the_same_costs():
    rng = np.random.default_rng(3)
    ahead = rng.normal(0, 0.01, 400)
    position = np.repeat(rng.integers(-1, 2, 40), 10)
    momentum = np.repeat(rng.integers(0, 2, 20), 20).astype(float)
    record = record_of(position, ahead)
    metrics = baseline_metrics(record, momentum, TERMS)
    net, hold, followed = (
        net_returns(held, ahead, TERMS.costs) for held in (position, np.ones(400), momentum)
    )
    assert metrics["momentum_sharpe"] == sharpe(followed, 8_760)
    for name, other in (("hold", hold), ("momentum", followed)):
        expected = sharpe_difference(net, other, 8_760, seed=0)
        assert metrics[f"less_{name}"] == sharpe(net, 8_760) - sharpe(other, 8_760)
        ends = (metrics[f"less_{name}_lower"], metrics[f"less_{name}_upper"])
        assert ends == (expected.lower, expected.upper)
    slope, intercept = np.polyfit(hold, net, 1)
    assert metrics["hold_beta"] == pytest.approx(slope)
    left = net - slope * hold
    assert left.mean() == pytest.approx(intercept)
    assert metrics["appraisal_ratio"] == pytest.approx(sharpe(left, 8_760))


def test_a_model_that_holds_has_a_beta_of_one_and_nothing_else():
    ahead = np.random.default_rng(4).normal(0, 0.01, 300)
    metrics = baseline_metrics(record_of(np.ones(300), ahead), np.zeros(300), TERMS)
    assert metrics["hold_beta"] == pytest.approx(1)
    assert np.isnan(metrics["appraisal_ratio"])
    assert (metrics["less_hold"], metrics["momentum_return"]) == (0, 0)


def test_a_model_that_never_traded_is_compared_as_a_ratio_of_zero():
    ahead = np.random.default_rng(4).normal(0.001, 0.01, 300)
    metrics = baseline_metrics(record_of(np.zeros(300), ahead), np.zeros(300), TERMS)
    hold = net_returns(np.ones(300), ahead, TERMS.costs)
    assert metrics["less_hold"] == pytest.approx(-sharpe(hold, 8_760))
    assert np.isnan(metrics["appraisal_ratio"])
