"""Results that travel with a fit: given bit for bit, for exactly the rows that were asked."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from adapters.base import ModelAdapter
from trainer.procedure.known_results import from_json, give_results, noted_results, to_json

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(6, 2)
ROWS = np.arange(6)


class Model:
    """A model that counts what it computes; it has no positions of its own for one row."""

    n_computed = 0

    def predict(
        self, X: npt.NDArray[np.float32], position: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float64]:
        self.n_computed += 1
        scores = X[:, 0] / np.float64(3)
        return np.where(np.arange(len(X)) == 0, np.nan, scores)

    def rollout(
        self, X: npt.NDArray[np.float32], position: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int8] | None:
        self.n_computed += 1
        return None if len(X) == 1 else np.sign(X[:, 0]).astype(np.int8)


@pytest.fixture
def asked() -> ModelAdapter:
    """A model that gives what an equal one was asked: all rows, one of them, its positions."""
    fitted = Model()
    with noted_results(fitted) as results:  # type: ignore[arg-type]
        for rows in (X, X[:1]):
            fitted.predict(rows, ROWS[: len(rows)])
            fitted.rollout(rows, ROWS[: len(rows)])
        fitted.predict(X)
    fitted.predict(X * 2, ROWS)  # after the block nothing is noted
    assert len(results) == 5
    model = Model()
    give_results(model, from_json(json.loads(json.dumps(to_json(results)))))  # type: ignore[arg-type]
    return model  # type: ignore[return-value]


def test_known_results_are_given_bit_for_bit_without_the_model(asked: ModelAdapter) -> None:
    assert asked.predict(X, ROWS).tobytes() == Model().predict(X).tobytes()
    assert asked.predict(np.asfortranarray(X), ROWS).tobytes() == Model().predict(X).tobytes()
    assert asked.predict(X).dtype == np.float64
    positions = asked.rollout(X, ROWS)
    assert positions is not None
    assert positions.dtype == np.int8
    assert positions.tolist() == [-1, -1, -1, 1, 1, 1]
    assert asked.rollout(X[:1], ROWS[:1]) is None
    assert asked.n_computed == 0  # type: ignore[attr-defined]


def test_other_rows_are_computed(asked: ModelAdapter) -> None:
    changed = X.copy()
    changed[5, 1] = np.nextafter(changed[5, 1], np.float32(2))
    for rows, position in (
        (X[:5], ROWS[:5]),
        (changed, ROWS),
        (X, ROWS + 1),
        (X.reshape(4, 3), ROWS[:4]),
        (X.astype(np.float64), ROWS),
    ):
        before = asked.n_computed  # type: ignore[attr-defined]
        assert asked.predict(rows, position)[1:].tolist() == (rows[1:, 0] / np.float64(3)).tolist()
        assert asked.n_computed == before + 1  # type: ignore[attr-defined]


def test_a_result_may_be_changed_by_who_asked(asked: ModelAdapter) -> None:
    asked.predict(X, ROWS)[1] = 7
    assert asked.predict(X, ROWS).tobytes() == Model().predict(X).tobytes()


@pytest.mark.parametrize(
    "stored", [["|O", "AAAA"], ["<f8", "no base64!"], ["<f8", "AAAA"], ["<f8"], 3]
)
def test_what_was_not_stored_by_us_is_no_result(stored: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        from_json({"key": stored})


class PlugIn(Model):
    """Its scores are a view of another array; its positions have a type that none should have."""

    table = np.arange(12.0).reshape(6, 2)

    def predict(
        self, X: npt.NDArray[np.float32], position: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float64]:
        return self.table[:, 0]

    def rollout(self, X: npt.NDArray[np.float32], position: npt.NDArray[np.int64]) -> Any:
        return position


def test_answers_of_plug_ins_are_stored_bit_for_bit_or_not_at_all() -> None:
    fitted = PlugIn()
    with noted_results(fitted) as results:  # type: ignore[arg-type]
        fitted.predict(X, ROWS)
        assert fitted.rollout(X, ROWS) is ROWS
    (scores,) = from_json(json.loads(json.dumps(to_json(results)))).values()
    assert scores is not None
    assert scores.tobytes() == PlugIn.table[:, 0].tobytes()
