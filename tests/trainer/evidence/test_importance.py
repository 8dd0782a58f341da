"""Importance: the feature that drives outcomes comes first, and the sample stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adapters.base import ModelAdapter
from trainer.evidence import importance
from trainer.evidence.importance import ROWS, falls_key, permutation_importance
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
    # One stream of random numbers runs through all folds, whoever measures a fold.
    rng = np.random.default_rng(0)
    slow = [
        importance._falls(sample.take(tested[-ROWS:]), model, rng)
        for tested, model in zip(fitted.fold_rows, fitted.fold_models, strict=True)
    ]
    assert {row.feature: row.folds for row in rows} == dict(
        zip(NAMES, map(tuple, np.array(slow).T.tolist()), strict=True)
    )


def test_folds_that_were_measured_elsewhere_are_not_measured_again(
    synthetic_sample: Any, make_procedure: Any, spy: Any
) -> None:
    sample = synthetic_sample(edge=0.004)
    fitted = make_procedure(spy()).run(sample)
    made = {1: np.arange(5.0)}
    rows = permutation_importance(
        sample, fitted.fold_rows, fitted.fold_models, NAMES, seed=0, measured=made
    )
    assert {row.feature: row.folds[1] for row in rows} == dict(zip(NAMES, range(5), strict=True))


def test_the_key_of_a_fold_changes_with_what_its_importance_depends_on(
    synthetic_sample: Any, make_procedure: Any, spy: Any
) -> None:
    sample = synthetic_sample(edge=0.004)
    tested = make_procedure(spy()).run(sample).fold_rows
    last = tested[1][-1]

    def changed(name: str, at: Any) -> Sample:
        array = getattr(sample, name).copy()
        array[at] += 1
        return replace(sample, **{name: array})

    others = [
        falls_key(sample, tested, 1, seed=1),
        falls_key(sample, tested, 2, seed=0),
        falls_key(sample, [tested[0][:50], *tested[1:]], 1, seed=0),
        falls_key(changed("X", (last, 3)), tested, 1, seed=0),
        falls_key(changed("outcome", last), tested, 1, seed=0),
        falls_key(changed("bar", last), tested, 1, seed=0),
    ]
    assert len({falls_key(sample, tested, 1, seed=0), *others}) == 1 + len(others)
    unseen = changed("X", (tested[2][0], 0)), changed("forward_return", last)
    for same in (sample, *unseen):
        assert falls_key(same, tested, 1, seed=0) == falls_key(sample, tested, 1, seed=0)


def test_a_model_that_scores_nothing_has_no_importance(
    synthetic_sample: Callable[..., Sample], make_procedure: Callable[..., Procedure], spy: Any
) -> None:
    sample = synthetic_sample()
    fitted = make_procedure(spy()).run(sample)
    long = spy(lookback=900)()
    long.fit(sample.batch(np.arange(900)))
    assert permutation_importance(sample, fitted.fold_rows, [long] * 3, NAMES, seed=0) == ()
