"""How much a walk-forward owes to its one history: the threshold chosen on every other choice."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trainer.errors import TrainerError
from trainer.procedure.splits import CombinatorialPurgedKFold
from trainer.procedure.threshold_search import optimise_threshold
from trainer.statistics.costs import Terms
from trainer.statistics.performance import net_returns, sharpe

Floats = npt.NDArray[np.float64]

#: Six stretches, two tested at a time: 15 splits, 5 paths (Lopez de Prado 2018, ch. 12).
N_FOLDS, N_TEST_FOLDS = 6, 2


def cpcv_net_sharpe(
    probability: Floats,
    forward_return: Floats,
    *,
    horizon: int,
    terms: Terms,
    allow_short: bool,
) -> Floats:
    """Return the net Sharpe ratio of each path of a combinatorial purged cross-validation.

    What is fitted anew in each split is the threshold, on the walk-forward's own out-of-sample
    probabilities: models and calibrators stay those of the walk-forward, so no row was seen by the
    model that scored it, and the paths cost no further fits. Each path is one whole history in
    which every stretch was traded with a threshold chosen on the four others of its split.

    Parameters
    ----------
    probability : float64 array of shape (n,)
        Out of sample, one a bar of a contiguous axis; NaN where there was no row.
    forward_return : float64 array of shape (n,)
    horizon : int
        Bars an outcome is read over: labels that touch a tested stretch are purged.
    terms, allow_short
        As in `trainer.serving.threshold.optimise_threshold`.

    Returns
    -------
    float64 array of shape (5,)
        Annualised; 0 for a path that never traded. All NaN if there are too few rows to split.
        Their spread is dispersion over histories, not a standard error.
    """
    rows = np.flatnonzero(np.isfinite(probability))
    try:
        splitter = CombinatorialPurgedKFold(
            N_FOLDS, N_TEST_FOLDS, embargo=horizon, t0=rows, t1=rows + 1 + horizon
        )
        splits = list(splitter.split())
    except TrainerError:
        n_paths = 5
        return np.full(n_paths, np.nan)
    thresholds = []
    for train, _ in splits:
        chosen = np.full(len(probability), np.nan)
        chosen[rows[train]] = probability[rows[train]]
        search = optimise_threshold(
            chosen,
            # Bars of the tested stretches are held flat: what they returned is not looked at.
            np.where(np.isfinite(chosen), forward_return, 0.0),
            terms,
            allow_short=allow_short,
        )
        thresholds.append(search.threshold)
    found = []
    for path in splitter.paths():
        position = np.zeros(len(probability))
        for fold, split in zip(splitter.fold_rows(), path, strict=True):
            position[rows[fold]] = thresholds[split].positions(probability[rows[fold]])
        net = net_returns(position, forward_return, terms.costs)
        found.append(np.nan_to_num(sharpe(net, terms.periods_per_year)))
    return np.array(found)
