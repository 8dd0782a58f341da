"""Two models on the same bars, compared with loops over the bars."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.registry_store import synthetic_bars
from trainer.evidence.record import Record
from trainer.registry.paired import Track, compare_tracks, track
from trainer.serving.calibrators import PlattCalibrator
from trainer.serving.holding_rules import Exit
from trainer.serving.trading_model import TradingModel
from trainer.statistics.costs import Costs, Terms
from trainer.statistics.performance import net_returns, sharpe

MODEL = TradingModel.load(Path(__file__).resolve().parents[2] / "data" / "model_format_2")
BARS = synthetic_bars(1_500)
TIMES = pd.DatetimeIndex(BARS["timestamp"]).as_unit("ns").asi8
TERMS = Terms(Costs(10.0, 5.0), 8_760.0)


def record(start: int, stop: int) -> Record:
    rng = np.random.default_rng(start)
    probability = np.where(rng.random(stop - start) < 0.1, np.nan, 0.5)
    return Record(
        TIMES[start:stop],
        np.where(np.isnan(probability), 0.0, rng.integers(-1, 2, stop - start)),
        np.where(np.isnan(probability), 0.0, rng.normal(0, 0.02, stop - start)),
        probability,
        np.where(np.isnan(probability), np.nan, 1.0),
    )


def test_the_walk_forward_decides_up_to_the_end_of_training_and_then_the_model() -> None:
    walk, last = record(600, 1_190), 1_199
    result = track(MODEL, walk, pd.Timestamp(BARS["timestamp"].iloc[last]), BARS)
    n = len(walk)
    assert result.time_ns[:n].tolist() == walk.time_ns.tolist()
    assert result.position[:n].tolist() == walk.position.tolist()
    assert result.forward_return[:n].tolist() == walk.forward_return.tolist()
    assert result.known[:n].tolist() == np.isfinite(walk.probability).tolist()
    assert not result.rescored[:n].any()
    assert result.rescored[n:].all()

    decided = MODEL.decide(BARS).set_index("timestamp")
    open_ = BARS["open"].tolist()
    expected = []
    # The first bar that was not trained on; the last whose return is known: it ends at open i + 2.
    for i in range(last + 1, len(BARS) - 2):
        row = decided.loc[BARS["timestamp"].iloc[i]]
        expected.append((TIMES[i], row["position"], open_[i + 2] / open_[i + 1] - 1))
    rows = zip(result.time_ns[n:], result.position[n:], result.forward_return[n:], strict=True)
    assert list(rows) == expected
    assert {position for _, position, _ in expected} == {-1, 0, 1}, "nothing could be misaligned"
    assert result.known[n:].all()


def test_a_model_whose_bars_do_not_tell_what_it_holds_begins_flat() -> None:
    """All its probabilities are about 0.6, and none reaches its entry at 0.99."""
    model = replace(MODEL, calibrator=PlattCalibrator(0.001, 0.41), threshold=Exit(0.99))
    last = pd.Timestamp(BARS["timestamp"].iloc[1_199])
    result = track(model, record(600, 1_190), last, BARS)
    assert result.rescored.sum() == 298
    assert not result.position[result.rescored].any()


@pytest.mark.parametrize("first", [0, 1_201 - MODEL.required_bars])
def test_without_later_bars_or_enough_of_them_the_walk_forward_is_all(first: int) -> None:
    walk = record(600, 1_190)
    last = pd.Timestamp(BARS["timestamp"].iloc[1_199])
    frame = BARS.iloc[first : 1_200 if first == 0 else 1_400]
    result = track(MODEL, walk, last, frame)
    assert result.time_ns.tolist() == walk.time_ns.tolist()
    assert not result.rescored.any()


def test_bars_without_features_are_flat_and_not_known() -> None:
    frame = BARS.drop(index=range(1_250, 1_300)).reset_index(drop=True)  # a gap of 50 bars
    result = track(MODEL, record(600, 1_190), pd.Timestamp(BARS["timestamp"].iloc[1_199]), frame)
    later = result.rescored
    assert 0 < result.known[later].sum() < later.sum()
    assert not result.position[later & ~result.known].any()


def a_track(start: int, stop: int, seed: int, returns: np.ndarray, rescored: int) -> Track:
    rng = np.random.default_rng(seed)
    position = rng.integers(-1, 2, stop - start).astype(float)
    known = rng.random(stop - start) > 0.2
    return Track(
        TIMES[start:stop], position, returns[start:stop], known,
        np.arange(start, stop) >= rescored,
    )  # fmt: skip


def test_only_bars_that_both_decided_count() -> None:
    returns = np.random.default_rng(1).normal(0.001, 0.02, len(TIMES))
    first, second = a_track(100, 900, 1, returns, 700), a_track(300, 1_200, 2, returns, 800)
    compared = compare_tracks(first, second, TERMS)
    bars = rescored = 0
    positions: list[list[float]] = [[], []]
    moves = []
    for i in range(300, 900):
        a, b = i - 100, i - 300
        both = first.known[a] and second.known[b]
        bars += both
        rescored += both and (first.rescored[a] or second.rescored[b])
        positions[0].append(first.position[a] if both else 0.0)
        positions[1].append(second.position[b] if both else 0.0)
        moves.append(returns[i] if both else 0.0)
    net = [net_returns(position, moves, Costs(10, 5)) for position in positions]
    assert (compared.bars, compared.rescored, compared.same_prices) == (bars, rescored, True)
    assert compared.difference.observed == pytest.approx(
        sharpe(net[0], 8_760) - sharpe(net[1], 8_760)
    )
    back = compare_tracks(second, first, TERMS)
    assert back.difference.observed == -compared.difference.observed
    assert (back.bars, back.rescored) == (bars, rescored)


def test_another_price_counts_only_where_both_decided() -> None:
    returns = np.random.default_rng(1).normal(0, 0.02, len(TIMES))
    first, second = a_track(0, 500, 1, returns, 500), a_track(0, 500, 2, returns.copy(), 500)
    both = first.known & second.known
    second.forward_return[np.flatnonzero(~both)] += 0.01
    assert compare_tracks(first, second, TERMS).same_prices
    second.forward_return[np.flatnonzero(both)[7]] += 1e-5
    assert not compare_tracks(first, second, TERMS).same_prices


def test_tracks_without_a_common_bar_have_none() -> None:
    returns = np.random.default_rng(1).normal(0, 0.02, len(TIMES))
    compared = compare_tracks(
        a_track(0, 300, 1, returns, 0), a_track(300, 600, 2, returns, 0), TERMS
    )
    assert (compared.bars, compared.rescored) == (0, 0)
    assert np.isnan(compared.difference.at_least)
    # Bars that only one of them decided are no common bars either.
    first, second = a_track(0, 300, 1, returns, 0), a_track(0, 300, 2, returns, 0)
    first.known[:] = np.arange(300) < 150
    second.known[:] = ~first.known
    assert compare_tracks(first, second, TERMS).bars == 0
