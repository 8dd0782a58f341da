"""Dispersion of a walk-forward's net Sharpe ratio over combinatorial purged cross-validation."""

from __future__ import annotations

from math import comb

import numpy as np

from trainer.arrays import FloatArray, IntArray
from trainer.errors import TrainerError
from trainer.procedure.splits import CombinatorialPurgedKFold
from trainer.procedure.threshold_search import optimise_threshold
from trainer.serving.position_rule import PositionRule
from trainer.serving.rules import RuleSettings
from trainer.statistics.costs import Terms
from trainer.statistics.performance import net_returns, sharpe

#: Six folds, two of them tested in each split: 15 splits (Lopez de Prado 2018, ch. 12).
N_FOLDS, N_TEST_FOLDS = 6, 2
#: Complete histories that the splits make: each fold is tested once in each of them.
N_PATHS = comb(N_FOLDS, N_TEST_FOLDS) * N_TEST_FOLDS // N_FOLDS


def cpcv_net_sharpe(
    probability: FloatArray,
    forward_return: FloatArray,
    *,
    horizon: int,
    terms: Terms,
    allow_short: bool = True,
    settings: RuleSettings | None = None,
    volatility: FloatArray | None = None,
) -> FloatArray:
    """Return the net Sharpe ratio of each path of a combinatorial purged cross-validation.

    Each split chooses the threshold again, from the out-of-sample probabilities of the
    walk-forward. Models and calibrators stay those of the walk-forward. So no model has seen a row
    that it scores, and the paths need no further fits. A path is a complete history: every fold is
    traded with a threshold that was chosen on the four folds that its split does not test.

    Parameters
    ----------
    probability : float64 array of shape (n,)
        Out of sample, one value for each bar of a contiguous axis; NaN for a bar without a row.
    forward_return : float64 array of shape (n,)
    horizon : int
        Bars that a label reads: training rows with labels that reach into a tested fold are purged.
    terms, allow_short, settings, volatility
        As in `trainer.procedure.threshold_search.optimise_threshold`.

    Returns
    -------
    float64 array of shape (`N_PATHS`,)
        Annualised; 0 for a path that never traded. All NaN if there are too few rows to split.
        The deviation of the values shows dispersion over histories. It is not a standard error.

    References
    ----------
    Lopez de Prado, M. (2018). Advances in Financial Machine Learning, ch. 12. Wiley.
    """
    settings = settings or RuleSettings(allow_short=allow_short)
    rows = np.flatnonzero(np.isfinite(probability))  # (rows,)
    try:
        splitter = CombinatorialPurgedKFold(
            N_FOLDS, N_TEST_FOLDS, embargo=horizon, t0=rows, t1=rows + 1 + horizon
        )
        splits = list(splitter.split())
    except TrainerError:
        return np.full(N_PATHS, np.nan)
    thresholds = [
        _choose_threshold(probability, forward_return, rows[train], terms, settings, volatility)
        for train, _ in splits
    ]
    ratios = []
    for path in splitter.paths():
        position = np.zeros(len(probability))  # (n,)
        for fold, split in zip(splitter.fold_rows(), path, strict=True):
            # Each fold starts flat: the fold before it is traded with another threshold.
            bars = slice(rows[fold[0]], rows[fold[-1]] + 1)
            known = None if volatility is None else volatility[bars]
            decided = thresholds[split].decide(probability[bars], known, held=0)
            position[bars] = decided.position
        net = net_returns(position, forward_return, terms.costs)
        ratios.append(np.nan_to_num(sharpe(net, terms.periods_per_year)))
    return np.array(ratios)


def _choose_threshold(
    probability: FloatArray,
    forward_return: FloatArray,
    train: IntArray,
    terms: Terms,
    settings: RuleSettings,
    volatility: FloatArray | None,
) -> PositionRule:
    """Search the threshold on the bars of the training rows; all other bars are flat."""
    known = np.full(len(probability), np.nan)
    known[train] = probability[train]
    return optimise_threshold(
        known,
        # The search is flat on all other bars, and it must not see their returns.
        np.where(np.isfinite(known), forward_return, 0.0),
        terms,
        settings=settings,
        volatility=volatility,
    ).threshold
