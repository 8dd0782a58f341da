"""The GRU adapter: standardised rows, windows of one length, weights in a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch

from adapters.base import AdapterError, Batch, Range, Value, check_fit, check_rows, not_fitted
from adapters.gru_training import Rows, Settings, train_network
from adapters.recurrent import RecurrentNetwork, window_ends
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

#: The first score of a network is the base rate, at least this far from 0 and 1.
_MIN_RATE = 0.01


class GRUAdapter(TorchAdapter):
    """A GRU over the last `lookback` bars.

    For training, the series is cut into chunks, and every row with at least `lookback` bars of
    context counts. The network then processes each bar about once an epoch, and not `lookback`
    times. For scoring, each row gets exactly `lookback` bars from a zero state, so that the score
    of a bar is the same in a series and as a single new bar.
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
    rules: ClassVar[Mapping[str, tuple[float, float]]] = {
        **NETWORK_RULES,
        "lookback": (2, 1_000),
        "dropout": (0, 1),
        "weight_decay": (0, 100),
        "chunk": (2, 10_000),
        "batch": (1, 10_000),
        "max_epochs": (1, 10_000),
        "checks_per_epoch": (1, 1_000),
        "clip_norm": (1e-6, 1e6),
    }
    space: ClassVar[Mapping[str, Range | tuple[Value, ...]]] = {
        "lookback": (16, 32, 64),
        "hidden": (16, 32, 64),
        "dropout": Range(0.0, 0.5),
        "learning_rate": Range(3e-4, 3e-3, log=True),
        "weight_decay": Range(1e-3, 0.3, log=True),
    }

    _network: RecurrentNetwork | None = None
    _standardiser: Standardiser
    #: Centre and scale of the labels: the network is trained on standardised returns.
    _label_scale: tuple[float, float] = (0.0, 1.0)
    _fit_summary: dict[str, Any]

    @property
    def lookback(self) -> int:
        """Number of consecutive rows that one score needs, including the scored row."""
        return int(self.params["lookback"])

    def fit(self, train: Batch, valid: Batch | None = None) -> Self:
        """Fit the network; `valid` ends the fit early and selects the weights that are kept."""
        check_fit(train, valid, self.task)
        if not len(window_ends(train.position, self.lookback)):
            raise AdapterError(
                f"gru needs {self.lookback} consecutive bars, and the {len(train)} training rows "
                "contain no such window; give more bars, or a shorter gru.lookback"
            )
        fit_on_device(
            self.name,
            self.device,
            lambda device: self._fit(train, valid, device),
            self.on_progress,
        )
        return self

    def _fit(self, train: Batch, valid: Batch | None, device: torch.device) -> None:
        self._standardiser = Standardiser.of(train.X)
        self._label_scale = (0.0, 1.0) if self.task == "classification" else _moments(train)
        chunk = max(int(self.params["chunk"]), self.lookback)
        params = {**self.params, "chunk": chunk}
        settings = Settings(task=self.task, seed=self.seed, **select_fields(Settings, params))
        with deterministic(self.seed):
            network = self._new_network(train.X.shape[1])
            if self.task == "classification":
                rate = float(np.average(train.y, weights=train.weight))
                rate = min(max(rate, _MIN_RATE), 1 - _MIN_RATE)
                torch.nn.init.constant_(network.head.bias, float(np.log(rate / (1 - rate))))
            history = train_network(
                network.to(device),
                self._rows(train, device),
                None if valid is None else self._rows(valid, device),
                settings,
                self.on_progress,
            )
        self._network = network.to("cpu").eval()
        self._fit_summary = {
            "device": device.type,
            "updates": history.updates,
            "best_update": history.best_update,
            "train_curve": history.train_loss,
            "valid_curve": history.valid_loss,
        }

    def _new_network(self, n_features: int) -> RecurrentNetwork:
        hidden, dropout = int(self.params["hidden"]), float(self.params["dropout"])
        return RecurrentNetwork(n_features, hidden, dropout)

    def _rows(self, batch: Batch, device: torch.device) -> Rows:
        center, scale = self._label_scale
        y = (batch.y - center) / scale
        # With a mean of 1, the size of the loss does not depend on the size of the weights.
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
        """Return the score of the window that ends at each row; NaN without a complete window."""
        network = self._fitted_network()
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
        center, scale = self._label_scale
        scores[ends] = output.numpy() * scale + center
        return scores

    def get_artifacts(self) -> dict[str, Any]:
        """Return hyperparameters, device, numbers of updates, and the losses at the checks."""
        self._fitted_network()
        return {"params": dict(self.params), **self._fit_summary}

    def save(self, path: Path) -> None:
        """Write weights and standardiser as safetensors, with a JSON header."""
        header = {"task": self.task, "params": self.params, "target": self._label_scale}
        tensors = {**self._fitted_network().state_dict(), **self._standardiser.tensors()}
        save_tensors(path, self.name, tensors, header)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a model that `save` wrote."""
        tensors, header = load_tensors(cls.name, path)
        try:
            loaded = cls(task=header["task"], params=header["params"])
            loaded._label_scale = (float(header["target"][0]), float(header["target"][1]))
            loaded._standardiser = Standardiser.pop_from(tensors)
            network = loaded._new_network(len(loaded._standardiser.center))
            network.load_state_dict(tensors)
        except (KeyError, TypeError, IndexError, ValueError, RuntimeError) as error:
            raise damaged(cls.name, path, error) from error
        loaded._network, loaded._fit_summary = network.eval(), {}
        return loaded

    def _fitted_network(self) -> RecurrentNetwork:
        if self._network is None:
            raise not_fitted(self.name)
        return self._network


def _moments(batch: Batch) -> tuple[float, float]:
    """Return the weighted mean and standard deviation of the labels; 1 in place of 0."""
    mean = float(np.average(batch.y, weights=batch.weight))
    deviation = float(np.sqrt(np.average((batch.y - mean) ** 2, weights=batch.weight)))
    return mean, deviation or 1.0
