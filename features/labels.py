"""Labels and what they span: one definition of outcome for every model.

A decision at the close of bar i is filled at the OPEN of bar i+1. NaN marks rows whose outcome is
not known yet; their label end is then the last position that would be needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from features.errors import InputError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
LabelKind = Literal["direction", "forward_return", "triple_barrier"]
KINDS: tuple[LabelKind, ...] = ("direction", "forward_return", "triple_barrier")


@dataclass(frozen=True)
class LabelSpec:
    """What is to be predicted.

    Attributes
    ----------
    kind : {"direction", "forward_return", "triple_barrier"}
        Direction and triple barrier are classification (y in {0, 1}), forward return regression.
    horizon : int
        Bars the outcome is read over.
    barrier_width : float
        Triple barrier: distance of both barriers in volatilities over the horizon.
    volatility_window : int
        Triple barrier: bars that the volatility is read from.
    """

    kind: LabelKind = "direction"
    horizon: int = 12
    barrier_width: float = 1.0
    volatility_window: int = 48

    def __post_init__(self) -> None:
        """Refuse what cannot be computed."""
        if self.kind not in KINDS:
            raise InputError(f"`task` must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.horizon < 1:
            raise InputError(f"`horizon` must be >= 1 bar, got {self.horizon}; use at least 1")
        if not self.barrier_width > 0 or self.volatility_window < 2:
            raise InputError(
                f"`barrier_width` must be > 0 and `volatility_window` >= 2, got "
                f"{self.barrier_width} and {self.volatility_window}"
            )

    @property
    def is_classification(self) -> bool:
        """Whether y is a class rather than a return."""
        return self.kind != "forward_return"


@dataclass(frozen=True)
class Labels:
    """Outcomes of every bar.

    Attributes
    ----------
    y : float64 array of shape (n,)
        Class 0 or 1, or log return; NaN where unknown.
    end : int64 array of shape (n,)
        Last bar position that the label reads: the closed interval is ``[i, end[i]]``.
    """

    y: FloatArray
    end: IntArray


def forward_return(open_: FloatArray) -> FloatArray:
    """Return earned by a position decided at the close of bar i, until the next decision's fill.

    ``open[i+2] / open[i+1] - 1``; NaN in the last two rows.
    """
    out = np.full(len(open_), np.nan)
    out[:-2] = open_[2:] / open_[1:-1] - 1.0
    return out


def horizon_return(open_: FloatArray, horizon: int) -> FloatArray:
    """Log return from ``open[i+1]`` to ``open[i+1+horizon]``; NaN where that is not known yet."""
    out = np.full(len(open_), np.nan)
    if len(open_) > horizon + 1:
        out[: -horizon - 1] = np.log(open_[horizon + 1 :] / open_[1:-horizon])
    return out


def make_labels(
    spec: LabelSpec, open_: FloatArray, high: FloatArray, low: FloatArray, close: FloatArray
) -> Labels:
    """Compute the labels of a series.

    Parameters
    ----------
    spec : LabelSpec
        Which labels.
    open_, high, low, close : float64 arrays of shape (n,)
        Validated bars.

    Returns
    -------
    Labels
    """
    n = len(open_)
    fixed_end = np.arange(n) + spec.horizon + 1
    moved = horizon_return(open_, spec.horizon)
    if spec.kind == "forward_return":
        return Labels(moved, fixed_end)
    if spec.kind == "direction":
        # An unchanged price is no rise: it cannot pay for the trade.
        return Labels(np.where(np.isnan(moved), np.nan, (moved > 0).astype(float)), fixed_end)
    return _triple_barrier(spec, open_, high, low, close, moved)


def _triple_barrier(
    spec: LabelSpec,
    open_: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    moved: FloatArray,
) -> Labels:
    """First touch of ``entry * exp(+-width)`` within the horizon (Lopez de Prado 2018, 3.4).

    1 if the upper barrier is touched first, 0 if the lower one; if neither, or both within one
    bar, the sign of the move (to the final open, or to that bar's close) decides.
    """
    n, horizon = len(open_), spec.horizon
    step = np.concatenate([[np.nan], np.diff(np.log(close))])
    square = np.concatenate([[0.0], np.cumsum(np.nan_to_num(step) ** 2)])
    width = np.full(n, np.nan)
    w = spec.volatility_window
    if n > w:
        width[w:] = np.sqrt(np.maximum(square[w + 1 :] - square[1 : n - w + 1], 0.0) / w)
    width = width * np.sqrt(horizon) * spec.barrier_width
    entry = np.concatenate([open_[1:], [np.nan]])
    upper, lower = entry * np.exp(width), entry * np.exp(-width)
    y = np.where(np.isnan(moved) | np.isnan(width), np.nan, (moved > 0).astype(float))
    end = np.arange(n) + horizon + 1
    open_rows = ~np.isnan(y)
    for ahead in range(1, horizon + 1):
        # Bar i + ahead: from the fill at the open of bar i+1 up to the bar before the exit's.
        rows = np.flatnonzero(open_rows[: n - ahead])
        bar = rows + ahead
        up, down = high[bar] >= upper[rows], low[bar] <= lower[rows]
        touched = rows[up | down]
        both = (up & down)[up | down]
        by_close = close[touched + ahead] > entry[touched]
        y[touched] = np.where(both, by_close, up[up | down]).astype(float)
        end[touched] = touched + ahead
        open_rows[touched] = False
    return Labels(y, end)


def average_uniqueness(start: IntArray, end: IntArray) -> FloatArray:
    """Mean over a label's bars of 1 / (labels alive at the bar).

    Parameters
    ----------
    start, end : int64 arrays of shape (n,)
        Closed label intervals in bar positions.

    Returns
    -------
    float64 array of shape (n,)
        In (0, 1]; 1 for a label that overlaps no other.

    References
    ----------
    Lopez de Prado (2018), Advances in Financial Machine Learning, section 4.3.
    """
    if not len(start):
        return np.empty(0)
    origin = start.min()
    first, after = start - origin, end - origin + 1
    length = int(after.max()) + 1
    change = np.bincount(first, minlength=length) - np.bincount(after, minlength=length)
    alive = np.cumsum(change)
    share = np.where(alive > 0, 1.0 / np.maximum(alive, 1), 0.0)
    total = np.concatenate([[0.0], np.cumsum(share)])
    mean: FloatArray = (total[after] - total[first]) / (after - first)
    return mean
