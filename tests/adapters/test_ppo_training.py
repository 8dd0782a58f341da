"""Fits of one policy: market, net return of a pass, early stopping. All rows are synthetic."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from adapters.base import AdapterError, Batch
from adapters.policy import PolicyNetwork
from adapters.ppo_training import Settings, make_market, train_policy
from adapters.torch_tools import Standardiser, deterministic
from adapters.trading_env import Market

SETTINGS = Settings(
    timesteps=2_000,
    passes=1_000,
    n_envs=16,
    n_steps=16,
    batch_size=64,
    n_epochs=2,
    episode_bars=32,
    hidden=8,
    learning_rate=1e-3,
    gamma=0.9,
    gae_lambda=0.95,
    ent_coef=0.01,
    clip_range=0.2,
    patience=100,
    seed=3,
)


def rows(n: int = 300, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    X = rng.normal(3, 2, size=(n, 4)).astype(np.float32)
    returns = 0.01 * rng.normal(size=n)
    return Batch(X, (returns > 0).astype(float), np.ones(n), np.arange(n), returns, 0.001)


def market(n: int = 300, seed: int = 0) -> Market:
    return make_market(rows(n, seed), Standardiser.of(rows().X))


def fit(
    settings: Settings, valid: Market | None
) -> tuple[list[float], list[str], dict[str, torch.Tensor]]:
    """Return curve, progress texts and weights of a fit."""
    texts: list[str] = []
    with deterministic(settings.seed):
        policy = PolicyNetwork(4, settings.hidden)
        cpu = torch.device("cpu")
        curve = train_policy(policy, market(), valid, settings, cpu, texts.append)
    return curve, texts, policy.state_dict()


def test_a_market_has_standardised_features_and_the_costs_of_the_batch() -> None:
    batch = rows()
    built = make_market(batch, Standardiser.of(batch.X))
    np.testing.assert_allclose(built.features.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_array_equal(built.forward_return, batch.forward_return)
    np.testing.assert_array_equal(built.position, batch.position)
    assert built.cost == 0.001


def test_a_market_needs_forward_returns() -> None:
    batch = dataclasses.replace(rows(), forward_return=None)
    with pytest.raises(AdapterError, match="ppo needs the one-bar forward return of every row"):
        make_market(batch, Standardiser.of(batch.X))


def test_rounds_cover_the_timesteps_and_each_has_one_text_and_one_value() -> None:
    """2,000 steps in rounds of 256 are 8 rounds."""
    curve, texts, _ = fit(SETTINGS, market(100, 1))
    assert len(curve) == len(texts) == 8
    assert texts[0].startswith("round 1/8, net ")
    curve, texts, _ = fit(SETTINGS, None)
    assert curve == []
    assert texts[-1] == "round 8/8"


@pytest.mark.parametrize(
    ("n_rows", "steps"), [(20_000, 200_000), (14_000, 200_000), (10_000, 150_000), (100, 50_000)]
)
def test_few_rows_take_fewer_steps_in_as_many_rounds_and_updates(n_rows: int, steps: int) -> None:
    """Fifteen passes over the rows, between 50,000 and 200,000 steps."""
    default = dataclasses.replace(
        SETTINGS, timesteps=200_000, passes=15, n_envs=256, n_steps=32, batch_size=2_048
    )
    scaled = default.for_rows(n_rows)
    assert scaled.timesteps == steps
    assert scaled.n_envs == default.n_envs
    for settings in (default, scaled):
        assert round(settings.timesteps / settings.round_steps, 1) == 24.4
        assert settings.round_steps / settings.batch_size == 4
    assert (scaled == default) == (n_rows >= 14_000)


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_patience_ends_the_fit_and_the_best_round_is_kept(patience: int) -> None:
    valid = market(100, 1)
    whole, _, _ = fit(SETTINGS, valid)
    rounds = range(1, len(whole) + 1)
    best = {number: int(np.argmax(whole[:number])) + 1 for number in rounds}
    last = next(number for number in rounds if number - best[number] >= patience)
    assert last < len(whole), "the fit must end early in this test"
    curve, _, weights = fit(dataclasses.replace(SETTINGS, patience=patience), valid)
    assert curve == whole[:last]
    # A fit of `best` rounds without validation ends with the same weights.
    timesteps = best[last] * SETTINGS.round_steps
    _, _, expected = fit(dataclasses.replace(SETTINGS, timesteps=timesteps), None)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
