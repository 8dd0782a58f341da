"""The laws that every feature keeps, and what it means that two of its values agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from features.bars import PRICES, Bars
from features.feature_set import FeatureSet, Matrix

FloatArray = npt.NDArray[np.float64]

#: Agreement asked of a feature computed from its declared memory only (METHOD: 1e-6).
TOLERANCE = 1e-5
#: Later bars that are added at least, to see whether they change anything: a day of hours.
AHEAD = 24


class Law(StrEnum):
    """What is asked of a feature at row t.

    PREFIX: it is the same bit for bit whether or not there are later bars.
    FUTURE: it is the same bit for bit whatever the later bars are.
    START: computed from its declared memory alone it agrees to `TOLERANCE`, so live and batch
    decide alike.
    LEVEL: it agrees as closely when all prices, or all volumes, are multiplied.
    """

    PREFIX = "prefix"
    FUTURE = "future"
    START = "start"
    LEVEL = "level"

    @property
    def breach(self) -> str:
        """What a feature does that breaks this law, to be read after its name."""
        return _BREACHES[self]


_BREACHES = {
    Law.PREFIX: "uses later bars",
    Law.FUTURE: "changes when later bars change",
    Law.START: "needs more than its memory, or uses the whole series",
    Law.LEVEL: "depends on the level of price or volume",
}


def by_memory(features: FeatureSet) -> Iterator[tuple[FeatureSet, list[int], int]]:
    """Features of one declared memory together: the set, their places, the memory in bars.

    A law holds a feature to its own memory, not to the longest of the set.
    """
    for memory in sorted({column.memory for column in features.columns}):
        places = [i for i, column in enumerate(features.columns) if column.memory == memory]
        yield FeatureSet(tuple(features.columns[i] for i in places)), places, memory


def alone(
    features: FeatureSet,
    bars: Bars,
    ends: npt.NDArray[np.int64],
    *,
    later: int = 0,
    done: Callable[[], None] = lambda: None,
) -> Matrix:
    """Row t of features that are computed from their memory alone, as a server does.

    Parameters
    ----------
    features : FeatureSet
        Features of one declared memory.
    bars : Bars
        The whole series, n bars.
    ends : int64 array of shape (k,)
        The rows t, none before the memory.
    later : int, default 0
        Bars after t that are there, too, where the series has them.
    done : callable, optional
        Called after each row.

    Returns
    -------
    float32 array of shape (k, f)
    """
    memory = features.memory
    out = np.empty((len(ends), len(features.columns)), dtype=np.float32)
    for row, t in zip(out, ends.tolist(), strict=True):
        row[:] = features.compute(bars.slice(t - memory, min(t + 1 + later, len(bars))))[memory]
        done()
    return out


def scaled(bars: Bars, *, prices: float = 1.0, volumes: float = 1.0) -> Bars:
    """Bars at another level; powers of two change no digit of a price."""
    moved = {name: getattr(bars, name) * prices for name in PRICES}
    return replace(bars, **moved, volume=bars.volume * volumes)


def size(values: Matrix) -> FloatArray:
    """Root mean square of each column, shape (f,); 0 where nothing is defined.

    Not the largest value: one bad tick would hide all that is wrong elsewhere.
    """
    out = np.zeros(values.shape[1])
    for place, column in enumerate(values.T):
        defined = column[np.isfinite(column)].astype(np.float64)
        if len(defined):
            out[place] = np.sqrt(np.mean(defined * defined))
    return out


def distance(a: Matrix, b: Matrix, unit: FloatArray | float) -> FloatArray:
    """How far values lie apart, in units of their feature's size or of themselves if larger.

    Parameters
    ----------
    a, b : float32 arrays of one shape
        `b` is the one that is believed.
    unit : float64 array that broadcasts to that shape, or float
        Sizes by `size`: returns of a quiet market are small, and still may not differ.

    Returns
    -------
    float64 array of the same shape
        0 exactly where they are equal or both undefined; infinite where only one is defined.
    """
    one, other = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.abs(one - other) / np.maximum(unit, np.abs(other))
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))
