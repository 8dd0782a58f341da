"""Labelled rows as the procedure takes them, and the bar axis that they stand on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from adapters.base import Batch, ModelAdapter
from features.dataset import Dataset, take_rows

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sample:
    """Labelled rows in time order, with all that the procedure needs of them.

    Attributes
    ----------
    X : float32 array of shape (n, f)
    y : float64 array of shape (n,)
        What the model is fitted to: class, or return.
    outcome : float64 array of shape (n,)
        1 where the outcome was a rise, else 0: what probabilities are about.
    weight, forward_return : float64 arrays of shape (n,)
    bar, label_end : int64 arrays of shape (n,)
        Closed label intervals in bar positions.
    """

    X: npt.NDArray[np.float32]
    y: FloatArray
    outcome: FloatArray
    weight: FloatArray
    forward_return: FloatArray
    bar: IntArray
    label_end: IntArray

    @classmethod
    def of(cls, data: Dataset) -> Self:
        """All rows of a dataset."""
        meta = data.meta
        outcome = data.y if meta.label.is_classification else (data.y > 0).astype(float)
        return cls(
            data.X, data.y, outcome, meta.sample_weight, meta.forward_return, meta.bar,
            meta.label_end,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: IntArray) -> Self:
        """Return the rows at these indices, which must increase."""
        return type(self)(
            take_rows(self.X, rows), self.y[rows], self.outcome[rows], self.weight[rows],
            self.forward_return[rows], self.bar[rows], self.label_end[rows],
        )  # fmt: skip

    def batch(self, rows: IntArray, cost: float = 0.0) -> Batch:
        """Return the rows as a model gets them; `cost` is a share of the notional, per side."""
        return Batch(
            take_rows(self.X, rows), self.y[rows], self.weight[rows], self.bar[rows],
            self.forward_return[rows], cost,
        )  # fmt: skip


def score_rows(adapter: ModelAdapter, sample: Sample, rows: IntArray) -> FloatArray:
    """Score rows, giving a sequence model the earlier rows that its window reads."""
    if adapter.lookback == 1:
        return adapter.predict(take_rows(sample.X, rows), sample.bar[rows])
    needed = np.zeros(len(sample) + 1, dtype=np.int64)
    np.add.at(needed, np.maximum(rows - adapter.lookback + 1, 0), 1)
    np.add.at(needed, rows + 1, -1)
    context = np.flatnonzero(np.cumsum(needed[:-1]))
    scores = adapter.predict(take_rows(sample.X, context), sample.bar[context])
    return scores[np.searchsorted(context, rows)]
