"""PPO behind the contract: learns to trade net of costs, scores by what it would do when flat."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch

from adapters.base import (
    Batch,
    ModelAdapter,
    Value,
    check_batch,
    check_rows,
    not_fitted,
)
from adapters.policy import PolicyNetwork, greedy_positions
from adapters.torch_tools import (
    Standardiser,
    damaged,
    deterministic,
    device_name,
    load_tensors,
    on_device,
    one_thread,
    save_tensors,
)

#: (hyperparameter, least value, most value); both ends are allowed.
_RULES: Mapping[str, tuple[float, float]] = {
    "timesteps": (1, 1e9),
    "n_envs": (1, 10_000),
    "n_steps": (2, 10_000),
    "batch_size": (2, 1e7),
    "n_epochs": (1, 1_000),
    "episode_bars": (2, 1e6),
    "hidden": (1, 1_024),
    "learning_rate": (1e-7, 1),
    "gamma": (0, 1),
    "gae_lambda": (0, 1),
    "ent_coef": (0, 10),
    "clip_range": (0.01, 1),
    "patience": (1, 10_000),
    "n_seeds": (1, 100),
}


class PPOAdapter(ModelAdapter):
    """Proximal policy optimisation in a market of the training rows.

    The reward of a bar is its net return: it knows the costs, the position held, and nothing
    later than the row. The score is ``(1 + P(long) - P(short)) / 2`` at flat position, which then
    goes through the same calibrator, threshold and costs as every other model's; `rollout` gives
    the policy's own greedy positions beside it. For returns the score is
    ``(P(long) - P(short))`` times the deviation of the returns it was trained on.

    Sample weights do not apply: they say how much labels overlap, and rewards of single bars do
    not.
    """

    name = "ppo"
    defaults: ClassVar[Mapping[str, Value]] = {
        "timesteps": 200_000,
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
    rules = _RULES
    devices = ("cpu", "auto", "cuda")
    requirements: ClassVar[tuple[str, ...]] = ("torch", "safetensors")
    fitted_to = "returns"

    _policies: tuple[PolicyNetwork, ...] = ()
    _standardiser: Standardiser
    _size: float = 1.0
    _told: dict[str, Any]

    @property
    def trials(self) -> int:
        """Every seed is a trial."""
        return int(self.params["n_seeds"])

    @property
    def fit_device(self) -> str:
        """What a fit would run on here, by name."""
        return device_name(self.device)

    def fit(self, train: Batch, valid: Batch | None = None) -> Self:
        """Learn; with `valid`, keep the policy whose greedy pass over it earned most."""
        check_batch(train, self.task)
        if valid is not None:
            check_batch(valid, self.task)
            check_rows(valid.X, train.X.shape[1])
        on_device(self.name, self.device, lambda device: self._fit(train, valid, device), self.tell)
        return self

    def _fit(self, train: Batch, valid: Batch | None, device: torch.device) -> None:
        from adapters.ppo_training import train_policy

        standardiser = Standardiser.of(train.X)
        policies, curves = [], []
        for number in range(int(self.params["n_seeds"])):
            seed = self.seed + number
            with deterministic(seed), _global_generators():
                policy = PolicyNetwork(train.X.shape[1], int(self.params["hidden"]))
                curves.append(
                    train_policy(
                        policy, standardiser, train, valid, self.params, seed, device, self.tell
                    )
                )
            policies.append(policy.to("cpu").eval())
        self._policies, self._standardiser = tuple(policies), standardiser
        self._size = 1.0 if self.task == "classification" else float(train.y.std()) or 1.0
        self._told = {"device": device.type, "valid_curve": curves[0], "valid_curves": curves}

    def predict(
        self, X: npt.NDArray[np.float32], position: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float64]:
        """Score rows at flat position; `position` does not matter to a policy without memory."""
        chances = self._chances(X, 0.0)
        leaning = chances[:, 2] - chances[:, 0]
        return leaning * self._size if self.task == "regression" else (1.0 + leaning) / 2.0

    def rollout(
        self, X: npt.NDArray[np.float32], position: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int8]:
        """Positions of one greedy pass, flat before the first row and behind every jump."""
        best = np.stack([self._chances(X, held).argmax(axis=1) - 1 for held in (-1.0, 0.0, 1.0)])
        return greedy_positions(best, position).astype(np.int8)

    def _chances(self, X: npt.NDArray[np.float32], held: float) -> npt.NDArray[np.float64]:
        """Probabilities of short, flat, long, of shape (n, 3): the mean over seeds."""
        if not self._policies:
            raise not_fitted(self.name)
        check_rows(X, len(self._standardiser.center))
        with one_thread():
            rows = self._standardiser(X)
            parts = [policy(rows, held).numpy() for policy in self._policies]
        return np.asarray(np.mean(parts, axis=0))

    def get_artifacts(self) -> dict[str, Any]:
        """Hyperparameters, device, and the greedy net return on watched rows, round by round."""
        if not self._policies:
            raise not_fitted(self.name)
        return {"params": dict(self.params), **self._told}

    def save(self, path: Path) -> None:
        """Write weights and normaliser as safetensors, settings as JSON in its header."""
        if not self._policies:
            raise not_fitted(self.name)
        tensors = self._standardiser.tensors()
        for number, policy in enumerate(self._policies):
            tensors |= {f"{number}.{name}": value for name, value in policy.state_dict().items()}
        header = {"task": self.task, "params": self.params, "size": self._size}
        save_tensors(path, self.name, tensors, header)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        tensors, header = load_tensors(cls.name, path)
        try:
            loaded = cls(task=header["task"], params=header["params"])
            loaded._size, loaded._standardiser = float(header["size"]), Standardiser.take(tensors)
            policies = []
            for number in range(int(loaded.params["n_seeds"])):
                n_features, hidden = len(loaded._standardiser.center), int(loaded.params["hidden"])
                policy = PolicyNetwork(n_features, hidden)
                start = f"{number}."
                own = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
                policy.load_state_dict(own)
                policies.append(policy.eval())
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise damaged(cls.name, path, error) from error
        loaded._policies, loaded._told = tuple(policies), {}
        return loaded


@contextmanager
def _global_generators() -> Iterator[None]:
    """Put Python's and NumPy's global generators back: stable-baselines3 seeds them."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
