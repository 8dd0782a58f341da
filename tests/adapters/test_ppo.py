"""The PPO adapter: returns with and without a signal, costs, seeds, serving.

All markets are synthetic.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from adapters.base import AdapterError, Batch
from adapters.ppo import PPOAdapter
from trainer.statistics.costs import Costs
from trainer.statistics.performance import net_returns, sharpe

BUDGET = {"timesteps": 65_536, "n_envs": 128, "n_steps": 32, "batch_size": 1_024}
COST = 0.0015


def market(n: int, seed: int, strength: float) -> Batch:
    """Return rows with a slow first feature: `strength` times it plus noise is the return."""
    rng = np.random.default_rng(seed)
    signal = np.zeros(n)
    for i in range(1, n):
        signal[i] = 0.95 * signal[i - 1] + np.sqrt(1 - 0.95**2) * rng.normal()
    X = rng.normal(size=(n, 6)).astype(np.float32)
    X[:, 0] = signal
    returns = 0.004 * (strength * signal + rng.normal(size=n))
    return Batch(X, (returns > 0).astype(float), np.ones(n), np.arange(n), returns, COST)


def ppo(**more: object) -> PPOAdapter:
    return PPOAdapter(task="classification", seed=1, params={**BUDGET, **more})  # type: ignore[dict-item]


def net_sharpe(position: np.ndarray, batch: Batch) -> float:
    assert batch.forward_return is not None
    net = net_returns(position, batch.forward_return, Costs(10, 5))
    return sharpe(net, 8_760) if net.std() else 0.0


def attainable(batch: Batch) -> float:
    """Return the best net Sharpe ratio of rules on the signal: one level to enter, one to leave."""
    best = 0.0
    for enter in np.arange(0.2, 1.4, 0.2):
        for leave in np.arange(0.0, enter, 0.2):
            held, positions = 0, []
            for value in batch.X[:, 0].tolist():
                if abs(value) > enter:
                    held = 1 if value > 0 else -1
                elif abs(value) < leave:
                    held = 0
                positions.append(held)
            best = max(best, net_sharpe(np.array(positions), batch))
    return best


@pytest.fixture(scope="module")
def with_signal() -> PPOAdapter:
    return ppo().fit(market(12_000, 0, 0.4), market(2_500, 1, 0.4))


def test_the_policy_earns_most_of_the_attainable_sharpe_ratio_on_later_rows(
    with_signal: PPOAdapter,
) -> None:
    test = market(12_000, 2, 0.4)
    best = attainable(test)
    own = net_sharpe(with_signal.rollout(test.X, test.position), test)
    scores = with_signal.predict(test.X)
    scored = net_sharpe(np.where(scores > 0.7, 1, np.where(scores < 0.3, -1, 0)), test)
    assert 15 < best < 40
    assert 0.6 * best < own < 1.05 * best
    assert 0.6 * best < scored < 1.05 * best


def test_a_policy_fitted_on_noise_does_not_trade() -> None:
    model = ppo().fit(market(12_000, 0, 0.0), market(2_500, 1, 0.0))
    test = market(12_000, 2, 0.0)
    position = model.rollout(test.X, test.position)
    assert net_sharpe(position, test) < 1.0
    assert np.abs(np.diff(position, prepend=0)).sum() < 0.05 * len(test)


def test_the_policy_tends_to_keep_the_position_held(with_signal: PPOAdapter) -> None:
    """The probabilities of the same row depend on the position held, because a change costs."""
    near_zero = np.zeros((1, 6), dtype=np.float32)
    near_zero[0, 0] = 0.1
    when_short, when_long = (with_signal._probabilities(near_zero, held)[0] for held in (-1.0, 1.0))
    assert when_short[0] > when_long[0] + 0.1
    assert when_long[2] > when_short[2] + 0.1


def test_scores_come_from_the_probabilities_when_flat_and_are_not_random(
    with_signal: PPOAdapter,
) -> None:
    X = market(50, 3, 0.4).X
    probabilities = with_signal._probabilities(X, 0.0)
    expected = (1 + probabilities[:, 2] - probabilities[:, 0]) / 2
    np.testing.assert_allclose(with_signal.predict(X), expected, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(with_signal.predict(X), with_signal.predict(X))
    batch = market(400, 4, 0.4)
    first = with_signal.rollout(batch.X, batch.position)
    np.testing.assert_array_equal(first, with_signal.rollout(batch.X, batch.position))


def test_scoring_does_not_change_the_standardiser(with_signal: PPOAdapter) -> None:
    before = [t.clone() for t in with_signal._standardiser.tensors().values()]
    with_signal.predict(np.full((500, 6), 30.0, dtype=np.float32))
    after = with_signal._standardiser.tensors().values()
    assert all(bool((a == b).all()) for a, b in zip(before, after, strict=True))


@pytest.mark.slow
def test_high_costs_reduce_the_turnover() -> None:
    def turnover(cost: float) -> int:
        train, valid = (
            dataclasses.replace(market(n, seed, 0.4), cost=cost)
            for n, seed in ((6_000, 0), (2_000, 1))
        )
        test = market(4_000, 2, 0.4)
        position = ppo().fit(train, valid).rollout(test.X, test.position)
        return int(np.abs(np.diff(position, prepend=0)).sum())

    assert turnover(0.006) < 0.5 * turnover(0.0)


def test_seeds_are_averaged_and_counted_as_trials(tmp_path: Path) -> None:
    quick = {"timesteps": 2_048, "n_envs": 16, "n_steps": 16, "batch_size": 64, "hidden": 8}
    train, valid = market(600, 0, 0.4), market(200, 1, 0.4)
    pair = PPOAdapter(task="classification", seed=5, params={**quick, "n_seeds": 2})
    pair.fit(train, valid)
    single = [
        PPOAdapter(task="classification", seed=s, params=quick).fit(train, valid) for s in (5, 6)
    ]
    X = market(40, 2, 0.4).X
    expected = np.mean([model.predict(X) for model in single], axis=0)
    np.testing.assert_allclose(pair.predict(X), expected, rtol=0, atol=1e-12)
    assert pair.trials == 2
    assert single[0].trials == 1
    pair.save(tmp_path / "model.bin")
    np.testing.assert_array_equal(
        PPOAdapter.load(tmp_path / "model.bin").predict(X), pair.predict(X)
    )


def test_rows_without_forward_returns_are_refused() -> None:
    bare = dataclasses.replace(market(300, 0, 0.4), forward_return=None)
    with pytest.raises(AdapterError, match="ppo needs the one-bar forward return of every row"):
        ppo().fit(bare)


SERVE = """
import sys
import tempfile
from pathlib import Path
import numpy as np
import adapters
model = adapters.find("ppo").load(Path(sys.argv[1]))
model.predict(np.zeros((3, 6), dtype=np.float32))
print([m for m in ("stable_baselines3", "gymnasium", "matplotlib") if m in sys.modules])
"""


def test_serving_does_not_import_the_learner(with_signal: PPOAdapter, tmp_path: Path) -> None:
    with_signal.save(tmp_path / "model.bin")
    done = subprocess.run(
        [sys.executable, "-c", SERVE, str(tmp_path / "model.bin")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_a_fit_leaves_no_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    quick = {"timesteps": 1_024, "n_envs": 16, "n_steps": 16, "batch_size": 64, "hidden": 8}
    PPOAdapter(task="classification", params=quick).fit(market(300, 0, 0.4))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("SB3")] == []
