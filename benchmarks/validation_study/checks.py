"""The arms must differ where one improvement was taken away, and nowhere else."""

from __future__ import annotations

import numpy as np

from benchmarks.validation_study.arms import BASE, RAW, Arm, Recorded
from trainer.evidence.walk_forward import WalkForward


def check_arms(walks: dict[str, WalkForward], done: dict[str, tuple[Arm, Recorded]]) -> int:
    """Compare all arms with the base, bit for bit; return the number of comparisons.

    Raw scores are those of the arm without calibration. If every arm's probabilities are those
    scores through its own calibrators, and its positions those probabilities through its own
    thresholds, then all arms were scored by the same models, and nothing else can differ.

    Raises
    ------
    RuntimeError
        If an arm differs from the base where it should not, or does not differ where it should.
    """
    made = 0

    def hold(arm: str, rule: str, held: bool) -> None:
        nonlocal made
        made += 1
        if not held:
            raise RuntimeError(f"arm {arm!r}: {rule}")

    base, raw = walks[BASE], walks[RAW].probability
    for name, walk in walks.items():
        arm, procedure = done[name]
        hold(name, "the blocks must be the base's", walk.plan_digest == base.plan_digest)
        hold(name, "the tested bars must be the base's", np.array_equal(walk.bar, base.bar))
        begin = 0
        for block, fitted, own in zip(walk.blocks, procedure.runs, done[BASE][1].runs, strict=True):
            rows = slice(begin, begin + block["test_rows"])
            begin = rows.stop
            probability = walk.probability[rows]
            hold(
                name,
                "its probabilities must be the same models' scores through its calibrator",
                np.array_equal(fitted.calibrator.transform(raw[rows]), probability, equal_nan=True),
            )
            hold(
                name,
                "its positions must be its probabilities through its threshold",
                np.array_equal(fitted.threshold.positions(probability), walk.position[rows]),
            )
            hold(
                name,
                f"its selection folds must {'' if arm.same_folds else 'not '}be the base's",
                (fitted.plan_digest == own.plan_digest) == arm.same_folds,
            )
            if arm.same_folds and arm.calibration == done[BASE][0].calibration:
                hold(
                    name,
                    "its calibrator and out-of-fold probabilities must be the base's",
                    fitted.calibrator.to_json() == own.calibrator.to_json()
                    and np.array_equal(fitted.probability, own.probability, equal_nan=True),
                )
        if arm.same_folds and name != BASE:
            hold(name, "its fits must be the base's", all(read for read, _ in procedure.fits))
    return made
