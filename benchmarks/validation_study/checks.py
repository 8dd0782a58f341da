"""Checks of the arms: they must differ in the part that an arm changes, and in nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmarks.validation_study.arms import BASE, RAW, Arm, ArmRun
from trainer.arrays import FloatArray
from trainer.procedure.procedure import Fitted


def check_arms(runs: Mapping[str, ArmRun]) -> int:
    """Compare all arms with the base, bit for bit.

    The raw scores are those of the arm without calibration. If the probabilities of every arm are
    these scores through its own calibrators, and its positions are these probabilities through its
    own thresholds, then the same models scored all arms, and nothing else can differ.

    Parameters
    ----------
    runs : mapping of str to ArmRun
        Every arm by name.

    Returns
    -------
    int
        Number of comparisons.

    Raises
    ------
    RuntimeError
        If an arm differs from the base where it must not, or does not differ where it must.
    """
    comparisons = _Comparisons()
    base = runs[BASE]
    for run in runs.values():
        _compare_rows(comparisons, run, base)
        begin = 0
        blocks = zip(run.walk.blocks, run.procedure.runs, base.procedure.runs, strict=True)
        for block, fitted, of_base in blocks:
            rows = slice(begin, begin + block.test_rows)
            begin = rows.stop
            _compare_decisions(comparisons, run, fitted, rows, runs[RAW].walk.probability[rows])
            _compare_fitted(comparisons, run.arm, fitted, of_base, base.arm)
        if run.arm.same_folds and run.arm.name != BASE:
            all_read = all(read for read, _ in run.procedure.fits)
            comparisons.require(run.arm, "its fits must be the base's", all_read)
    return comparisons.n


class _Comparisons:
    """Counter of comparisons; the first one that fails raises an error."""

    def __init__(self) -> None:
        self.n = 0

    def require(self, arm: Arm, rule: str, satisfied: bool) -> None:
        self.n += 1
        if not satisfied:
            raise RuntimeError(f"arm {arm.name!r}: {rule}")


def _compare_rows(comparisons: _Comparisons, run: ArmRun, base: ArmRun) -> None:
    same_blocks = run.walk.plan_digest == base.walk.plan_digest
    comparisons.require(run.arm, "the blocks must be the base's", same_blocks)
    same_bars = np.array_equal(run.walk.bar, base.walk.bar)
    comparisons.require(run.arm, "the tested bars must be the base's", same_bars)


def _compare_decisions(
    comparisons: _Comparisons, run: ArmRun, fitted: Fitted, rows: slice, score: FloatArray
) -> None:
    """Repeat the decisions of a block from the raw scores."""
    probability = run.walk.probability[rows]
    comparisons.require(
        run.arm,
        "its probabilities must be the same models' scores through its calibrator",
        np.array_equal(fitted.calibrator.transform(score), probability, equal_nan=True),
    )
    comparisons.require(
        run.arm,
        "its positions must be its probabilities through its threshold",
        np.array_equal(
            fitted.threshold.decide(probability, held=0).position, run.walk.position[rows]
        ),
    )


def _compare_fitted(
    comparisons: _Comparisons, arm: Arm, fitted: Fitted, of_base: Fitted, base: Arm
) -> None:
    """Compare the folds of a block with those of the base; the calibrators if they are equal."""
    comparisons.require(
        arm,
        f"its selection folds must {'' if arm.same_folds else 'not '}be the base's",
        (fitted.plan_digest == of_base.plan_digest) == arm.same_folds,
    )
    if arm.same_folds and arm.calibration == base.calibration:
        comparisons.require(
            arm,
            "its calibrator and out-of-fold probabilities must be the base's",
            fitted.calibrator.to_json() == of_base.calibrator.to_json()
            and np.array_equal(fitted.probability, of_base.probability, equal_nan=True),
        )
