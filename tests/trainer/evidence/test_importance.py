"""Importance: the feature that drives outcomes comes first, and the sample stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from adapters.base import ModelAdapter
from trainer.evidence.importance import permutation_importance
from trainer.procedure.procedure import Procedure
from trainer.procedure.sample import Sample

NAMES = ("driver", "r1", "r4", "r16", "r48")


@pytest.mark.parametrize("lookback", [1, 4])
def test_the_driver_is_first_in_every_fold(
    synthetic_sample: Callable[..., Sample],
    make_procedure: Callable[..., Procedure],
    spy: Callable[..., Callable[[], ModelAdapter]],
    lookback: int,
) -> None:
    sample = synthetic_sample(edge=0.004)
    before = sample.X.copy()
    fitted = make_procedure(spy(lookback=lookback)).run(sample)
    rows = permutation_importance(sample, fitted.fold_rows, fitted.fold_models, NAMES, seed=0)
    assert rows[0].feature == "driver"
    assert min(rows[0].folds) > 0.02
    assert max(row.mean for row in rows[1:]) < rows[0].mean / 3
    assert len(rows) == len(NAMES)
    assert [row.mean for row in rows] == sorted((row.mean for row in rows), reverse=True)
    for row in rows:
        assert len(row.folds) == 3
        assert row.std == pytest.approx(np.std(row.folds))
    np.testing.assert_array_equal(sample.X, before)
    again = permutation_importance(sample, fitted.fold_rows, fitted.fold_models, NAMES, seed=0)
    assert again == rows


def test_a_model_that_scores_nothing_has_no_importance(
    synthetic_sample: Callable[..., Sample], make_procedure: Callable[..., Procedure], spy: Any
) -> None:
    sample = synthetic_sample()
    fitted = make_procedure(spy()).run(sample)
    long = spy(lookback=900)()
    long.fit(sample.batch(np.arange(900)))
    assert permutation_importance(sample, fitted.fold_rows, [long] * 3, NAMES, seed=0) == ()
