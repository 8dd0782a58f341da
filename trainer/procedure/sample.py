"""Labelled rows in the form that the procedure takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from adapters.base import Batch, ModelAdapter
from features.dataset import Dataset, take_rows
from trainer.arrays import FloatArray, IntArray
from trainer.statistics.volatility import move_size


@dataclass(frozen=True, eq=False)
class Sample:
    """Labelled rows in time order.

    Attributes
    ----------
    X : float32 array of shape (n, f)
    y : float64 array of shape (n,)
        Label that the model is fitted to: class, or return.
    outcome : float64 array of shape (n,)
        1 if the label was a rise, else 0; probabilities refer to it.
    weight, forward_return : float64 arrays of shape (n,)
    bar, label_end : int64 arrays of shape (n,)
        First and last bar position of each label span, which includes both ends.
    volatility : float64 array of shape (n,), optional
        `trainer.statistics.volatility.move_size` at each row, for the rules that need it.
    """

    X: npt.NDArray[np.float32]
    y: FloatArray
    outcome: FloatArray
    weight: FloatArray
    forward_return: FloatArray
    bar: IntArray
    label_end: IntArray
    volatility: FloatArray | None = None

    @classmethod
    def of(cls, data: Dataset, volatility_window: int = 0) -> Self:
        """Return all rows of a dataset, with their volatility if a window is given."""
        meta = data.meta
        volatility = None
        if volatility_window:
            volatility = move_size(meta.bars.close, volatility_window)[meta.bar]
        outcome = data.y if meta.label.is_classification else (data.y > 0).astype(float)
        return cls(
            data.X, data.y, outcome, meta.sample_weight, meta.forward_return, meta.bar,
            meta.label_end, volatility,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: IntArray) -> Self:
        """Return the rows at these indices, which must increase."""
        return type(self)(
            take_rows(self.X, rows), self.y[rows], self.outcome[rows], self.weight[rows],
            self.forward_return[rows], self.bar[rows], self.label_end[rows],
            None if self.volatility is None else self.volatility[rows],
        )  # fmt: skip

    def batch(self, rows: IntArray, cost: float = 0.0) -> Batch:
        """Return the rows in the form that `ModelAdapter.fit` takes.

        Parameters
        ----------
        rows : int64 array
            Row indices, increasing.
        cost : float, default 0
            Cost per side, as a share of the traded notional.
        """
        return Batch(
            take_rows(self.X, rows), self.y[rows], self.weight[rows], self.bar[rows],
            self.forward_return[rows], cost,
        )  # fmt: skip


def score_rows(adapter: ModelAdapter, sample: Sample, rows: IntArray) -> FloatArray:
    """Score rows, with the earlier rows that the windows of a sequence model contain.

    Parameters
    ----------
    adapter : ModelAdapter
        Fitted.
    sample : Sample
    rows : int64 array of shape (m,)
        Row indices, increasing.

    Returns
    -------
    float64 array of shape (m,)
        NaN where a row has no complete window.
    """
    if adapter.lookback == 1:
        return adapter.predict(take_rows(sample.X, rows), sample.bar[rows])
    # Rows in at least one window: +1 where a window begins, -1 after its end, summed up.
    change = np.zeros(len(sample) + 1, dtype=np.int64)  # (n + 1,)
    np.add.at(change, np.maximum(rows - adapter.lookback + 1, 0), 1)
    np.add.at(change, rows + 1, -1)
    context = np.flatnonzero(np.cumsum(change[:-1]))  # (c,)
    scores = adapter.predict(take_rows(sample.X, context), sample.bar[context])  # (c,)
    return scores[np.searchsorted(context, rows)]
