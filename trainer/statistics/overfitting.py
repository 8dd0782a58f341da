"""How often the best of several trials in one half of the data is a poor one in the other: PBO.

References
----------
Bailey, D. H., Borwein, J., Lopez de Prado, M. and Zhu, Q. J. (2017). The probability of backtest
    overfitting. Journal of Computational Finance 20(4).
"""

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainer.errors import TrainerError

Floats = NDArray[np.float64]


def backtest_overfitting(returns: ArrayLike, n_blocks: int = 16) -> float:
    """Return the probability of backtest overfitting, by combinatorially symmetric splits.

    The bars are cut into `n_blocks` stretches. Whenever half of them is used to choose the trial
    with the highest Sharpe ratio, its rank among all trials in the other half is looked at. The
    result is the share of choices that end in the lower half there (logit <= 0).

    Parameters
    ----------
    returns : array of shape (n_bars, n_trials)
        Net returns of each trial on the same bars; a trial that never traded has zeros, and a
        Sharpe ratio of 0 here.
    n_blocks : int, default 16
        Even, from 2 to 20: 16 give 12,870 splits.

    Returns
    -------
    float
        In [0, 1]; NaN for fewer than two different trials or fewer than two bars a block: where
        nothing was chosen, nothing can be overfitted.

    Raises
    ------
    TrainerError
        If a return is not finite, or `n_blocks` is odd or out of range.
    """
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 2:
        raise TrainerError(f"`returns` must have a column a trial, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise TrainerError("`returns` must be finite; drop or fill such bars knowingly")
    if n_blocks % 2 or not 2 <= n_blocks <= 20:
        raise TrainerError(f"`n_blocks` must be even and from 2 to 20, got {n_blocks}; use 16")
    length = len(values) // n_blocks
    if length < 2 or (values == values[:, :1]).all():
        return float("nan")
    # Whole blocks only, the latest ones: each half then has the same number of bars.
    blocks = values[len(values) - length * n_blocks :].reshape(n_blocks, length, -1)
    total, square = blocks.sum(axis=1), (blocks**2).sum(axis=1)
    halves = np.array(list(combinations(range(n_blocks), n_blocks // 2)))
    chosen = np.zeros((len(halves), n_blocks))
    np.put_along_axis(chosen, halves, 1.0, axis=1)
    bars = length * n_blocks // 2
    inside = _sharpe(chosen @ total, chosen @ square, bars)
    outside = _sharpe((1 - chosen) @ total, (1 - chosen) @ square, bars)
    best = inside.argmax(axis=1)
    there = np.take_along_axis(outside, best[:, None], axis=1)
    # Equal ratios share their mean rank. (scipy.stats would take a second of every start-up.)
    rank = (outside < there).sum(axis=1) + ((outside == there).sum(axis=1) + 1) / 2
    # logit of rank / (N + 1) <= 0
    return float(np.mean(rank <= (values.shape[1] + 1) / 2))


def _sharpe(total: Floats, square: Floats, n: int) -> Floats:
    mean = total / n
    variance = np.maximum(square / n - mean**2, 0.0)
    # What is left of a constant series is rounding.
    moves = variance > 1e-12 * np.maximum(square / n, 1e-300)
    return np.where(moves, mean / np.sqrt(np.where(moves, variance, 1.0)), 0.0)
