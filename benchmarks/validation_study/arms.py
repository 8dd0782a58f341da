"""Arms of the study: the product's procedure, and the same procedure without one of its parts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from sklearn.model_selection import KFold

from adapters.base import ModelAdapter
from trainer.arrays import FloatArray, IntArray
from trainer.evidence.walk_forward import WalkForward
from trainer.procedure.procedure import Fitted, Procedure
from trainer.procedure.sample import Sample
from trainer.procedure.threshold_search import ThresholdSearch
from trainer.serving.threshold import Threshold
from trainer.statistics.costs import Costs


@dataclass(frozen=True, eq=False)
class Recorded(Procedure):
    """The product's procedure, which also keeps its results and the seconds of its fits.

    Attributes
    ----------
    runs : list of Fitted
        One for each block of the walk-forward.
    outcomes : list of arrays
        Outcomes of the rows that each run was fitted on.
    fits : list of (bool, float)
        Of each fit: whether it was read from the cache, and its CPU seconds.
    """

    runs: list[Fitted] = field(default_factory=list)
    outcomes: list[FloatArray] = field(default_factory=list)
    fits: list[tuple[bool, float]] = field(default_factory=list)

    def run(self, sample: Sample, models: Sequence[ModelAdapter] | None = None) -> Fitted:
        """Run the procedure and keep its result."""
        self.outcomes.append(sample.outcome)
        self.runs.append(super().run(sample, models))
        return self.runs[-1]

    def fit(self, sample: Sample, rows: IntArray) -> ModelAdapter:
        """Fit a model and keep the CPU seconds."""
        read = self.fit_cache.n_read if self.fit_cache else 0
        started = time.process_time()
        adapter = super().fit(sample, rows)
        seconds = time.process_time() - started
        self.fits.append((bool(self.fit_cache and self.fit_cache.n_read > read), seconds))
        return adapter


@dataclass(frozen=True, eq=False)
class Unpurged(Recorded):
    """The procedure with plain K-fold: no purge, no embargo. The walk-forward stays purged."""

    def folds(self, sample: Sample) -> list[tuple[IntArray, IntArray]]:
        """Return the folds of scikit-learn's `KFold`."""
        plain = KFold(self.n_splits).split(sample.bar)
        return [(train.astype(np.int64), test.astype(np.int64)) for train, test in plain]


@dataclass(frozen=True, eq=False)
class GrossThreshold(Recorded):
    """The procedure with a threshold search at costs of 0; its result pays the real costs."""

    def _search(self, sample: Sample, probability: FloatArray) -> ThresholdSearch:
        # `super()._search` cannot be called on the copy: it has this class, too.
        free = replace(self, terms=replace(self.terms, costs=Costs(0.0, 0.0)))
        return Procedure._search(free, sample, probability)


@dataclass(frozen=True, eq=False)
class FixedThreshold(Recorded):
    """The procedure with a fixed threshold: long from 0.5, short below, a position on every bar."""

    def _search(self, sample: Sample, probability: FloatArray) -> ThresholdSearch:
        search = super()._search(sample, probability)
        return search._replace(threshold=Threshold(0.5, self.allow_short))


@dataclass(frozen=True)
class Arm:
    """One variant of the procedure.

    Attributes
    ----------
    name, about : str
    procedure : type of Recorded
    calibration : str
        The product's calibration, unless the arm changes it.
    same_folds : bool
        Whether its folds are those of the base; then its fits are those of the base, too.
    own_probabilities : bool
        Whether the study shows its probabilities: those of other arms are equal to the base's, or
        to those of another arm.
    """

    name: str
    about: str
    procedure: type[Recorded] = Recorded
    calibration: str = "platt"
    same_folds: bool = True
    own_probabilities: bool = False


@dataclass(frozen=True, eq=False)
class ArmRun:
    """The walk-forward of an arm.

    Attributes
    ----------
    arm : Arm
    procedure : Recorded
        The procedure of the walk-forward, with the results that it kept.
    walk : WalkForward
    seconds : float
        CPU seconds of the walk-forward.
    """

    arm: Arm
    procedure: Recorded
    walk: WalkForward
    seconds: float


BASE, RAW = "base", "no calibration"
UNPURGED, GROSS, FIXED = "no purging", "gross threshold", "fixed threshold"
ARMS = (
    Arm(BASE, "the product's procedure with its defaults"),
    Arm(
        RAW,
        "the threshold search uses raw scores",
        calibration="none",
        own_probabilities=True,
    ),
    Arm(
        UNPURGED,
        "the folds are scikit-learn's KFold: no purge, no embargo; the walk-forward blocks stay "
        "purged, and so do the rows of early stopping",
        Unpurged,
        same_folds=False,
        own_probabilities=True,
    ),
    Arm(
        GROSS,
        "the same search over the same thresholds, but it chooses at costs of 0; the result is "
        "measured at the real costs",
        GrossThreshold,
    ),
    Arm(
        FIXED,
        "no search: long from 0.5, short below, so it has a position on every bar (a calibrator "
        "without slope still means `do not trade`)",
        FixedThreshold,
    ),
    Arm(
        "isotonic",
        "isotonic calibration instead of Platt's sigmoid",
        calibration="isotonic",
        own_probabilities=True,
    ),
    Arm(
        "none of them",
        "raw scores and a threshold of 0.5: nothing is chosen on the folds, so purging them has no "
        "effect",
        FixedThreshold,
        calibration="none",
    ),
)
