"""Labels with the bars that they read: one definition for every model.

A decision at the close of bar i is executed at the OPEN of bar i + 1. The label span of row i is
the range of bar indices ``[i, end[i]]``, both ends included. It covers every bar that the label or
the forward return of the row reads, so a purge by label spans removes every row that reads a bar
of the test rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from features.errors import InputError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
LabelKind = Literal["direction", "forward_return", "triple_barrier"]
#: The names of all label kinds.
LABEL_KINDS: tuple[LabelKind, ...] = get_args(LabelKind)
#: The forward return of row i ends at the open of bar i + 2.
_FORWARD_RETURN_BARS = 2


@dataclass(frozen=True)
class LabelSpec:
    """The label that a model is trained to predict.

    Attributes
    ----------
    kind : {"direction", "forward_return", "triple_barrier"}
        Direction and triple barrier are classes (y in {0, 1}); forward return is a number.
    horizon : int
        Number of bars from the entry to the exit.
    barrier_width : float
        Triple barrier only: distance of both barriers, in volatilities over the horizon.
    volatility_window : int
        Triple barrier only: number of bars from which the volatility is computed.
    """

    kind: LabelKind = "direction"
    horizon: int = 12
    barrier_width: float = 1.0
    volatility_window: int = 48

    def __post_init__(self) -> None:
        """Raise `InputError` for a value out of its range."""
        if self.kind not in LABEL_KINDS:
            raise InputError(f"`task` must be one of {', '.join(LABEL_KINDS)}, got {self.kind!r}")
        if self.horizon < 1:
            raise InputError(f"`horizon` must be >= 1 bar, got {self.horizon}; use at least 1")
        if not self.barrier_width > 0 or self.volatility_window < 2:
            raise InputError(
                f"`barrier_width` must be > 0 and `volatility_window` >= 2, got "
                f"{self.barrier_width} and {self.volatility_window}"
            )

    @property
    def is_classification(self) -> bool:
        """Whether y is a class; otherwise it is a log return."""
        return self.kind != "forward_return"


@dataclass(frozen=True)
class Labels:
    """The labels of every bar.

    Attributes
    ----------
    y : float64 array of shape (n,)
        Class 0 or 1, or log return; NaN where it is not known.
    end : int64 array of shape (n,)
        Index of the last bar that the row reads; at least i + 2, because the forward return reads
        ``open[i + 2]``. Where y is known, it is at most n - 1. Where y is not known, it is
        ``i + 1 + horizon``, the last bar that could be needed, which may lie beyond the series.
    """

    y: FloatArray
    end: IntArray


def forward_return(open_: FloatArray) -> FloatArray:
    """Return the simple return from the execution of each decision to that of the next.

    Row i is ``open[i + 2] / open[i + 1] - 1``; the last two rows are NaN.

    Parameters
    ----------
    open_ : float64 array of shape (n,)
        Open prices.

    Returns
    -------
    float64 array of shape (n,)
    """
    out = np.full(len(open_), np.nan)
    out[:-2] = open_[2:] / open_[1:-1] - 1.0
    return out


def horizon_return(open_: FloatArray, horizon: int) -> FloatArray:
    """Return ``log(open[i + 1 + horizon] / open[i + 1])``; NaN where it is not known yet."""
    out = np.full(len(open_), np.nan)
    if len(open_) > horizon + 1:
        out[: -horizon - 1] = np.log(open_[horizon + 1 :] / open_[1:-horizon])
    return out


def make_labels(
    spec: LabelSpec, open_: FloatArray, high: FloatArray, low: FloatArray, close: FloatArray
) -> Labels:
    """Compute the labels of a series.

    - ``direction``: 1 if ``open[i + 1 + horizon] > open[i + 1]``, else 0.
    - ``forward_return``: ``log(open[i + 1 + horizon] / open[i + 1])``.
    - ``triple_barrier``: 1 if the price reaches ``open[i + 1] * exp(width)`` first, 0 if it
      reaches ``open[i + 1] * exp(-width)`` first. If it reaches neither within the horizon, the
      final open decides; if it reaches both in one bar, the close of that bar decides. The width
      is `barrier_width` volatilities over the horizon.

    Parameters
    ----------
    spec : LabelSpec
        The label to compute.
    open_, high, low, close : float64 arrays of shape (n,)
        Prices of validated bars.

    Returns
    -------
    Labels

    References
    ----------
    Lopez de Prado (2018), Advances in Financial Machine Learning, sections 3.4 and 7.4.1.

    Examples
    --------
    Ten bars and a horizon of three. The decision at the close of bar 2 is executed at the open of
    bar 3 (103) and its label compares this price with the open of bar 6 (105): a rise. Its label
    span is bars 2 to 6. The last four labels are not known yet:

    >>> open_ = np.array([100.0, 101, 102, 103, 99, 104, 105, 98, 107, 101])
    >>> labels = make_labels(LabelSpec("direction", horizon=3), open_, open_, open_, open_)
    >>> labels.y.tolist()
    [0.0, 1.0, 1.0, 0.0, 1.0, 0.0, nan, nan, nan, nan]
    >>> labels.end.tolist()
    [4, 5, 6, 7, 8, 9, 10, 11, 12, 13]

    Under a triple barrier a label span ends where a barrier is reached, but not before bar i + 2.
    The high of bar 4 reaches the upper barrier of row 3 in the bar of the execution. The forward
    return of row 3 reads the open of bar 5, so its label span ends there. The low of bar 7 reaches
    the lower barrier of row 4. Row 5 reaches no barrier, and its final open decides:

    >>> high, low = open_ * 1.001, open_ * 0.999
    >>> high[4] = 102
    >>> spec = LabelSpec("triple_barrier", horizon=3, volatility_window=2)
    >>> labels = make_labels(spec, open_, high, low, close=open_)
    >>> labels.y[3:6].tolist()
    [1.0, 0.0, 0.0]
    >>> labels.end[3:6].tolist()
    [5, 7, 9]
    """
    n = len(open_)
    fixed_end = np.arange(n) + spec.horizon + 1
    log_return = horizon_return(open_, spec.horizon)
    if spec.kind == "forward_return":
        return Labels(log_return, fixed_end)
    # An unchanged price is no rise: it does not pay for the costs of the trade.
    rise = np.where(np.isnan(log_return), np.nan, (log_return > 0).astype(float))
    if spec.kind == "direction":
        return Labels(rise, fixed_end)
    return _triple_barrier(spec, open_, high, low, close, rise)


def _triple_barrier(
    spec: LabelSpec,
    open_: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    rise: FloatArray,
) -> Labels:
    """Return the labels by the first barrier that is touched; `rise` where none is touched."""
    n, horizon = len(open_), spec.horizon
    width = _volatility(close, spec.volatility_window) * np.sqrt(horizon) * spec.barrier_width
    entry = np.concatenate([open_[1:], [np.nan]])  # (n,)
    upper, lower = entry * np.exp(width), entry * np.exp(-width)
    y = np.where(np.isnan(width), np.nan, rise)
    end = np.arange(n) + horizon + 1
    undecided = ~np.isnan(y)
    for ahead in range(1, horizon + 1):
        # Bar i + ahead, from the bar of the entry to the last bar before the final open.
        rows = np.flatnonzero(undecided[: n - ahead])
        bar = rows + ahead
        up, down = high[bar] >= upper[rows], low[bar] <= lower[rows]
        touched = rows[up | down]
        both = (up & down)[up | down]
        by_close = close[touched + ahead] > entry[touched]
        y[touched] = np.where(both, by_close, up[up | down]).astype(float)
        end[touched] = touched + max(ahead, _FORWARD_RETURN_BARS)
        undecided[touched] = False
    return Labels(y, end)


def _volatility(close: FloatArray, window: int) -> FloatArray:
    """Return the root mean square of the last `window` log returns; NaN in the first rows."""
    n = len(close)
    log_return = np.concatenate([[np.nan], np.diff(np.log(close))])
    total = np.concatenate([[0.0], np.cumsum(np.nan_to_num(log_return) ** 2)])  # (n + 1,)
    out = np.full(n, np.nan)
    if n > window:
        out[window:] = np.sqrt(
            np.maximum(total[window + 1 :] - total[1 : n - window + 1], 0.0) / window
        )
    return out


def average_uniqueness(start: IntArray, end: IntArray) -> FloatArray:
    """Return for each label the mean, over its bars, of 1 / (number of labels that span the bar).

    Parameters
    ----------
    start, end : int64 arrays of shape (n,)
        Label spans as bar indices, both ends included.

    Returns
    -------
    float64 array of shape (n,)
        In (0, 1]; 1 for a label that overlaps no other.

    References
    ----------
    Lopez de Prado (2018), Advances in Financial Machine Learning, section 4.3.

    Examples
    --------
    Bar 3 belongs to two labels, every other bar to one. So the first label, of bars 1 to 3, has
    the mean of 1, 1 and 1/2:

    >>> average_uniqueness(np.array([1, 3, 5]), np.array([3, 4, 6])).round(3).tolist()
    [0.833, 0.75, 1.0]
    """
    if not len(start):
        return np.empty(0)
    origin = start.min()
    first, after = start - origin, end - origin + 1
    length = int(after.max()) + 1
    change = np.bincount(first, minlength=length) - np.bincount(after, minlength=length)
    concurrent = np.cumsum(change)  # (bars,): number of labels that span each bar
    share = np.where(concurrent > 0, 1.0 / np.maximum(concurrent, 1), 0.0)
    total = np.concatenate([[0.0], np.cumsum(share)])
    mean: FloatArray = (total[after] - total[first]) / (after - first)
    return mean
