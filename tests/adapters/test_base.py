"""Checks of rows, batches and hyperparameters, and the defaults of `ModelAdapter`.

The contract tests cover the same functions through each adapter; here are the other rules.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest

from adapters.base import (
    AdapterError,
    Batch,
    ModelAdapter,
    check_batch,
    check_fit,
    not_fitted,
    resolve_params,
)


class Constant(ModelAdapter):
    """The smallest adapter: every score is 0.5."""

    name: ClassVar[str] = "constant"

    def fit(self, train: Batch, valid: Batch | None = None) -> Self:
        check_fit(train, valid, self.task)
        return self

    def predict(self, X: np.ndarray, position: np.ndarray | None = None) -> np.ndarray:
        return np.full(len(X), 0.5)

    def get_artifacts(self) -> dict[str, Any]:
        return {}

    def save(self, path: Path) -> None:
        path.write_text("")

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls(task="classification")


def batch(n: int = 4, **fields: Any) -> Batch:
    y = np.arange(n) % 2.0
    plain = Batch(np.zeros((n, 2), np.float32), y, np.ones(n), np.arange(n), np.zeros(n), 0.001)
    return dataclasses.replace(plain, **fields)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"cost": -0.1}, r"`cost` must be >= 0 per side, got -0\.1"),
        ({"cost": np.nan}, "`cost` must be >= 0 per side, got nan"),
        ({"y": np.array([0.0, 1.0, 0.5, 1.0])}, "`y` must be class 0 or 1; use the task regres"),
        ({"weight": np.array([1.0, 1.0, 0.0, 1.0])}, "`weight` must be positive; leave rows out"),
        ({"position": np.array([0, 2, 2, 3])}, "`position` must be strictly increasing; sort the"),
        ({"forward_return": np.full(4, np.inf)}, "`forward_return` must be finite; first drop"),
    ],
)
def test_a_batch_that_breaks_a_rule_is_refused(fields: dict[str, Any], text: str) -> None:
    check_batch(batch(), "classification")
    with pytest.raises(AdapterError, match=text):
        check_batch(batch(**fields), "classification")


def test_regression_accepts_any_finite_label_and_forward_returns_are_optional() -> None:
    check_batch(batch(y=np.array([0.1, -3.0, 0.0, 7.0]), forward_return=None), "regression")


def test_both_batches_of_a_fit_are_checked() -> None:
    model = Constant(task="classification")
    model.fit(batch(), batch())
    with pytest.raises(AdapterError, match="`weight` must be positive"):
        model.fit(batch(), batch(weight=np.zeros(4)))
    with pytest.raises(AdapterError, match="the 2 columns that the model was fitted on, got 3"):
        model.fit(batch(), batch(X=np.zeros((4, 3), np.float32)))


def test_both_ends_of_a_rule_are_allowed() -> None:
    defaults, rules = {"rate": 0.5, "kind": "a", "free": 1.0}, {"rate": (0.0, 1.0)}
    for value in (0, 1, 0.0, 1.0, "1"):
        rate = resolve_params("m", defaults, {"rate": value}, rules)["rate"]
        assert (rate, type(rate)) == (float(value), float)
    for value in (-1e-9, 1.0 + 1e-9, float("nan"), float("inf")):
        with pytest.raises(AdapterError, match="'rate' of m must be from 0 to 1, got"):
            resolve_params("m", defaults, {"rate": value}, rules)
    with pytest.raises(AdapterError, match="'free' of m must be from -inf to inf, got nan"):
        resolve_params("m", defaults, {"free": float("nan")}, rules)
    assert resolve_params("m", defaults, {"kind": "b", "free": 1e9}, rules)["kind"] == "b"


def test_the_defaults_are_not_changed() -> None:
    defaults = {"rate": 0.5}
    assert resolve_params("m", defaults, {"rate": 0.1}) == {"rate": 0.1}
    assert defaults == {"rate": 0.5}


def test_defaults_of_an_adapter() -> None:
    model = Constant(task="classification", device="auto")
    assert (model.lookback, model.trials, model.seed) == (1, 1, 42)
    assert (model.fit_device, model.fitted_to, model.params) == ("cpu", "labels", {})
    assert model.rollout(np.zeros((3, 2), np.float32), np.arange(3)) is None
    model.on_progress("a text that is ignored")
    with pytest.raises(AdapterError, match="constant runs on cpu or auto, got device 'cuda'"):
        Constant(task="classification", device="cuda")
    assert str(not_fitted("constant")) == "constant is not fitted; call fit or load first"
