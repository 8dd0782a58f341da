"""Intervals that respect dependence: resampling in blocks of random length.

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
from numpy.typing import ArrayLike, NDArray

from trainer.errors import TrainerError
from trainer.statistics.performance import sharpe

Floats = NDArray[np.float64]

REPLICATIONS = 1_000


class Interval(NamedTuple):
    """Both ends of an interval; NaN where there is nothing to resample."""

    lower: float
    upper: float


class Difference(NamedTuple):
    """How two Sharpe ratios on the same bars differ; NaN where there is nothing to resample.

    ``observed`` on the bars themselves, ``lower`` and ``upper`` of its interval, and ``at_least``:
    the share of resamples in which the first is not below the second.
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
) -> Interval:
    """Return the percentile interval of the annualised Sharpe ratio, by stationary bootstrap.

    Parameters
    ----------
    returns : array of shape (n,)
        Finite, one a bar.
    periods_per_year : float
        Bars in a trading year.
    seed : int
        Of the resampling: equal seeds give equal intervals.
    level : float, default 0.95
        Between 0 and 1.
    replications : int, default 1000

    Returns
    -------
    Interval
        NaN for constant returns or fewer than 10.
    """
    values = _usable(returns)
    _check_level(level)
    if values.size < 10 or values.min() == values.max():
        return Interval(np.nan, np.nan)
    found = [sharpe(drawn, periods_per_year) for drawn in _draws(values, seed, replications)]
    return _percentiles(np.array(found), level)


def sharpe_difference(
    returns: ArrayLike,
    others: ArrayLike,
    periods_per_year: float,
    *,
    seed: int,
    level: float = 0.95,
    replications: int = REPLICATIONS,
) -> Difference:
    """Return the first series' annualised Sharpe ratio less the second's, on the same bars.

    Both are resampled together, so that what moves both does not widen it. A series that never
    traded counts as a ratio of 0.

    Raises
    ------
    TrainerError
        If the series differ in length.
    """
    first, second = _usable(returns), _usable(others)
    _check_level(level)
    if first.size != second.size:
        raise TrainerError(
            f"`returns` and `others` must be of the same bars, got {first.size} and {second.size}"
        )
    pair = np.column_stack([first, second])
    if first.size < 10:
        return Difference(np.nan, np.nan, np.nan, np.nan)
    if (first == second).all():
        return Difference(0.0, 0.0, 0.0, 1.0)

    def difference(drawn: Floats) -> float:
        ratios = [np.nan_to_num(sharpe(column, periods_per_year)) for column in drawn.T]
        return float(ratios[0] - ratios[1])

    found = np.array([difference(drawn) for drawn in _draws(pair, seed, replications)])
    return Difference(difference(pair), *_percentiles(found, level), float(np.mean(found >= 0)))


def _draws(values: Floats, seed: int, replications: int) -> Iterator[Floats]:
    # Its import takes a second, and a trader needs none of it.
    from arch.bootstrap import StationaryBootstrap, optimal_block_length

    columns = values if values.ndim == 2 else values[:, None]
    moving = columns[:, columns.min(axis=0) != columns.max(axis=0)]
    # The longest dependence among them, in whole bars.
    lengths = optimal_block_length(moving)["stationary"].to_numpy(dtype=np.float64)
    block = max(1, math.ceil(np.nanmax(lengths)))
    sampler = StationaryBootstrap(block, values, seed=np.random.default_rng(seed))
    for positional, _ in sampler.bootstrap(replications):
        yield np.asarray(positional[0], dtype=np.float64)


def _percentiles(found: Floats, level: float) -> Interval:
    tail = 50 * (1 - level)
    lower, upper = np.nanpercentile(found, [tail, 100 - tail])
    return Interval(float(lower), float(upper))


def _usable(returns: ArrayLike) -> Floats:
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise TrainerError("`returns` must be one finite number a bar; drop or fill bars knowingly")
    return values


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise TrainerError(f"`level` must be between 0 and 1, got {level}; use 0.95")
