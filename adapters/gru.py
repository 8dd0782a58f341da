"""GRU behind the contract: standardised rows in, windows of one length scored, safetensors out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch

from adapters.base import (
    AdapterError,
    Batch,
    ModelAdapter,
    Value,
    check_batch,
    check_rows,
    not_fitted,
)
from adapters.gru_training import Rows, Settings, train_network
from adapters.recurrent import RecurrentNetwork, window_ends
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

#: The first score of a network is the base rate, kept off 0 and 1 by this much.
_MIN_RATE = 0.01
#: (hyperparameter, least value, most value); both ends are allowed.
_RULES: Mapping[str, tuple[float, float]] = {
    "lookback": (2, 1_000),
    "hidden": (1, 1_024),
    "dropout": (0, 1),
    "learning_rate": (1e-7, 1),
    "weight_decay": (0, 100),
    "chunk": (2, 10_000),
    "batch": (1, 10_000),
    "max_epochs": (1, 10_000),
    "checks_per_epoch": (1, 1_000),
    "patience": (1, 10_000),
    "clip_norm": (1e-6, 1e6),
}


class GRUAdapter(ModelAdapter):
    """A GRU over the last `lookback` bars.

    Training cuts the series into chunks and lets every row with at least `lookback` bars of
    context count: a bar's work is then done about once an epoch and not `lookback` times.
    Scoring gives each row exactly `lookback` bars from a zero state, so that a series and a
    single new bar are scored alike. Scores are always computed on the CPU.
    """

    name = "gru"
    defaults: ClassVar[Mapping[str, Value]] = {
        "lookback": 32,
        "hidden": 32,
        "dropout": 0.1,
        "learning_rate": 1e-3,
        "weight_decay": 0.01,
        "chunk": 128,
        "batch": 8,
        "max_epochs": 20,
        "checks_per_epoch": 4,
        "patience": 8,
        "clip_norm": 1.0,
    }
    rules: ClassVar[Mapping[str, tuple[float, float]]] = _RULES
    devices = ("cpu", "auto", "cuda")
    requirements: ClassVar[tuple[str, ...]] = ("torch", "safetensors")

    _network: RecurrentNetwork | None = None
    _standardiser: Standardiser
    _target: tuple[float, float] = (0.0, 1.0)
    _told: dict[str, Any]

    @property
    def lookback(self) -> int:
        """Consecutive rows that one score needs, its own included."""
        return int(self.params["lookback"])

    @property
    def fit_device(self) -> str:
        """What a fit would run on here, by name."""
        return device_name(self.device)

    def fit(self, train: Batch, valid: Batch | None = None) -> Self:
        """Fit; with `valid`, stop when its loss stops falling and keep the best weights."""
        check_batch(train, self.task)
        if valid is not None:
            check_batch(valid, self.task)
            check_rows(valid.X, train.X.shape[1])
        if not len(window_ends(train.position, self.lookback)):
            raise AdapterError(
                f"gru finds no {self.lookback} consecutive bars among {len(train)} training rows; "
                "give more bars, or a shorter gru.lookback"
            )
        on_device(self.name, self.device, lambda device: self._fit(train, valid, device), self.tell)
        return self

    def _fit(self, train: Batch, valid: Batch | None, device: torch.device) -> None:
        p = self.params
        self._standardiser = Standardiser.of(train.X)
        self._target = (0.0, 1.0) if self.task == "classification" else _moments(train)
        settings = Settings(
            task=self.task,
            chunk=max(int(p["chunk"]), self.lookback),
            seed=self.seed,
            **{name: p[name] for name in Settings.__annotations__ if name in p and name != "chunk"},  # type: ignore[arg-type]
        )
        with deterministic(self.seed):
            network = RecurrentNetwork(train.X.shape[1], int(p["hidden"]), float(p["dropout"]))
            if self.task == "classification":
                rate = float(np.average(train.y, weights=train.weight))
                rate = min(max(rate, _MIN_RATE), 1 - _MIN_RATE)
                torch.nn.init.constant_(network.head.bias, float(np.log(rate / (1 - rate))))
            history = train_network(
                network.to(device),
                self._rows(train, device),
                None if valid is None else self._rows(valid, device),
                settings,
                self.tell,
            )
        self._network = network.to("cpu").eval()
        self._told = {
            "device": device.type,
            "updates": history.updates,
            "best_update": history.best_update,
            "train_curve": history.train_loss,
            "valid_curve": history.valid_loss,
        }

    def _rows(self, batch: Batch, device: torch.device) -> Rows:
        center, scale = self._target
        y = (batch.y - center) / scale
        # Mean 1: the loss keeps its size, whatever the scale of the weights.
        weight = batch.weight / batch.weight.mean()
        return Rows(
            self._standardiser(batch.X).to(device),
            torch.from_numpy(y.astype(np.float32)).to(device),
            torch.from_numpy(weight.astype(np.float32)).to(device),
            batch.position,
        )

    def predict(
        self, X: npt.NDArray[np.float32], position: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float64]:
        """Score rows from the `lookback` consecutive rows that end at each; NaN where they lack."""
        network = self._fitted()
        check_rows(X, network.gru.input_size)
        scores = np.full(len(X), np.nan)
        ends = window_ends(np.arange(len(X)) if position is None else position, self.lookback)
        if not len(ends):
            return scores
        with one_thread():
            output = network.score_windows(
                self._standardiser(X), torch.from_numpy(ends), self.lookback
            ).double()
            if self.task == "classification":
                output = torch.sigmoid(output)
        center, scale = self._target
        scores[ends] = output.numpy() * scale + center
        return scores

    def get_artifacts(self) -> dict[str, Any]:
        """Hyperparameters, device, updates, and losses check by check."""
        self._fitted()
        return {"params": dict(self.params), **self._told}

    def save(self, path: Path) -> None:
        """Write weights and standardiser as safetensors, settings as JSON in its header."""
        header = {"task": self.task, "params": self.params, "target": self._target}
        tensors = {**self._fitted().state_dict(), **self._standardiser.tensors()}
        save_tensors(path, self.name, tensors, header)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        tensors, header = load_tensors(cls.name, path)
        try:
            loaded = cls(task=header["task"], params=header["params"])
            loaded._target = (float(header["target"][0]), float(header["target"][1]))
            loaded._standardiser = Standardiser.take(tensors)
            network = RecurrentNetwork(
                len(loaded._standardiser.center),
                int(loaded.params["hidden"]),
                float(loaded.params["dropout"]),
            )
            network.load_state_dict(tensors)
        except (KeyError, TypeError, IndexError, ValueError, RuntimeError) as error:
            raise damaged(cls.name, path, error) from error
        loaded._network, loaded._told = network.eval(), {}
        return loaded

    def _fitted(self) -> RecurrentNetwork:
        if self._network is None:
            raise not_fitted(self.name)
        return self._network


def _moments(batch: Batch) -> tuple[float, float]:
    """Weighted mean and deviation of returns: what the network sees has size one."""
    mean = float(np.average(batch.y, weights=batch.weight))
    spread = float(np.sqrt(np.average((batch.y - mean) ** 2, weights=batch.weight)))
    return mean, spread or 1.0
