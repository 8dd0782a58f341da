"""Time of the purged K-fold of the procedure, against `lightgbm.train` on the same rows."""

from __future__ import annotations

import statistics
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from adapters.lgbm import LightGBMAdapter
from benchmarks.inputs import real_builder, real_source
from benchmarks.measure import BenchmarkResult, Options, Target, interleaved, ratios
from trainer.procedure.procedure import TAIL_FRACTION, Procedure
from trainer.procedure.sample import Sample, score_rows
from trainer.procedure.splits import purged_tail
from trainer.statistics.costs import Costs, Terms

Scores = npt.NDArray[np.float64]


def run(options: Options) -> BenchmarkResult:
    source, symbol, description = real_source("sample" if options.quick else options.source)
    data = real_builder(source).build(symbol)
    params: dict[str, Any] = {"num_boost_round": 5} if options.quick else {}
    procedure = Procedure(
        lambda: LightGBMAdapter(task="classification", params=params),
        terms=Terms(Costs(10.0, 5.0), data.meta.periods_per_year),
        n_splits=5,
        embargo=100,
        horizon=data.meta.label.horizon,
    )
    sample = Sample.of(data)
    bare = _Bare(sample, procedure)
    if not np.array_equal(_ours(sample, procedure), bare.scores(), equal_nan=True):
        raise RuntimeError("the two sides give different scores; they must do the same work")
    times = interleaved(
        {"ours": lambda: _ours(sample, procedure), "bare": bare.scores}, rounds=options.repeats(5)
    )
    result = BenchmarkResult(
        "kfold",
        f"{description} {len(sample):,} rows x {sample.X.shape[1]} features, 5 purged folds, fits "
        "and out-of-fold scores. Bare: lightgbm.train and predict on the same folds, with the same "
        "early-stopping rows, weights and parameters. Both give the same scores, bit for bit.",
    )
    result.add_times("five folds", times)
    result.add_ratios("five folds", times, [("ours", "bare")])
    ratio = statistics.median(ratios(times["ours"].wall, times["bare"].wall))
    result.targets.append(Target("ours / bare", ratio, 1.10, False, "x"))
    return result


def _ours(sample: Sample, procedure: Procedure) -> Scores:
    scores = np.full(len(sample), np.nan)
    for train, test in procedure.folds(sample):
        scores[test] = score_rows(procedure.fit(sample, train), sample, test)
    return scores


class _Bare:
    """The same folds with LightGBM only."""

    def __init__(self, sample: Sample, procedure: Procedure) -> None:
        # Row-major order, as users of NumPy have it.
        self.X = np.ascontiguousarray(sample.X)
        self.y, self.weight = sample.y, sample.weight
        self.folds = []
        for rows, test in procedure.folds(sample):
            train, tail = purged_tail(sample.bar[rows], sample.label_end[rows], TAIL_FRACTION)
            self.folds.append((rows[train], rows[tail], test))
        adapter = procedure.make_adapter()
        self.params: dict[str, Any] = {
            **adapter.params,
            "objective": "binary",
            "metric": "binary_logloss",
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
            "seed": adapter.seed,
        }
        self.rounds = self.params.pop("num_boost_round")
        self.patience = self.params.pop("early_stopping_rounds")

    def scores(self) -> Scores:
        scores = np.full(len(self.y), np.nan)
        for train, tail, test in self.folds:
            data = self._dataset(train)
            booster = lgb.train(
                dict(self.params),
                data,
                num_boost_round=self.rounds,
                valid_sets=[self._dataset(tail, data)],
                callbacks=[lgb.early_stopping(self.patience, verbose=False)],
            )
            scores[test] = booster.predict(self.X[test], num_threads=1)
        return scores

    def _dataset(self, rows: npt.NDArray[np.int64], reference: Any = None) -> Any:
        return lgb.Dataset(
            self.X[rows],
            self.y[rows],
            weight=self.weight[rows],
            reference=reference,
            params=dict(self.params),
        )
