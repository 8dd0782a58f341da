"""The procedure: from rows to a model, a calibrator and a threshold, none of which saw its test."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adapters.base import ModelAdapter
from trainer.procedure.calibration import fit_calibrator
from trainer.procedure.fit_cache import FitCache
from trainer.procedure.sample import FloatArray, IntArray, Sample, score_rows
from trainer.procedure.splits import PurgedKFold, plan_digest, purged_tail
from trainer.procedure.threshold_search import ThresholdSearch, optimise_threshold
from trainer.serving.calibrators import Calibrator
from trainer.serving.threshold import Threshold
from trainer.statistics.bar_axis import BarAxis
from trainer.statistics.costs import Terms
from trainer.statistics.performance import performance, probability_metrics

#: Share of a fit's latest rows that early stopping watches.
TAIL_FRACTION = 0.15
#: Probability metrics of a fold, then its performance after costs.
FOLD_METRICS = ("log_loss", "brier", "roc_auc", "net_sharpe", "gross_sharpe", "turnover")


@dataclass(frozen=True, eq=False)
class Fitted:
    """What the procedure returns.

    Attributes
    ----------
    adapter : ModelAdapter
        Fitted on all rows.
    calibrator : Calibrator
        Fitted on the out-of-fold scores.
    threshold : Threshold
        Chosen on cross-calibrated probabilities.
    search : ThresholdSearch
        The curve it was chosen from.
    probability : float64 array of shape (n,)
        Cross-calibrated out-of-fold probabilities. They chose the threshold, so whatever is
        measured on them is called ``val_``.
    fold_metrics : list of dict
        `FOLD_METRICS` of each fold.
    curves : list of list of float
        What each fold's fit saw on the rows that stop it early, check by check.
    plan_digest : str
        Digest of the folds.
    fold_models : list of ModelAdapter
        The fitted model of each fold.
    fold_rows : list of int64 arrays
        Rows that each of them did not see.
    """

    adapter: ModelAdapter
    calibrator: Calibrator
    threshold: Threshold
    search: ThresholdSearch
    probability: FloatArray
    fold_metrics: list[dict[str, float]]
    curves: list[list[float]]
    plan_digest: str
    fold_models: list[ModelAdapter]
    fold_rows: list[IntArray]

    @property
    def flat_because(self) -> str:
        """Why it does not trade; empty if it does."""
        if self.threshold.value is not None:
            return ""
        if self.calibrator.is_constant:
            return "out of fold, scores did not rank outcomes"
        return "out of fold, no threshold paid for its costs"

    def positions(self, sample: Sample, rows: IntArray) -> tuple[FloatArray, npt.NDArray[np.int8]]:
        """Probabilities and positions of rows that were not fitted on."""
        probability = self.calibrator.transform(score_rows(self.adapter, sample, rows))
        return probability, self.threshold.positions(probability)


@dataclass(frozen=True)
class Procedure:
    """Settings of the procedure; the same for the walk-forward evaluation and for production.

    Attributes
    ----------
    make_adapter : callable
        Gives an unfitted adapter.
    n_splits, embargo : int
        Purged K-fold.
    horizon : int
        Bars an outcome is read over.
    terms : Terms
        Costs per side, and bars in a trading year.
    calibration : str
        ``platt``, ``isotonic``, ``none`` or ``auto``.
    allow_short : bool
        Whether positions may be short.
    on_fit : callable
        Called after each fit with its wall seconds, read or made: what a progress bar counts.
    on_tell : callable
        Told how a long fit goes on.
    fit_cache : FitCache, optional
        Where fits are read from that were made before.
    """

    make_adapter: Callable[[], ModelAdapter]
    n_splits: int
    embargo: int
    horizon: int
    terms: Terms
    calibration: str = "platt"
    allow_short: bool = True
    on_fit: Callable[[float], None] = lambda seconds: None
    on_tell: Callable[[str], None] = lambda text: None
    fit_cache: FitCache | None = None

    @property
    def n_fits(self) -> int:
        """Fits of one run of the procedure."""
        return self.n_splits + 1

    def folds(self, sample: Sample) -> list[tuple[IntArray, IntArray]]:
        """Purged and embargoed folds of these rows."""
        splitter = PurgedKFold(
            self.n_splits,
            embargo=self.embargo,
            lookback=self.make_adapter().lookback,
            t0=sample.bar,
            t1=sample.label_end,
        )
        return list(splitter.split())

    def run(self, sample: Sample) -> Fitted:
        """Fit everything on these rows, and on nothing else.

        Parameters
        ----------
        sample : Sample
            Labelled rows.

        Returns
        -------
        Fitted

        Raises
        ------
        TrainerError
            If the rows are too few for the folds and the embargo.
        AdapterError
            If the model cannot be fitted.
        """
        folds = self.folds(sample)
        scores = np.full(len(sample), np.nan)
        curves, models = [], []
        for train, test in folds:
            adapter = self.fit(sample, train)
            models.append(adapter)
            scores[test] = score_rows(adapter, sample, test)
            curves.append([float(v) for v in adapter.get_artifacts().get("valid_curve", [])])
        everything = np.arange(len(sample))
        calibrator = self._calibrate(self.calibration, sample, scores, everything, folds)
        probability = np.full(len(sample), np.nan)
        for train, test in folds:
            # The fold's own outcomes may not shape the probabilities that its threshold is
            # judged on; its purged training rows are exactly those that do not overlap them.
            # The same kind as the final one, or `auto` would choose the threshold on another.
            other = self._calibrate(calibrator.kind, sample, scores, train, None)
            probability[test] = other.transform(scores[test])
        search = self._search(sample, probability)
        # A calibrator without slope says that scores do not rank outcomes: nothing to trade on.
        threshold = (
            Threshold(None, self.allow_short) if calibrator.is_constant else search.threshold
        )
        return Fitted(
            self.fit(sample, everything),
            calibrator,
            threshold,
            search,
            probability,
            [self._measure(sample, probability, threshold, test) for _, test in folds],
            curves,
            plan_digest(folds),
            models,
            [test for _, test in folds],
        )

    def fit(self, sample: Sample, rows: IntArray) -> ModelAdapter:
        """Fit one model on these rows; early stopping watches their purged tail."""
        train, tail = purged_tail(sample.bar[rows], sample.label_end[rows], TAIL_FRACTION)
        adapter = self.make_adapter()
        adapter.on_progress = self.on_tell
        cost = self.terms.costs.share
        fit_rows, tail_rows = sample.batch(rows[train], cost), sample.batch(rows[tail], cost)
        started = time.perf_counter()
        if self.fit_cache is None:
            adapter.fit(fit_rows, tail_rows)
        else:
            adapter = self.fit_cache.fetch(adapter, fit_rows, tail_rows)
        self.on_fit(time.perf_counter() - started)
        return adapter

    def _calibrate(
        self,
        method: str,
        sample: Sample,
        scores: FloatArray,
        rows: IntArray,
        folds: list[tuple[IntArray, IntArray]] | None,
    ) -> Calibrator:
        usable = rows[np.isfinite(scores[rows])]
        splits = None
        if folds is not None and len(usable) == len(sample):
            splits = folds
        return fit_calibrator(
            method,
            scores[usable],
            sample.outcome[usable],
            horizon=self.horizon,
            splits=splits,
        )

    def _search(self, sample: Sample, probability: FloatArray) -> ThresholdSearch:
        axis = BarAxis.of(sample.bar)
        return optimise_threshold(
            axis.place(probability, np.nan),
            axis.place(sample.forward_return, 0.0),
            self.terms,
            allow_short=self.allow_short,
        )

    def _measure(
        self, sample: Sample, probability: FloatArray, threshold: Threshold, rows: IntArray
    ) -> dict[str, float]:
        known = rows[np.isfinite(probability[rows])]
        measured = {
            **probability_metrics(probability[known], sample.outcome[known]),
            **self.performance(sample, rows, threshold.positions(probability[rows])),
        }
        return {name: measured[name] for name in FOLD_METRICS}

    def performance(
        self, sample: Sample, rows: IntArray, position: npt.NDArray[np.int8]
    ) -> dict[str, float]:
        """Measure positions at these rows, flat wherever a bar has no row."""
        axis = BarAxis.of(sample.bar[rows])
        return performance(
            axis.place(position.astype(float), 0.0),
            axis.place(sample.forward_return[rows], 0.0),
            self.terms,
        )
