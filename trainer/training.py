"""The procedure: from rows to a model, a calibrator and a threshold, none of which saw its test."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adapters.base import Batch, ModelAdapter
from features.dataset import Dataset, take_rows
from trainer.calibration import Calibrator, fit_calibrator
from trainer.metrics import performance, probability_metrics
from trainer.splits import PurgedKFold, plan_digest, purged_tail
from trainer.threshold import Threshold, ThresholdSearch, optimise_threshold

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Share of a fit's latest rows that early stopping watches.
TAIL_FRACTION = 0.15
#: Probability metrics of a fold, then its performance after costs.
FOLD_METRICS = ("log_loss", "brier", "roc_auc", "net_sharpe", "gross_sharpe", "turnover")


@dataclass(frozen=True, eq=False)
class Sample:
    """Labelled rows in time order, with all that the procedure needs of them.

    Attributes
    ----------
    X : float32 array of shape (n, f)
    y : float64 array of shape (n,)
        What the model is fitted to: class, or return.
    outcome : float64 array of shape (n,)
        1 where the outcome was a rise, else 0: what probabilities are about.
    weight, forward_return : float64 arrays of shape (n,)
    bar, label_end : int64 arrays of shape (n,)
        Closed label intervals in bar positions.
    """

    X: npt.NDArray[np.float32]
    y: FloatArray
    outcome: FloatArray
    weight: FloatArray
    forward_return: FloatArray
    bar: IntArray
    label_end: IntArray

    @classmethod
    def of(cls, data: Dataset) -> Sample:
        """All rows of a dataset."""
        meta = data.meta
        outcome = data.y if meta.label.is_classification else (data.y > 0).astype(float)
        return cls(
            data.X, data.y, outcome, meta.sample_weight, meta.forward_return, meta.bar,
            meta.label_end,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: IntArray) -> Sample:
        """Return the rows at these indices, which must increase."""
        return Sample(
            take_rows(self.X, rows), self.y[rows], self.outcome[rows], self.weight[rows],
            self.forward_return[rows], self.bar[rows], self.label_end[rows],
        )  # fmt: skip

    def batch(self, rows: IntArray) -> Batch:
        """Return the rows as a model gets them."""
        return Batch(take_rows(self.X, rows), self.y[rows], self.weight[rows], self.bar[rows])


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
    plan_digest : str
        Digest of the folds.
    """

    adapter: ModelAdapter
    calibrator: Calibrator
    threshold: Threshold
    search: ThresholdSearch
    probability: FloatArray
    fold_metrics: list[dict[str, float]]
    plan_digest: str

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
    fee_bps, slippage_bps : float
        Costs per side.
    periods_per_year : float
        Bars in a trading year.
    calibration : str
        ``platt``, ``isotonic``, ``none`` or ``auto``.
    allow_short : bool
        Whether positions may be short.
    on_fit : callable
        Called after each fit with its wall seconds: what a progress bar counts.
    """

    make_adapter: Callable[[], ModelAdapter]
    n_splits: int
    embargo: int
    horizon: int
    fee_bps: float
    slippage_bps: float
    periods_per_year: float
    calibration: str = "platt"
    allow_short: bool = True
    on_fit: Callable[[float], None] = lambda seconds: None

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
        for train, test in folds:
            scores[test] = score_rows(self.fit(sample, train), sample, test)
        calibrator = self._calibrate(self.calibration, sample, scores, np.arange(len(sample)), folds)
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
            self.fit(sample, np.arange(len(sample))),
            calibrator,
            threshold,
            search,
            probability,
            [self._measure(sample, probability, threshold, test) for _, test in folds],
            plan_digest(folds),
        )

    def fit(self, sample: Sample, rows: IntArray) -> ModelAdapter:
        """Fit one model on these rows; early stopping watches their purged tail."""
        train, tail = purged_tail(sample.bar[rows], sample.label_end[rows], TAIL_FRACTION)
        adapter = self.make_adapter()
        fit_rows, tail_rows = sample.batch(rows[train]), sample.batch(rows[tail])
        started = time.perf_counter()
        adapter.fit(fit_rows, tail_rows)
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
            fee_bps=self.fee_bps,
            slippage_bps=self.slippage_bps,
            periods_per_year=self.periods_per_year,
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
            fee_bps=self.fee_bps,
            slippage_bps=self.slippage_bps,
            periods_per_year=self.periods_per_year,
        )


@dataclass(frozen=True, eq=False)
class BarAxis:
    """Every bar from the first row to the last: rows that were dropped are flat, not skipped.

    Skipping them would hold a position across an outage without paying for leaving it.
    """

    offset: IntArray
    length: int

    @classmethod
    def of(cls, bar: IntArray) -> BarAxis:
        """Axis of rows at these bar positions."""
        return cls(bar - bar[0], int(bar[-1] - bar[0]) + 1)

    def place(self, values: FloatArray, fill: float) -> FloatArray:
        """Spread row values over the axis, `fill` elsewhere."""
        out = np.full(self.length, fill)
        out[self.offset] = values
        return out


def score_rows(adapter: ModelAdapter, sample: Sample, rows: IntArray) -> FloatArray:
    """Score rows, giving a sequence model the earlier rows that its window reads."""
    if adapter.lookback == 1:
        return adapter.predict(take_rows(sample.X, rows), sample.bar[rows])
    reach = rows[:, None] - np.arange(adapter.lookback)
    context = np.unique(reach[reach >= 0])
    scores = adapter.predict(take_rows(sample.X, context), sample.bar[context])
    return scores[np.searchsorted(context, rows)]
