"""What each feature is worth to a model on rows it never saw, and how steadily over the folds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.base import ModelAdapter
from trainer.procedure.sample import IntArray, Sample
from trainer.statistics.performance import roc_auc

#: Rows of each fold that are scored again with a feature shuffled: its latest ones.
ROWS = 500


def permutation_importance(
    sample: Sample,
    tested: Sequence[IntArray],
    models: Sequence[ModelAdapter],
    names: Sequence[str],
    *,
    seed: int,
) -> list[dict[str, Any]]:
    """Shuffle one feature at a time and see how much worse scores rank outcomes out of fold.

    It asks the same of every model, whatever it is made of. Features that say the same share
    their worth between them, so that each may look worthless.

    Parameters
    ----------
    sample : Sample
    tested : sequence of int64 arrays
        Rows that each model did not see.
    models : sequence of ModelAdapter
        The fitted model of each of them.
    names : sequence of str
        Of the features.
    seed : int
        Of the shuffling.

    Returns
    -------
    list of dict
        ``feature``, ``mean`` and ``std`` over the folds, and ``folds``: the fall of the ROC AUC of
        the scores when the feature is shuffled. The worthiest first.
    """
    rng = np.random.default_rng(seed)
    table = np.array(
        [
            _fall(sample.take(rows[-ROWS:]), model, rng)
            for rows, model in zip(tested, models, strict=True)
        ]
    )
    found = [
        {
            "feature": name,
            "mean": float(column.mean()),
            "std": float(column.std()),
            "folds": column.tolist(),
        }
        for name, column in zip(names, table.T, strict=True)
        if np.isfinite(column).all()
    ]
    return sorted(found, key=lambda row: -row["mean"])


def _fall(sample: Sample, model: ModelAdapter, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    whole = model.predict(sample.X, sample.bar)
    known = np.isfinite(whole)
    if not known.any():
        return np.full(sample.X.shape[1], np.nan)
    outcome = sample.outcome[known]
    best = roc_auc(_ranks(whole[known]), outcome)
    found = np.empty(sample.X.shape[1])
    for column in range(sample.X.shape[1]):
        shuffled = sample.X.copy(order="K")
        shuffled[:, column] = rng.permutation(shuffled[:, column])
        found[column] = best - roc_auc(_ranks(model.predict(shuffled, sample.bar)[known]), outcome)
    return found


def _ranks(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Bring scores of any scale into [0, 1], their order and ties kept."""
    _, place = np.unique(scores, return_inverse=True)
    return place / max(1, int(place.max()))
