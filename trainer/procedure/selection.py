"""Whether the best of several thresholds is above what the best of so many gives by luck."""

from collections.abc import Sequence

import numpy as np

from trainer.arrays import FloatArray
from trainer.statistics.rounding import is_constant
from trainer.statistics.sharpe_inference import Moments, expected_maximum_sharpe


def effective_number(columns: FloatArray) -> float:
    """Return how many independent columns are as many as these correlated ones.

    It is ``1 + (k - 1) (1 - var(eigenvalues of the correlations) / k)``: 1 for k equal columns, k
    for k columns without correlation.

    Parameters
    ----------
    columns : float64 array of shape (n, k)
        None is constant; k >= 1.

    References
    ----------
    Nyholt, D. R. (2004). A simple correction for multiple testing for single-nucleotide
        polymorphisms in linkage disequilibrium with each other. American Journal of Human Genetics
        74(4).

    Examples
    --------
    >>> moves = np.random.default_rng(0).normal(size=(10_000, 4))
    >>> round(effective_number(moves), 2)
    4.0
    >>> round(effective_number(moves[:, [0, 0, 0]]), 2)
    1.0
    """
    k = columns.shape[1]
    if k == 1:
        return 1.0
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(columns, rowvar=False))
    return float(1 + (k - 1) * (1 - eigenvalues.var(ddof=1) / k))


def is_above_luck(best: FloatArray, tried: Sequence[FloatArray]) -> bool:
    """Return whether the best of the tried net returns has a higher Sharpe ratio than luck gives.

    Luck gives the expected highest ratio of as many independent series without skill, on as many
    bars. This is a deflated Sharpe ratio above one half.

    Parameters
    ----------
    best : float64 array of shape (n,)
        Net returns with the highest ratio.
    tried : sequence of float64 arrays of shape (n,)
        Net returns of everything that could have been chosen, `best` among them.

    References
    ----------
    Bailey, D. H. and Lopez de Prado, M. (2014). The deflated Sharpe ratio. Journal of Portfolio
        Management 40(5).
    """
    moving = [net for net in tried if not is_constant(net)]
    if not moving:
        return False
    trials = max(1, round(effective_number(np.column_stack(moving))))
    moments = Moments.of(best)
    return moments.sharpe > expected_maximum_sharpe(trials, 1 / max(1, moments.n - 1))
