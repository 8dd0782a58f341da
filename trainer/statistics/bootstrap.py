"""Confidence intervals of Sharpe ratios of dependent returns, by stationary bootstrap.

The returns are resampled in blocks of random length, because returns that lie close together
depend on each other. Single returns would give intervals that are too narrow.

References
----------
Politis, D. N. and Romano, J. P. (1994). The stationary bootstrap. Journal of the American
    Statistical Association 89(428).
Politis, D. N. and White, H. (2004). Automatic block-length selection for the dependent bootstrap.
    Econometric Reviews 23(1), with the correction of Patton, Politis and White (2009).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from trainer.arrays import FloatArray
from trainer.errors import TrainerError
from trainer.statistics.performance import sharpe
from trainer.statistics.rounding import TOLERANCE, is_constant

REPLICATIONS = 1_000
#: Fewer returns than this have no interval.
_LEAST_RETURNS = 10


class ConfidenceInterval(NamedTuple):
    """Both ends of a confidence interval; NaN where it is undefined."""

    lower: float
    upper: float


class Difference(NamedTuple):
    """Difference of two Sharpe ratios on the same bars; NaN where it is undefined.

    Attributes
    ----------
    observed : float
        First less second, on the bars themselves.
    lower, upper : float
        Both ends of its confidence interval.
    at_least : float
        Share of resamples in which the first ratio is not below the second.
    """

    observed: float
    lower: float
    upper: float
    at_least: float


def sharpe_interval(
    returns: ArrayLike,
    periods_per_year: float,
    *,
    seed: int,
    level: float = 0.95,
    replications: int = REPLICATIONS,
) -> ConfidenceInterval:
    """Return the percentile interval of the annualised Sharpe ratio, by stationary bootstrap.

    Parameters
    ----------
    returns : array of shape (n,)
        Per bar, finite.
    periods_per_year : float
        Bars in a trading year.
    seed : int
        Seed of the resampling: equal seeds give equal intervals.
    level : float, default 0.95
        Between 0 and 1.
    replications : int, default 1000
        Number of resamples.

    Returns
    -------
    ConfidenceInterval
        NaN if there are fewer than 10 returns, or if they are constant up to rounding.

    Raises
    ------
    TrainerError
        If a return is not finite, or `level` is not between 0 and 1.

    Examples
    --------
    Two years of synthetic days with a true ratio of 1.59. The interval of the observed ratio is
    wide, and it contains 0:

    >>> returns = np.random.default_rng(1).normal(0.001, 0.01, 504)
    >>> round(sharpe(returns, 252), 2)
    1.06
    >>> [round(end, 2) for end in sharpe_interval(returns, 252, seed=0)]
    [-0.07, 2.25]
    >>> sharpe_interval(np.full(504, 0.001), 252, seed=0)
    ConfidenceInterval(lower=nan, upper=nan)
    """
    values = _checked(returns)
    _check_level(level)
    if values.size < _LEAST_RETURNS or is_constant(values):
        return ConfidenceInterval(np.nan, np.nan)
    ratios = [sharpe(drawn, periods_per_year) for drawn in _resamples(values, seed, replications)]
    return _percentiles(np.array(ratios), level)


def sharpe_difference(
    returns: ArrayLike,
    others: ArrayLike,
    periods_per_year: float,
    *,
    seed: int,
    level: float = 0.95,
    replications: int = REPLICATIONS,
) -> Difference:
    """Return the difference of two annualised Sharpe ratios on the same bars, first less second.

    Both series are resampled with the same blocks, so that a movement that they share does not
    widen the interval. A series with constant returns counts as a ratio of 0, as one that never
    trades.

    Parameters
    ----------
    returns, others : arrays of shape (n,)
        Per bar, finite.
    periods_per_year, seed, level, replications
        As in `sharpe_interval`.

    Returns
    -------
    Difference
        NaN if there are fewer than 10 returns, or if both series are constant and not equal. Two
        series that are equal up to rounding have the difference 0.

    Raises
    ------
    TrainerError
        If the series differ in length, a return is not finite, or `level` is not between 0 and 1.
    """
    first, second = _checked(returns), _checked(others)
    _check_level(level)
    if first.size != second.size:
        raise TrainerError(
            f"`returns` and `others` must be of the same bars, got {first.size} and {second.size}"
        )
    pair = np.column_stack([first, second])  # (n, 2)
    if first.size < _LEAST_RETURNS:
        return Difference(np.nan, np.nan, np.nan, np.nan)
    if np.abs(first - second).max() <= TOLERANCE * max(1.0, np.abs(pair).max()):
        return Difference(0.0, 0.0, 0.0, 1.0)
    if is_constant(first) and is_constant(second):
        return Difference(np.nan, np.nan, np.nan, np.nan)

    def difference(drawn: FloatArray) -> float:
        ratios = [np.nan_to_num(sharpe(column, periods_per_year)) for column in drawn.T]
        return float(ratios[0] - ratios[1])

    drawn = np.array([difference(sample) for sample in _resamples(pair, seed, replications)])
    return Difference(
        difference(pair), *_percentiles(drawn, level), at_least=float(np.mean(drawn >= 0))
    )


def block_length(columns: FloatArray) -> int:
    """Return the mean length of the blocks, in bars, by the rule of Politis and White.

    Parameters
    ----------
    columns : float64 array of shape (n, k)
        At least one column is not constant.

    Returns
    -------
    int
        The longest of the lengths that the rule gives for the columns, rounded up; at least 1.
        Constant columns have none.
    """
    from arch.bootstrap import optimal_block_length

    moving = columns[:, [not is_constant(column) for column in columns.T]]
    lengths = optimal_block_length(moving)["stationary"].to_numpy(dtype=np.float64)  # (k,)
    return max(1, math.ceil(float(np.nanmax(lengths))))


def _resamples(values: FloatArray, seed: int, replications: int) -> Iterator[FloatArray]:
    """Yield resamples of the rows of `values`, each with the shape of `values`."""
    # The import takes a second, and a trader does not need it.
    from arch.bootstrap import StationaryBootstrap

    length = block_length(values if values.ndim == 2 else values[:, None])
    sampler = StationaryBootstrap(length, values, seed=np.random.default_rng(seed))
    for positional, _ in sampler.bootstrap(replications):
        yield np.asarray(positional[0], dtype=np.float64)


def _percentiles(values: FloatArray, level: float) -> ConfidenceInterval:
    """Return both ends of the interval that contains the share `level` of the defined values."""
    tail = 50 * (1 - level)
    lower, upper = np.nanpercentile(values, [tail, 100 - tail])
    return ConfidenceInterval(float(lower), float(upper))


def _checked(returns: ArrayLike) -> FloatArray:
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise TrainerError("`returns` must be one finite number a bar; drop or fill bars knowingly")
    return values


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise TrainerError(f"`level` must be between 0 and 1, got {level}; use 0.95")
