"""Probability of backtest overfitting (PBO) of the best of several trials.

References
----------
Bailey, D. H., Borwein, J., Lopez de Prado, M. and Zhu, Q. J. (2017). The probability of backtest
    overfitting. Journal of Computational Finance 20(4).
"""

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from trainer.arrays import FloatArray
from trainer.errors import TrainerError
from trainer.statistics.rounding import TOLERANCE, is_constant


def backtest_overfitting(returns: ArrayLike, n_blocks: int = 16) -> float:
    """Return the probability of backtest overfitting, by combinatorially symmetric splits.

    The bars are cut into `n_blocks` blocks. Each choice of half of the blocks is one split: the
    trial with the highest Sharpe ratio in that half is chosen, and its rank among all trials is
    computed in the other half. The result is the share of splits in which the chosen trial is in
    the lower half of the ranks (logit <= 0).

    Parameters
    ----------
    returns : array of shape (n_bars, n_trials)
        Net returns of each trial on the same bars, finite. A trial with constant returns, as one
        that never traded, has a Sharpe ratio of 0 here.
    n_blocks : int, default 16
        Even, from 2 to 20. There are 12,870 splits of 16 blocks.

    Returns
    -------
    float
        In [0, 1]. NaN where no trial is chosen over another: if there are fewer than two bars per
        block, if all trials are equal, or if all have constant returns, both up to rounding.

    Raises
    ------
    TrainerError
        If a return is not finite, or `n_blocks` is odd or out of range.

    Examples
    --------
    Two blocks of two bars, so two splits. The first trial is the better one in both blocks, so the
    choice is confirmed in the other half each time:

    >>> backtest_overfitting([[0.02, 0.00], [0.01, 0.01], [0.02, 0.00], [0.01, 0.01]], n_blocks=2)
    0.0

    Each trial is the better one in one block, so the chosen trial is the worse one in the other
    half each time:

    >>> backtest_overfitting([[0.02, 0.00], [0.01, 0.01], [0.00, 0.02], [0.01, 0.01]], n_blocks=2)
    1.0
    """
    values = np.asarray(returns, dtype=np.float64)  # (n_bars, n_trials)
    if values.ndim != 2:
        raise TrainerError(f"`returns` must have a column a trial, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise TrainerError("`returns` must be finite; drop or fill such bars knowingly")
    if n_blocks % 2 or not 2 <= n_blocks <= 20:
        raise TrainerError(f"`n_blocks` must be even and from 2 to 20, got {n_blocks}; use 16")
    length = len(values) // n_blocks
    if length < 2 or not _differ(values):
        return float("nan")
    # Only whole blocks, counted from the end, so that each half has the same number of bars.
    blocks = values[len(values) - length * n_blocks :].reshape(n_blocks, length, -1)
    total, square = blocks.sum(axis=1), (blocks**2).sum(axis=1)  # (n_blocks, n_trials)
    halves = np.array(list(combinations(range(n_blocks), n_blocks // 2)))
    chosen = np.zeros((len(halves), n_blocks))  # (n_splits, n_blocks)
    np.put_along_axis(chosen, halves, 1.0, axis=1)
    bars = length * n_blocks // 2
    inside = _sharpe(chosen @ total, chosen @ square, bars)  # (n_splits, n_trials)
    outside = _sharpe((1 - chosen) @ total, (1 - chosen) @ square, bars)
    best = inside.argmax(axis=1)  # (n_splits,)
    of_best = np.take_along_axis(outside, best[:, None], axis=1)
    # Equal ratios share their mean rank. The import of scipy.stats would take one second.
    rank = (outside < of_best).sum(axis=1) + ((outside == of_best).sum(axis=1) + 1) / 2
    # logit of rank / (n_trials + 1) <= 0
    return float(np.mean(rank <= (values.shape[1] + 1) / 2))


def _differ(values: FloatArray) -> bool:
    """Return whether a trial has returns that move, and two trials differ."""
    spread = np.abs(values - values[:, :1]).max(initial=0.0)
    if spread <= TOLERANCE * max(1.0, np.abs(values).max(initial=0.0)):
        return False
    return not all(is_constant(trial) for trial in values.T)


def _sharpe(total: FloatArray, square: FloatArray, n: int) -> FloatArray:
    """Return Sharpe ratios per bar from sums of returns and of their squares over n bars."""
    mean = total / n
    variance = np.maximum(square / n - mean**2, 0.0)
    # Differences of sums have no more than about 12 correct digits, so that the variance of
    # constant returns is not exactly 0.
    moves = variance > 1e-12 * np.maximum(square / n, 1e-300)
    return np.where(moves, mean / np.sqrt(np.where(moves, variance, 1.0)), 0.0)
