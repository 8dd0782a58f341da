"""Permutation importance of features on rows that the models did not see, fold by fold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from adapters.base import ModelAdapter
from trainer.arrays import FloatArray, IntArray
from trainer.evidence.evidence import ImportanceRow
from trainer.procedure.sample import Sample
from trainer.statistics.performance import roc_auc

#: The latest rows of each fold, which are scored again for each shuffled feature.
ROWS = 500


def permutation_importance(
    sample: Sample,
    tested: Sequence[IntArray],
    models: Sequence[ModelAdapter],
    names: Sequence[str],
    *,
    seed: int,
    measured: Mapping[int, FloatArray] | None = None,
) -> tuple[ImportanceRow, ...]:
    """Measure how much the ROC AUC of out-of-fold scores falls when one feature is shuffled.

    The measure is the same for every kind of model. Features that carry the same information share
    its importance, so each of them may have an importance near 0.

    Parameters
    ----------
    sample : Sample
    tested : sequence of int64 arrays
        For each model, the rows that it did not see.
    models : sequence of ModelAdapter
        One fitted model for each entry of `tested`.
    names : sequence of str
        Names of the features.
    seed : int
        Seed of the shuffling.
    measured : mapping of int to float64 arrays, optional
        What `fold_falls` returned already, by the number of the fold.

    Returns
    -------
    tuple of ImportanceRow
        The largest mean first. A feature without a finite value in every fold is left out.

    References
    ----------
    Breiman, L. (2001). Random forests. Machine Learning 45(1), sec. 10.
    """
    known = measured or {}
    falls = np.array(  # (folds, features)
        [
            known[fold] if fold in known else fold_falls(sample, tested, fold, model, seed=seed)
            for fold, model in enumerate(models)
        ]
    )
    importances = [
        ImportanceRow(name, float(column.mean()), float(column.std()), tuple(column.tolist()))
        for name, column in zip(names, falls.T, strict=True)
        if np.isfinite(column).all()
    ]
    return tuple(sorted(importances, key=lambda row: -row.mean))


def fold_falls(
    sample: Sample, tested: Sequence[IntArray], fold: int, model: ModelAdapter, *, seed: int
) -> FloatArray:
    """Return the fall of the ROC AUC for each feature on the rows of one fold.

    Parameters
    ----------
    sample : Sample
    tested : sequence of int64 arrays
        For each fold, the rows that its model did not see.
    fold : int
    model : ModelAdapter
        The model of this fold.
    seed : int
        Seed of the shuffling of all folds: those before this one draw first.

    Returns
    -------
    float64 array of shape (f,)
        NaN if the model scores no row.
    """
    rng = np.random.default_rng(seed)
    for rows in tested[:fold]:
        for _ in range(sample.X.shape[1]):
            rng.permutation(len(rows[-ROWS:]))
    return _falls(sample.take(tested[fold][-ROWS:]), model, rng)


def falls_key(sample: Sample, tested: Sequence[IntArray], fold: int, *, seed: int) -> str:
    """Return a digest of all that `fold_falls` depends on beside the model."""
    rows = sample.take(tested[fold][-ROWS:])
    sizes = [len(other[-ROWS:]) for other in tested[:fold]]
    digest = hashlib.sha256(repr((seed, fold, sizes, rows.X.shape)).encode())
    for array in (rows.X.T, rows.outcome, rows.bar):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _falls(sample: Sample, model: ModelAdapter, rng: np.random.Generator) -> FloatArray:
    """Return the fall of the ROC AUC for each feature; NaN if the model scores no row."""
    scores = model.predict(sample.X, sample.bar)
    known = np.isfinite(scores)
    if not known.any():
        return np.full(sample.X.shape[1], np.nan)
    outcome = sample.outcome[known]
    best = roc_auc(_ranks(scores[known]), outcome)
    falls = np.empty(sample.X.shape[1])  # (features,)
    for column in range(sample.X.shape[1]):
        shuffled = sample.X.copy(order="K")
        shuffled[:, column] = rng.permutation(shuffled[:, column])
        falls[column] = best - roc_auc(_ranks(model.predict(shuffled, sample.bar)[known]), outcome)
    return falls


def _ranks(scores: FloatArray) -> FloatArray:
    """Map scores of any scale into [0, 1]; their order and ties stay."""
    _, place = np.unique(scores, return_inverse=True)
    return place / max(1, int(place.max()))
