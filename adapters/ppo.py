"""The PPO adapter: a policy that learns to trade after costs, with scores from its actions."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch

from adapters.base import Batch, Range, Value, check_fit, check_rows, not_fitted
from adapters.policy import POSITIONS, PolicyNetwork, greedy_positions
from adapters.torch_tools import (
    NETWORK_RULES,
    Standardiser,
    TorchAdapter,
    damaged,
    deterministic,
    fit_on_device,
    load_tensors,
    one_thread,
    save_tensors,
    select_fields,
)


class PPOAdapter(TorchAdapter):
    """Proximal policy optimisation (PPO) in a market of the training rows.

    The reward of a bar is its return after costs. The policy reads the features of a row and the
    position held, and nothing later than the row. The score of a row is
    ``(1 + P(long) - P(short)) / 2`` with no position held; calibrator, threshold and costs are the
    same as for every other model. For regression the score is ``P(long) - P(short)`` times the
    standard deviation of the training labels. `rollout` returns the policy's own greedy positions.

    Sample weights are not used: they correct for labels that overlap, and returns of single bars
    do not overlap.
    """

    name = "ppo"
    defaults: ClassVar[Mapping[str, Value]] = {
        "timesteps": 200_000,
        "passes": 15,
        "n_envs": 256,
        "n_steps": 32,
        "batch_size": 2_048,
        "n_epochs": 4,
        "episode_bars": 128,
        "hidden": 32,
        "learning_rate": 1e-3,
        "gamma": 0.9,
        "gae_lambda": 0.95,
        "ent_coef": 0.01,
        "clip_range": 0.2,
        "patience": 10,
        "n_seeds": 1,
    }
    rules: ClassVar[Mapping[str, tuple[float, float]]] = {
        **NETWORK_RULES,
        "timesteps": (1, 1e9),
        "passes": (1, 1e9),
        "n_envs": (1, 10_000),
        "n_steps": (2, 10_000),
        "batch_size": (2, 1e7),
        "n_epochs": (1, 1_000),
        "episode_bars": (2, 1e6),
        "gamma": (0, 1),
        "gae_lambda": (0, 1),
        "ent_coef": (0, 10),
        "clip_range": (0.01, 1),
        "n_seeds": (1, 100),
    }
    space: ClassVar[Mapping[str, Range | tuple[Value, ...]]] = {
        "hidden": (16, 32, 64),
        "learning_rate": Range(3e-4, 3e-3, log=True),
        "gamma": Range(0.5, 0.99),
        "ent_coef": Range(1e-3, 0.1, log=True),
        "clip_range": Range(0.1, 0.4),
    }
    fitted_to = "returns"

    _policies: tuple[PolicyNetwork, ...] = ()
    _standardiser: Standardiser
    #: Factor from P(long) - P(short) to a score for regression.
    _return_scale: float = 1.0
    _fit_summary: dict[str, Any]

    @property
    def trials(self) -> int:
        """Number of seeds: each seed is a trial."""
        return int(self.params["n_seeds"])

    def fit(self, train: Batch, valid: Batch | None = None) -> Self:
        """Fit one policy for each seed; `valid` ends its fit early and selects its weights."""
        check_fit(train, valid, self.task)
        fit_on_device(
            self.name,
            self.device,
            lambda device: self._fit(train, valid, device),
            self.on_progress,
        )
        return self

    def _fit(self, train: Batch, valid: Batch | None, device: torch.device) -> None:
        # Imported here, so that serving a model does not load stable-baselines3.
        from adapters.ppo_training import Settings, make_market, train_policy

        standardiser = Standardiser.of(train.X)
        market = make_market(train, standardiser)
        valid_market = None if valid is None else make_market(valid, standardiser)
        policies, curves = [], []
        for seed in range(self.seed, self.seed + self.trials):
            settings = Settings(seed=seed, **select_fields(Settings, self.params))
            with deterministic(seed), _restored_generators():
                policy = PolicyNetwork(train.X.shape[1], settings.hidden)
                curves.append(
                    train_policy(policy, market, valid_market, settings, device, self.on_progress)
                )
            policies.append(policy.to("cpu").eval())
        self._policies, self._standardiser = tuple(policies), standardiser
        self._return_scale = 1.0 if self.task == "classification" else float(train.y.std()) or 1.0
        self._fit_summary = {
            "device": device.type,
            "valid_curve": curves[0],
            "valid_curves": curves,
        }

    def predict(
        self, X: npt.NDArray[np.float32], position: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float64]:
        """Return the scores with no position held; `position` has no effect."""
        probabilities = self._probabilities(X, 0.0)
        lean = probabilities[:, 2] - probabilities[:, 0]
        return lean * self._return_scale if self.task == "regression" else (1.0 + lean) / 2.0

    def rollout(
        self, X: npt.NDArray[np.float32], position: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int8]:
        """Return the positions of one greedy pass: flat before the first row and after a jump."""
        best = np.stack(  # (3, n)
            [POSITIONS[self._probabilities(X, float(held)).argmax(axis=1)] for held in POSITIONS]
        )
        return greedy_positions(best, position).astype(np.int8)

    def _probabilities(self, X: npt.NDArray[np.float32], held: float) -> npt.NDArray[np.float64]:
        """Return the mean over seeds of P(short), P(flat) and P(long), of shape (n, 3)."""
        policies = self._fitted_policies()
        check_rows(X, len(self._standardiser.center))
        with one_thread():
            rows = self._standardiser(X)
            by_seed = [policy(rows, held).numpy() for policy in policies]
        return np.asarray(np.mean(by_seed, axis=0))

    def get_artifacts(self) -> dict[str, Any]:
        """Return hyperparameters, device, and the net return on `valid` after each round."""
        self._fitted_policies()
        return {"params": dict(self.params), **self._fit_summary}

    def save(self, path: Path) -> None:
        """Write weights and standardiser as safetensors, with a JSON header."""
        policies = self._fitted_policies()
        tensors = self._standardiser.tensors()
        for number, policy in enumerate(policies):
            tensors |= {f"{number}.{name}": value for name, value in policy.state_dict().items()}
        header = {"task": self.task, "params": self.params, "size": self._return_scale}
        save_tensors(path, self.name, tensors, header)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a model that `save` wrote."""
        tensors, header = load_tensors(cls.name, path)
        try:
            loaded = cls(task=header["task"], params=header["params"])
            loaded._return_scale = float(header["size"])
            loaded._standardiser = Standardiser.pop_from(tensors)
            n_features, hidden = len(loaded._standardiser.center), int(loaded.params["hidden"])
            policies = []
            for number in range(loaded.trials):
                policy = PolicyNetwork(n_features, hidden)
                prefix = f"{number}."
                policy.load_state_dict(
                    {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
                )
                policies.append(policy.eval())
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise damaged(cls.name, path, error) from error
        loaded._policies, loaded._fit_summary = tuple(policies), {}
        return loaded

    def _fitted_policies(self) -> tuple[PolicyNetwork, ...]:
        if not self._policies:
            raise not_fitted(self.name)
        return self._policies


@contextmanager
def _restored_generators() -> Iterator[None]:
    """Restore the global generators of Python and NumPy: stable-baselines3 seeds them."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
