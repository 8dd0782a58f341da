"""The laws that every feature must satisfy, with the comparison of values that they use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from features.bars import PRICES, Bars
from features.feature_set import FeatureSet, Matrix

FloatArray = npt.NDArray[np.float64]

#: Largest difference that the laws START and LEVEL allow, as returned by `relative_difference`.
#: Rounding to float32 makes differences of 6e-8, and the tests check that the built-in recursive
#: formulas differ by at most 2e-6 after their memory: the bound leaves room for other bars.
TOLERANCE = 1e-5
#: Least number of later bars that are added to test whether they change a value: a day of hours.
MIN_LATER_BARS = 24


class Law(StrEnum):
    """A law for the value of a feature at row t.

    PREFIX: the value is equal bit for bit with and without later bars.
    FUTURE: the value is equal bit for bit whatever the later bars contain.
    START: the value that is computed from the declared memory only differs by at most
    `TOLERANCE`. A served model receives only that memory, so it decides as in training.
    LEVEL: the value differs by at most `TOLERANCE` if all prices, or all volumes, are multiplied
    by a constant.
    """

    PREFIX = "prefix"
    FUTURE = "future"
    START = "start"
    LEVEL = "level"

    @property
    def breach(self) -> str:
        """The predicate of a sentence about a feature that breaks this law."""
        return _BREACHES[self]


_BREACHES = {
    Law.PREFIX: "uses later bars",
    Law.FUTURE: "changes when later bars change",
    Law.START: "needs more than its memory, or uses the whole series",
    Law.LEVEL: "depends on the level of price or volume",
}


def group_by_memory(features: FeatureSet) -> Iterator[tuple[FeatureSet, list[int], int]]:
    """Group features by declared memory, because each must satisfy the laws with its own memory.

    Yields
    ------
    group : FeatureSet
        The features of one memory.
    indices : list of int
        Their column indices in `features`.
    memory : int
        Their memory, in bars.
    """
    for memory in sorted({column.memory for column in features.columns}):
        indices = [i for i, column in enumerate(features.columns) if column.memory == memory]
        yield FeatureSet(tuple(features.columns[i] for i in indices)), indices, memory


def compute_from_memory(
    features: FeatureSet,
    bars: Bars,
    rows: npt.NDArray[np.int64],
    *,
    later: int = 0,
    on_row: Callable[[], None] = lambda: None,
) -> Matrix:
    """Compute each row t from the bars t - memory to t only, as a served model does.

    Parameters
    ----------
    features : FeatureSet
        Features of one declared memory.
    bars : Bars
        The whole series, n bars.
    rows : int64 array of shape (k,)
        The rows t, each at least the memory.
    later : int, default 0
        Number of bars after t that are added, as far as the series contains them.
    on_row : callable, optional
        Called after each row.

    Returns
    -------
    float32 array of shape (k, f)
    """
    memory = features.memory
    out = np.empty((len(rows), len(features.columns)), dtype=np.float32)  # (k, f)
    for values, t in zip(out, rows.tolist(), strict=True):
        values[:] = features.compute(bars.slice(t - memory, min(t + 1 + later, len(bars))))[memory]
        on_row()
    return out


def scaled(bars: Bars, *, prices: float = 1.0, volumes: float = 1.0) -> Bars:
    """Return bars with prices and volumes times a factor; powers of two cause no rounding."""
    scaled_prices = {name: getattr(bars, name) * prices for name in PRICES}
    return replace(bars, **scaled_prices, volume=bars.volume * volumes)


def column_rms(values: Matrix) -> FloatArray:
    """Return the root mean square of each column, shape (f,); 0 without any finite value.

    It is the size of a feature. The largest value is not used: one bad tick would make it so
    large that other differences seem small.
    """
    out = np.zeros(values.shape[1])
    for index, column in enumerate(values.T):
        defined = column[np.isfinite(column)].astype(np.float64)
        if len(defined):
            out[index] = np.sqrt(np.mean(defined * defined))
    return out


def relative_difference(values: Matrix, reference: Matrix, unit: FloatArray | float) -> FloatArray:
    """Return ``|values - reference| / max(unit, |reference|)``.

    Parameters
    ----------
    values, reference : float32 arrays of one shape
        The values to compare.
    unit : float64 array that broadcasts to that shape, or float
        Sizes of the features (`column_rms`). A fixed unit would not detect differences in
        features with small values, such as returns of a quiet market.

    Returns
    -------
    float64 array of the same shape
        0 exactly where both are equal or both are NaN; infinite where only one is NaN.
    """
    one, other = values.astype(np.float64), reference.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = np.abs(one - other) / np.maximum(unit, np.abs(other))
    equal = (one == other) | (np.isnan(one) & np.isnan(other))
    return np.where(equal, 0.0, np.where(np.isnan(difference), np.inf, difference))
