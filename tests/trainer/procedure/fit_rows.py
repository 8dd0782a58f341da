"""Rows and models of the tests of the fit cache: small, quick, and the same in every process."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

import adapters
from adapters.base import Batch, ModelAdapter, Value

COLUMNS = 4
#: Small and quick; no value is the default, which a loaded model could have by mistake.
QUICK: Mapping[str, Mapping[str, Value]] = {
    "gru": {"lookback": 4, "chunk": 16, "hidden": 8, "max_epochs": 3},
    "lightgbm": {"num_boost_round": 9, "min_data_in_leaf": 5},
    "ppo": {"timesteps": 2_048, "n_envs": 32, "n_steps": 16, "hidden": 8, "n_seeds": 2},
}


def batch(n: int = 300, seed: int = 0) -> Batch:
    """Synthetic rows with a jump in their positions; the first feature drives the outcome."""
    rng = np.random.default_rng(seed)
    X = np.asfortranarray(rng.normal(size=(n, COLUMNS)).astype(np.float32))
    moved = X[:, 0].astype(float) + rng.normal(size=n)
    position = np.arange(n) + 7 * (np.arange(n) >= n // 2)
    y = (moved > 0).astype(float)
    return Batch(X, y, rng.uniform(0.5, 1.5, n), position, 0.01 * moved, 0.0001)


TRAIN, TAIL = batch(), batch(80, seed=1)


def make(name: str = "lightgbm", seed: int = 5, **params: Value) -> ModelAdapter:
    return adapters.find(name)(
        task="classification", seed=seed, params={**QUICK.get(name, {}), **params}
    )
