"""The procedure: it fits a model, a calibrator and a threshold to labelled rows.

No part is evaluated on rows that it was fitted to. Scores come from models of other folds, and the
threshold is chosen on probabilities whose calibrators did not see the fold.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adapters.base import Batch, ModelAdapter
from trainer.arrays import FloatArray, IntArray
from trainer.procedure.calibration import fit_calibrator
from trainer.procedure.fit_cache import FitCache
from trainer.procedure.sample import Sample, score_rows
from trainer.procedure.splits import PurgedKFold, plan_digest, purged_tail
from trainer.procedure.threshold_search import ThresholdSearch, optimise_threshold
from trainer.serving.calibrators import Calibrator
from trainer.serving.position_rule import PositionRule
from trainer.serving.rules import RuleSettings
from trainer.statistics.bar_axis import BarAxis
from trainer.statistics.costs import Terms
from trainer.statistics.performance import performance, probability_metrics

#: Share of the rows of a fit, the latest ones, that are used for early stopping only.
TAIL_FRACTION = 0.15
#: Metrics of a fold: of its probabilities, then of its performance after costs.
FOLD_METRICS = ("log_loss", "brier", "roc_auc", "net_sharpe", "gross_sharpe", "turnover")


@dataclass(frozen=True, eq=False)
class Fitted:
    """Result of one run of the procedure.

    Attributes
    ----------
    adapter : ModelAdapter
        Fitted on all rows.
    calibrator : Calibrator
        Fitted on the out-of-fold scores.
    threshold : PositionRule
        Its value is chosen on cross-calibrated probabilities.
    search : ThresholdSearch
        The curve from which it was chosen.
    probability : float64 array of shape (n,)
        Cross-calibrated out-of-fold probabilities. The threshold was chosen on them, so every
        metric that is measured on them has the prefix ``val_``.
    fold_metrics : list of dict of str to float
        `FOLD_METRICS` of each fold.
    curves : list of list of float
        Loss of the fit of each fold on its early-stopping rows, check by check.
    plan_digest : str
        Digest of the folds.
    fold_models : list of ModelAdapter
        The fitted model of each fold.
    fold_rows : list of int64 arrays
        Test rows of each fold, which its model did not see.
    """

    adapter: ModelAdapter
    calibrator: Calibrator
    threshold: PositionRule
    search: ThresholdSearch
    probability: FloatArray
    fold_metrics: list[dict[str, float]]
    curves: list[list[float]]
    plan_digest: str
    fold_models: list[ModelAdapter]
    fold_rows: list[IntArray]

    @property
    def flat_because(self) -> str:
        """Why the model does not trade; empty if it does."""
        if self.threshold.value is not None:
            return ""
        if self.calibrator.is_constant:
            return "out of fold, scores did not rank outcomes"
        if self.search.is_luck:
            return "out of fold, the best threshold earned no more than luck gives so many of them"
        return "out of fold, no threshold paid for its costs"

    def positions(self, sample: Sample, rows: IntArray) -> tuple[FloatArray, npt.NDArray[np.int8]]:
        """Return probabilities and positions of rows that were not fitted on.

        Parameters
        ----------
        sample : Sample
        rows : int64 array of shape (m,)
            Row indices, increasing.

        Returns
        -------
        probability : float64 array of shape (m,)
        position : int8 array of shape (m,)
        """
        probability = self.calibrator.transform(score_rows(self.adapter, sample, rows))
        return probability, row_positions(self.threshold, sample, rows, probability)


@dataclass(frozen=True)
class Procedure:
    """Settings of the procedure; walk-forward and production model use the same settings.

    Attributes
    ----------
    make_adapter : callable
        Returns a new adapter that is not fitted.
    n_splits, embargo : int
        Of the purged K-fold.
    horizon : int
        Bars over which a label is read.
    terms : Terms
        Costs per side, and bars in a trading year.
    calibration : {"platt", "isotonic", "none", "auto"}
    allow_short : bool
        Whether positions may be short.
    position : RuleSettings, optional
        The position rule; by default a threshold. Its `allow_short` counts, if it is given.
    on_fit : callable
        Called after each fit, also after one that is read from the cache, with its wall seconds.
    on_progress : callable
        Called during a long fit with a short text.
    fit_cache : FitCache, optional
        Cache of the fits.
    job : str, optional
        Name of the job in the fit cache.
    """

    make_adapter: Callable[[], ModelAdapter]
    n_splits: int
    embargo: int
    horizon: int
    terms: Terms
    calibration: str = "platt"
    allow_short: bool = True
    position: RuleSettings | None = None
    on_fit: Callable[[float], None] = lambda seconds: None
    on_progress: Callable[[str], None] = lambda text: None
    fit_cache: FitCache | None = None
    job: str = ""

    @property
    def rule(self) -> RuleSettings:
        """The settings of the position rule."""
        return self.position or RuleSettings(allow_short=self.allow_short)

    def folds(self, sample: Sample) -> list[tuple[IntArray, IntArray]]:
        """Return the purged and embargoed folds of these rows, as (train, test) row indices."""
        splitter = PurgedKFold(
            self.n_splits,
            embargo=self.embargo,
            lookback=self.make_adapter().lookback,
            t0=sample.bar,
            t1=sample.label_end,
        )
        return list(splitter.split())

    def fit_rows(self, sample: Sample, folds: list[tuple[IntArray, IntArray]]) -> list[IntArray]:
        """Return the training rows of each fit of `run`, in their order: one a fold, then all.

        Parameters
        ----------
        sample : Sample
        folds : list of (int64 array, int64 array)
            As `folds` returns them.
        """
        return [*(train for train, _ in folds), np.arange(len(sample))]

    def run(self, sample: Sample, models: Sequence[ModelAdapter] | None = None) -> Fitted:
        """Fit everything on these rows, and on nothing else.

        Parameters
        ----------
        sample : Sample
            Labelled rows.
        models : sequence of ModelAdapter, optional
            Models that are fitted already, one for each entry of `fit_rows`. By default they are
            fitted here.

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
        # 1. Out-of-fold scores: each row is scored by a model that did not see its label span.
        folds = self.folds(sample)
        if models is None:
            models = [self.fit(sample, rows) for rows in self.fit_rows(sample, folds)]
        *fold_models, final = models
        scores = np.full(len(sample), np.nan)  # (n,)
        for adapter, (_, test) in zip(fold_models, folds, strict=True):
            scores[test] = score_rows(adapter, sample, test)

        # 2. Calibrator, on all out-of-fold scores.
        everything = np.arange(len(sample))
        calibrator = self._calibrate(self.calibration, sample, scores, everything, folds)

        # 3. Cross-calibrated probabilities, and the threshold that is chosen on them.
        probability = self._cross_calibrate(calibrator, sample, scores, folds)  # (n,)
        search = self._search(sample, probability)
        # A calibrator without slope means that scores do not rank outcomes: no reason to trade.
        threshold = self.rule.rule(None) if calibrator.is_constant else search.threshold

        # 4. The last model is that of all rows.
        return Fitted(
            adapter=final,
            calibrator=calibrator,
            threshold=threshold,
            search=search,
            probability=probability,
            fold_metrics=[
                self._fold_metrics(sample, probability, threshold, test) for _, test in folds
            ],
            curves=[
                [float(v) for v in model.get_artifacts().get("valid_curve", [])]
                for model in fold_models
            ],
            plan_digest=plan_digest(folds),
            fold_models=fold_models,
            fold_rows=[test for _, test in folds],
        )

    def fit(self, sample: Sample, rows: IntArray) -> ModelAdapter:
        """Return a new model fitted on these rows, with early stopping on their purged tail.

        Parameters
        ----------
        sample : Sample
        rows : int64 array of shape (m,)
            Row indices, increasing.
        """
        adapter, train, tail = self.prepare(sample, rows)
        started = time.perf_counter()
        if self.fit_cache is None:
            adapter.fit(train, tail)
        else:
            adapter = self.fit_cache.fetch(adapter, train, tail, job=self.job)
        self.on_fit(time.perf_counter() - started)
        return adapter

    def prepare(self, sample: Sample, rows: IntArray) -> tuple[ModelAdapter, Batch, Batch]:
        """Return a new model, and the rows of its fit: those to learn from, and their purged tail.

        Parameters
        ----------
        sample : Sample
        rows : int64 array of shape (m,)
            Row indices, increasing.
        """
        train, tail = purged_tail(sample.bar[rows], sample.label_end[rows], TAIL_FRACTION)
        adapter = self.make_adapter()
        adapter.on_progress = self.on_progress
        cost = self.terms.costs.share
        return adapter, sample.batch(rows[train], cost), sample.batch(rows[tail], cost)

    def _calibrate(
        self,
        method: str,
        sample: Sample,
        scores: FloatArray,
        rows: IntArray,
        folds: list[tuple[IntArray, IntArray]] | None,
    ) -> Calibrator:
        """Return a calibrator that is fitted to the finite scores of these rows.

        `folds` are used by the method ``auto``, and only if no score is NaN: with other rows, their
        positions would be wrong.
        """
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

    def _cross_calibrate(
        self,
        calibrator: Calibrator,
        sample: Sample,
        scores: FloatArray,
        folds: list[tuple[IntArray, IntArray]],
    ) -> FloatArray:
        """Return the probabilities of each fold from a calibrator of its training rows, (n,).

        The outcomes of a fold must not shape the probabilities on which its threshold is chosen.
        Its purged training rows are exactly the rows that do not overlap them. The kind is that of
        the final calibrator: `auto` could choose another kind for a fold, and the threshold would
        be chosen on another scale.
        """
        probability = np.full(len(sample), np.nan)
        for train, test in folds:
            of_fold = self._calibrate(calibrator.kind, sample, scores, train, None)
            probability[test] = of_fold.transform(scores[test])
        return probability

    def _search(self, sample: Sample, probability: FloatArray) -> ThresholdSearch:
        """Search the threshold on all bars; a bar without a row is flat."""
        axis = BarAxis.of(sample.bar)
        return optimise_threshold(
            axis.place(probability, np.nan),
            axis.place(sample.forward_return, 0.0),
            self.terms,
            settings=self.rule,
            volatility=_placed(axis, sample.volatility),
        )

    def _fold_metrics(
        self, sample: Sample, probability: FloatArray, threshold: PositionRule, rows: IntArray
    ) -> dict[str, float]:
        position = row_positions(threshold, sample, rows, probability[rows])
        metrics = self.measure(sample, rows, probability[rows], position)
        return {name: metrics[name] for name in FOLD_METRICS}

    def measure(
        self,
        sample: Sample,
        rows: IntArray,
        probability: FloatArray,
        position: npt.NDArray[np.int8],
    ) -> dict[str, float]:
        """Return performance and probability metrics of decisions at these rows.

        Parameters
        ----------
        sample : Sample
        rows : int64 array of shape (m,)
            Rows of the sample, increasing.
        probability : float64 array of shape (m,)
            Rows without a probability (NaN) count for the performance only.
        position : int8 array of shape (m,)
        """
        known = np.isfinite(probability)
        return {
            **self.performance(sample, rows, position),
            **probability_metrics(probability[known], sample.outcome[rows[known]]),
        }

    def performance(
        self, sample: Sample, rows: IntArray, position: npt.NDArray[np.int8]
    ) -> dict[str, float]:
        """Return the performance of positions at these rows; a bar without a row is flat.

        Parameters
        ----------
        sample : Sample
        rows : int64 array of shape (m,)
            Row indices, increasing.
        position : int8 array of shape (m,)
        """
        axis = BarAxis.of(sample.bar[rows])
        return performance(
            axis.place(position.astype(float), 0.0),
            axis.place(sample.forward_return[rows], 0.0),
            self.terms,
        )


def row_positions(
    rule: PositionRule, sample: Sample, rows: IntArray, probability: FloatArray
) -> npt.NDArray[np.int8]:
    """Return the positions of a rule at rows, from a flat start; a bar without a row is flat.

    Parameters
    ----------
    rule : PositionRule
    sample : Sample
    rows : int64 array of shape (m,)
        Row indices, increasing.
    probability : float64 array of shape (m,)
        Of these rows.
    """
    axis = BarAxis.of(sample.bar[rows])
    volatility = None if sample.volatility is None else sample.volatility[rows]
    decided = rule.decide(axis.place(probability, np.nan), _placed(axis, volatility), held=0)
    return decided.position[axis.offset]


def _placed(axis: BarAxis, volatility: FloatArray | None) -> FloatArray | None:
    return None if volatility is None else axis.place(volatility, np.nan)
