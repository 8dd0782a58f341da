"""Arms of the study: the product's procedure, and the same with one improvement taken away."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np
from sklearn.model_selection import KFold

from adapters.base import ModelAdapter
from trainer.procedure.procedure import Fitted, Procedure
from trainer.procedure.sample import FloatArray, IntArray, Sample
from trainer.procedure.threshold_search import ThresholdSearch
from trainer.serving.threshold import Threshold
from trainer.statistics.costs import Costs


@dataclass(frozen=True, eq=False)
class Recorded(Procedure):
    """The product's procedure; what it returned and how long its fits took is kept.

    Attributes
    ----------
    runs : list of Fitted
        One for each block of the walk-forward.
    outcomes : list of arrays
        Of the rows that each of them was chosen on.
    fits : list of (bool, float)
        Of each fit: whether it was read from the cache, and its CPU seconds.
    """

    runs: list[Fitted] = field(default_factory=list)
    outcomes: list[FloatArray] = field(default_factory=list)
    fits: list[tuple[bool, float]] = field(default_factory=list)

    def run(self, sample: Sample) -> Fitted:
        self.outcomes.append(sample.outcome)
        self.runs.append(super().run(sample))
        return self.runs[-1]

    def fit(self, sample: Sample, rows: IntArray) -> ModelAdapter:
        read = self.fit_cache.read if self.fit_cache else 0
        started = time.process_time()
        adapter = super().fit(sample, rows)
        seconds = time.process_time() - started
        self.fits.append((bool(self.fit_cache and self.fit_cache.read > read), seconds))
        return adapter


@dataclass(frozen=True, eq=False)
class Unpurged(Recorded):
    """Selection on plain K-fold: no purge, no embargo. The walk-forward around it keeps its own."""

    def folds(self, sample: Sample) -> list[tuple[IntArray, IntArray]]:
        plain = KFold(self.n_splits).split(sample.bar)
        return [(train.astype(np.int64), test.astype(np.int64)) for train, test in plain]


@dataclass(frozen=True, eq=False)
class GrossThreshold(Recorded):
    """The same search as if trading were free; what it chose pays its costs all the same."""

    def _search(self, sample: Sample, probability: FloatArray) -> ThresholdSearch:
        # Not by `super()`: the copy is of this class, too, and would come back here.
        free = replace(self, terms=replace(self.terms, costs=Costs(0.0, 0.0)))
        return Procedure._search(free, sample, probability)


@dataclass(frozen=True, eq=False)
class FixedThreshold(Recorded):
    """Long from 0.5, short below: in the market on every bar."""

    def _search(self, sample: Sample, probability: FloatArray) -> ThresholdSearch:
        found = super()._search(sample, probability)
        return found._replace(threshold=Threshold(0.5, self.allow_short))


@dataclass(frozen=True)
class Arm:
    """One way to choose; `calibration` is the product's unless it is what the arm changes."""

    name: str
    about: str
    procedure: type[Recorded] = Recorded
    calibration: str = "platt"
    #: Whether its selection folds are the product's: its fits are then the product's, too.
    same_folds: bool = True
    #: Whether it has probabilities of its own; those of the others are the base's.
    own_probabilities: bool = False


BASE, RAW = "base", "no calibration"
UNPURGED, GROSS, FIXED = "no purging", "gross threshold", "fixed threshold"
ARMS = (
    Arm(BASE, "the product's procedure with its defaults"),
    Arm(
        RAW,
        "raw scores go straight into the threshold search",
        calibration="none",
        own_probabilities=True,
    ),
    Arm(
        UNPURGED,
        "selection folds are scikit-learn's KFold: no purge, no embargo; the walk-forward blocks "
        "stay purged, and so do the rows that early stopping watches",
        Unpurged,
        same_folds=False,
        own_probabilities=True,
    ),
    Arm(
        GROSS,
        "the same search over the same thresholds, but costs are 0 when it chooses; they are "
        "charged when the result is measured",
        GrossThreshold,
    ),
    Arm(
        FIXED,
        "nothing is searched: long from 0.5, short below, so in the market on every bar (a "
        "calibrator without slope still means `do not trade`)",
        FixedThreshold,
    ),
    Arm(
        "isotonic",
        "isotonic calibration in place of Platt's sigmoid",
        calibration="isotonic",
        own_probabilities=True,
    ),
    Arm(
        "none of them",
        "raw scores, threshold fixed at 0.5: nothing is chosen on the folds, so that purging them "
        "cannot matter",
        FixedThreshold,
        calibration="none",
    ),
)
