"""Results of a model on rows, noted where it was fitted and given again where it is judged."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.base import ModelAdapter

#: Results by the digest of what the model was asked; None if the model has no such result.
Results = dict[str, npt.NDArray[Any] | None]

#: Methods of an adapter that take rows.
_METHODS = ("predict", "rollout")
#: Types of their results: scores, positions.
_TYPES = ("<f8", "|i1")


@contextmanager
def noted_results(model: ModelAdapter) -> Iterator[Results]:
    """Note what a model is asked in the block, and what it answers.

    An answer of a plug-in that has another type than the contract says is not noted.
    """
    results: Results = {}
    for method in _METHODS:
        _replace(model, method, results, note=True)
    try:
        yield results
    finally:
        for method in _METHODS:
            delattr(model, method)


def give_results(model: ModelAdapter, results: Results) -> None:
    """Let a model give results that are known; it computes all others."""
    for method in _METHODS:
        _replace(model, method, results, note=False)


def to_json(results: Results) -> dict[str, Any]:
    """Return results as JSON values."""
    return {
        key: None if values is None else [values.dtype.str, base64.b64encode(values.data).decode()]
        for key, values in results.items()
    }


def from_json(stored: dict[str, Any]) -> Results:
    """Return the results that `to_json` stored.

    Raises
    ------
    ValueError
        If one is no stored result; it may be another error, too.
    """
    return {key: None if value is None else _array(*value) for key, value in stored.items()}


def _array(kind: str, values: str) -> npt.NDArray[Any]:
    if kind not in _TYPES:
        raise ValueError(f"results have the types {_TYPES}, got {kind!r}")
    return np.frombuffer(base64.b64decode(values, validate=True), kind)


def _replace(model: ModelAdapter, method: str, results: Results, *, note: bool) -> None:
    compute: Callable[..., npt.NDArray[Any] | None] = getattr(model, method)

    def answer(
        X: npt.NDArray[np.float32], position: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[Any] | None:
        key = _key(method, X, position)
        if key in results:
            known = results[key]
            return None if known is None else known.copy()
        values = compute(X, position)
        if note and (values is None or values.dtype.str in _TYPES):
            results[key] = values if values is None else np.ascontiguousarray(values)
        return values

    setattr(model, method, answer)


def _key(method: str, X: npt.NDArray[np.float32], position: npt.NDArray[np.int64] | None) -> str:
    """Return a digest of what a model is asked."""
    digest = hashlib.sha256(repr((method, X.shape, X.dtype.str, position is None)).encode())
    # Rows are stored by column, so this order needs no copy.
    digest.update(np.ascontiguousarray(X.T).data)
    if position is not None:
        digest.update(np.ascontiguousarray(position).data)
    return digest.hexdigest()
