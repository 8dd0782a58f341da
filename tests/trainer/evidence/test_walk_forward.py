"""Walk-forward: exact proofs that a block is scored without its future; then noise, then signal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

import adapters
from adapters.base import ModelAdapter
from trainer.errors import TrainerError
from trainer.evidence.walk_forward import WalkForward, walk_forward
from trainer.procedure.procedure import Fitted, Procedure
from trainer.procedure.sample import Sample
from trainer.serving.rules import RuleSettings
from trainer.statistics.bar_axis import BarAxis
from trainer.statistics.bootstrap import sharpe_interval
from trainer.statistics.costs import Costs
from trainer.statistics.performance import net_returns, sharpe, total_return
from trainer.statistics.sharpe_inference import Moments, probabilistic_sharpe

Factory = Callable[..., Callable[[], ModelAdapter]]
BLOCKS = 3


@dataclass(frozen=True)
class Recording(Procedure):
    """The procedure with a list of the results of its runs."""

    runs: list[Fitted] = field(default_factory=list)

    def run(self, sample: Sample, models: Sequence[ModelAdapter] | None = None) -> Fitted:
        self.runs.append(super().run(sample, models))
        return self.runs[-1]


def recording(procedure: Procedure) -> Recording:
    return Recording(**vars(procedure))


def blocks_of(result: WalkForward) -> list[np.ndarray]:
    """Return the indices of each block in the arrays of a walk-forward."""
    ends = np.cumsum([block.test_rows for block in result.blocks])
    return np.split(np.arange(len(result.bar)), ends[:-1])


def rewritten(sample: Sample, rows: np.ndarray) -> Sample:
    y, outcome, ahead = (a.copy() for a in (sample.y, sample.outcome, sample.forward_return))
    y[rows], outcome[rows] = 1 - y[rows], 1 - outcome[rows]
    ahead[rows] = np.random.default_rng(1).normal(0, 0.01, len(rows))
    return replace(sample, y=y, outcome=outcome, forward_return=ahead)


def state(fitted: Fitted) -> tuple[Any, ...]:
    return (
        fitted.calibrator.to_json(),
        fitted.threshold,
        fitted.search.net_sharpe.tobytes(),
        fitted.probability.tobytes(),
        fitted.plan_digest,
    )


@pytest.mark.parametrize("calibration", ["platt", "isotonic", "auto"])
def test_no_bit_of_a_block_changes_when_its_outcomes_are_rewritten(
    synthetic_sample: Any, make_procedure: Any, trees: Factory, calibration: str
) -> None:
    """Rewritten are the outcomes of all rows with labels that reach into the block, or later."""
    sample = synthetic_sample(edge=0.002)

    def run(given: Sample) -> tuple[WalkForward, list[Fitted]]:
        procedure = recording(make_procedure(trees(), calibration=calibration))
        return walk_forward(given, procedure, BLOCKS), procedure.runs

    before, runs = run(sample)
    assert any(block.threshold is not None for block in before.blocks)
    for number, places in enumerate(blocks_of(before)):
        begin = before.bar[places[0]]
        reaching = np.flatnonzero(sample.label_end >= begin)
        assert sample.bar[reaching[0]] < begin  # purged rows are among them
        after, again = run(rewritten(sample, reaching))
        upto = slice(0, places[-1] + 1)
        assert after.probability[upto].tobytes() == before.probability[upto].tobytes()
        assert after.position[upto].tobytes() == before.position[upto].tobytes()
        for one, other in zip(runs[: number + 1], again, strict=False):
            assert state(one) == state(other)
        # The rewriting has an effect: it changes the metrics of the block and what comes later.
        after_metrics, before_metrics = after.blocks[number].metrics, before.blocks[number].metrics
        assert after_metrics["gross_sharpe"] != before_metrics["gross_sharpe"] or (
            not before.position[places].any()
        )
        assert after_metrics["log_loss"] != before_metrics["log_loss"]
        if number + 1 < BLOCKS:
            assert state(again[number + 1]) != state(runs[number + 1])


QUICK_PARAMS: dict[str, dict[str, Any]] = {
    "lightgbm": {"num_boost_round": 20, "min_data_in_leaf": 20},
    "gru": {"lookback": 4, "hidden": 4, "chunk": 32, "max_epochs": 2, "learning_rate": 0.01},
    "ppo": {"timesteps": 2_048, "n_envs": 32, "n_steps": 16, "batch_size": 256, "hidden": 8},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK_PARAMS)
def test_no_shipped_model_sees_the_outcomes_of_the_block_that_it_scores(
    synthetic_sample: Any, make_procedure: Any, name: str
) -> None:
    sample = synthetic_sample(edge=0.002)

    def make() -> ModelAdapter:
        return adapters.find(name)(task="classification", seed=3, params=QUICK_PARAMS[name])

    before = walk_forward(sample, make_procedure(make), BLOCKS)
    places = blocks_of(before)[-1]
    reaching = np.flatnonzero(sample.label_end >= before.bar[places[0]])
    after = walk_forward(rewritten(sample, reaching), make_procedure(make), BLOCKS)
    assert after.probability.tobytes() == before.probability.tobytes()
    assert after.position.tobytes() == before.position.tobytes()
    assert np.nanstd(before.probability) > 0, "constant probabilities would prove nothing"
    # For a later block they are the past, and the model must learn from them.
    earlier = np.flatnonzero(sample.label_end >= before.bar[blocks_of(before)[0][0]])
    moved = walk_forward(rewritten(sample, earlier), make_procedure(make), BLOCKS)
    assert moved.probability[places].tobytes() != before.probability[places].tobytes()


@pytest.mark.parametrize("lookback", [1, 8])
def test_every_fit_ends_before_the_block_it_is_scored_on(
    synthetic_sample: Any, make_procedure: Any, spy: Factory, seen: list[Any], lookback: int
) -> None:
    sample = synthetic_sample(600, holes=((300, 307),))
    ahead = np.random.default_rng(0).integers(2, 8, len(sample))
    sample = replace(sample, label_end=sample.bar + ahead)
    procedure = make_procedure(spy(lookback=lookback))
    result = walk_forward(sample, procedure, BLOCKS)
    n_fits = procedure.n_splits + 1
    assert len(seen) == BLOCKS * n_fits
    for number, places in enumerate(blocks_of(result)):
        begin = result.bar[places[0]]
        past = sample.bar[sample.label_end < begin]
        assert result.blocks[number].train_rows == len(past)
        fits = seen[number * n_fits : (number + 1) * n_fits]
        for call in fits:
            fitted_on = np.concatenate([call.train, call.tail])
            assert np.isin(fitted_on, past).all()
        production = fits[-1]
        assert production.tail[-1] == past[-1]  # the latest known rows are used
        (scored,) = production.scored
        np.testing.assert_array_equal(scored[-len(places) :], result.bar[places])
        assert len(scored) == len(places) + lookback - 1


def test_blocks_follow_each_other_to_the_end_and_are_tested_once(
    synthetic_sample: Any, make_procedure: Any, spy: Factory
) -> None:
    sample = synthetic_sample()
    for n_splits in (2, 3, 6):
        result = walk_forward(sample, make_procedure(spy()), n_splits)
        assert len(result.blocks) == n_splits
        np.testing.assert_array_equal(result.bar, sample.bar[-len(result.bar) :])
        sizes = [block.test_rows for block in result.blocks]
        assert max(sizes) - min(sizes) <= 1
        assert 0.5 < len(result.bar) / len(sample) < 0.75


def test_the_metrics_are_those_of_the_joined_positions(
    synthetic_sample: Any, make_procedure: Any, spy: Factory
) -> None:
    """On the axis of all bars, across blocks and a gap: nothing is averaged over blocks."""
    sample = synthetic_sample(edge=0.003, holes=((600, 605),))
    result = walk_forward(sample, make_procedure(spy()), BLOCKS)
    axis = np.arange(result.bar[0], result.bar[-1] + 1)
    held, ahead = np.zeros(len(axis)), np.zeros(len(axis))
    held[np.searchsorted(axis, result.bar)] = result.position
    ahead[np.searchsorted(axis, result.bar)] = sample.forward_return[-len(result.bar) :]
    net = net_returns(held, ahead, Costs(1.0, 0.5))
    assert result.metrics["n_bars"] == len(axis) == len(result.bar) + 5
    assert result.metrics["n_trades"] > 30
    assert result.metrics["net_return"] == total_return(net)
    assert result.metrics["net_sharpe"] == sharpe(net, 8_760)
    interval = sharpe_interval(net, 8_760, seed=0)
    ends = [result.metrics[f"net_sharpe_{end}"] for end in ("lower", "upper")]
    assert ends == list(interval)
    assert result.metrics["psr"] == probabilistic_sharpe(Moments.of(net))
    even = 1e4 * (held * ahead).sum() / np.abs(np.diff(held, prepend=0.0)).sum()
    assert result.metrics["break_even_bps"] == pytest.approx(even, rel=1e-12)
    long = net_returns(np.ones(len(axis)), ahead, Costs(1.0, 0.5))
    assert result.metrics["buy_hold_return"] == total_return(long)


def test_one_seed_gives_equal_results_and_models_share_the_plan(
    synthetic_sample: Any, make_procedure: Any, trees: Factory, spy: Factory
) -> None:
    sample = synthetic_sample(edge=0.002)
    first, second, other = (
        walk_forward(sample, make_procedure(make), BLOCKS) for make in (trees(1), trees(1), spy())
    )
    assert first.probability.tobytes() == second.probability.tobytes()
    np.testing.assert_equal(first.metrics, second.metrics)
    assert first.plan_digest == second.plan_digest == other.plan_digest
    assert not np.array_equal(first.probability, other.probability)


def test_too_few_rows_are_refused(synthetic_sample: Any, make_procedure: Any, spy: Factory) -> None:
    with pytest.raises(TrainerError, match="`embargo` must be smaller"):
        walk_forward(synthetic_sample(60), make_procedure(spy()), BLOCKS)
    with pytest.raises(TrainerError, match=rf"`wf_splits`={BLOCKS} is too many for 9 usable rows"):
        walk_forward(synthetic_sample(9), make_procedure(spy()), BLOCKS)


def net_sharpe(result: WalkForward) -> float:
    """Net Sharpe ratio, 0 for a walk-forward that never traded."""
    return result.metrics["net_sharpe"] if result.metrics["n_trades"] else 0.0


def test_noise_earns_nothing(synthetic_sample: Any, make_procedure: Any, trees: Factory) -> None:
    """Seeded synthetic random walks at 1.5 bps per side: higher costs would keep it flat anyway."""
    procedure = make_procedure(trees())
    results = [walk_forward(synthetic_sample(1_500, seed=s), procedure, BLOCKS) for s in range(24)]
    assert any(result.position.any() for result in results)
    assert np.mean([net_sharpe(result) for result in results]) <= 0
    flat = [block.threshold is None for result in results for block in result.blocks]
    assert np.mean(flat) > 0.5
    for result in results:
        if not result.position.any():
            assert np.isnan(result.metrics["net_sharpe"])  # undefined, never a good value


def test_a_planted_signal_earns_less_than_the_best_threshold_in_hindsight(
    synthetic_sample: Any, make_procedure: Any, trees: Factory
) -> None:
    """The bound trades the signal itself, without costs, at the threshold that was best."""
    for seed in range(4):
        sample = synthetic_sample(3_000, edge=0.001, seed=seed)
        result = walk_forward(sample, make_procedure(trees()), BLOCKS)
        signal = sample.X[-len(result.bar) :, 0]
        axis = BarAxis.of(result.bar)
        ahead = axis.place(sample.forward_return[-len(result.bar) :], 0.0)
        attainable = max(
            sharpe(np.sign(signal) * (np.abs(signal) >= level) * ahead, 8_760)
            for level in np.linspace(0, 1.5, 16)
        )
        assert all(block.threshold is not None for block in result.blocks)
        assert 0 < net_sharpe(result) < attainable
        assert result.metrics["log_loss"] < result.metrics["base_rate_log_loss"]
        assert result.metrics["roc_auc"] > 0.55


def held_slowly(p: np.ndarray, enters: np.ndarray, leaves: np.ndarray) -> list[int]:
    """Positions bar by bar from a flat start: enter at a signal, leave at 0.5, flat without p."""
    state, states = 0, []
    for probability, signal, leave in zip(p, enters, leaves, strict=True):
        if np.isnan(probability):
            state = 0
        elif signal:
            state = int(signal)
        elif leave == state:
            state = 0
        states.append(state)
    return states


@pytest.mark.parametrize("kind", ["exit", "break-even"])
@pytest.mark.parametrize("allow_short", [True, False])
def test_a_rule_that_holds_starts_each_block_flat_and_is_flat_without_a_row(
    synthetic_sample: Any, make_procedure: Any, trees: Factory, kind: Any, allow_short: bool
) -> None:
    sample = synthetic_sample(1_500, edge=0.004, holes=((840, 860), (1_000, 1_003)))
    # Volatility that is high in half of the bars: there the break-even is reached.
    volatility = np.where(sample.bar // 20 % 2, 0.004, 0.0001)
    settings = RuleSettings(kind, allow_short, cost=1.5e-4, horizon=6)
    procedure = make_procedure(trees(), position=settings)
    walk = walk_forward(replace(sample, volatility=volatility), procedure, BLOCKS)
    assert set(walk.position.tolist()) == ({-1, 0, 1} if allow_short else {0, 1})
    traded, held = 0, 0
    for block, places in zip(walk.blocks, blocks_of(walk), strict=True):
        axis = BarAxis.of(walk.bar[places])
        p = axis.place(walk.probability[places], np.nan)
        if block.threshold is None:
            assert not walk.position[places].any()
            continue
        traded += 1
        up, down = p >= block.threshold, 1 - p >= block.threshold
        if kind == "break-even":
            assert block.threshold == 0.5
            size = axis.place(volatility[np.searchsorted(sample.bar, walk.bar[places])], np.nan)
            edge = (2 * p - 1) * np.sqrt(2 / np.pi) * size * np.sqrt(6)
            up, down = edge >= 3e-4, edge <= -3e-4
        enters = np.where(up, 1, np.where(down & allow_short, -1, 0))
        leaves = np.where(p < 0.5, 1, np.where(p > 0.5, -1, 0))
        slow = np.array(held_slowly(p, enters, leaves))
        assert walk.position[places].tolist() == slow[axis.offset].tolist()
        held += int((enters[axis.offset] != walk.position[places]).sum())
    assert traded
    assert held > 10, "positions must be held between signals"
