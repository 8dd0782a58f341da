"""Features and decisions of training against those of serving, on every path of a caller."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.decision_paths import decide_on_every_path
from benchmarks.inputs import real_builder, real_source
from benchmarks.latency import SHORT_FIT, short_fit_model
from benchmarks.measure import BenchmarkResult, Options, Target
from features.cache import FeatureCache
from features.dataset import Dataset, DatasetBuilder
from trainer.procedure.procedure import row_positions
from trainer.procedure.sample import Sample, score_rows
from trainer.serving.position_rule import PositionRule
from trainer.serving.rules import RuleSettings
from trainer.serving.trading_model import TradingModel

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
#: Largest difference of a score that counts as equal, as at every load of a model.
_TOLERANCE = 1e-6


def run(options: Options) -> BenchmarkResult:
    source, symbol, description = real_source("sample" if options.quick else options.source)
    builder = real_builder(source)
    data = builder.build(symbol)
    result = BenchmarkResult(
        "mismatches",
        f"{description} The rows of training against what a caller gets. Features: read from the "
        "cache, and computed from the bars that a model needs. Decisions: of the saved model on "
        "all bars at once, of the saved model bar by bar from few bars, of "
        "MLflow's pyfunc, of trader.py and of MLflow's server over HTTP.",
    )
    served = options.pick(10_000, 50)
    _compare_features(result, data, builder, symbol, served)
    wrong = 0
    for name in SHORT_FIT:
        model = short_fit_model(name, options, builder, data)
        for rule in _rules(model):
            # Starting processes takes most of the time of few bars: one model stands for all.
            processes = not options.quick or (name, rule.kind) == ("lightgbm", "break-even")
            given = replace(model, threshold=rule)
            wrong += _compare_decisions(result, given, data, source, served, processes=processes)
    result.targets.append(Target("decisions that differ, all models and paths", wrong, 0, False))
    return result


def _rules(model: TradingModel) -> tuple[PositionRule, ...]:
    """Return the model's own threshold, and the rules that hold positions."""
    settings = RuleSettings(
        cost=model.contract.costs.share / 3, horizon=model.contract.horizon, smooth=0
    )
    return (
        model.threshold,
        replace(settings, kind="exit").rule(model.threshold.value),
        replace(settings, kind="exit", smooth=12).rule(0.51),
        replace(settings, kind="break-even").rule(0.5),
    )


def _compare_features(
    result: BenchmarkResult, data: Dataset, builder: DatasetBuilder, symbol: str, served: int
) -> None:
    """Compare the features of training with the cached ones and with those of few bars."""
    with tempfile.TemporaryDirectory() as folder:
        cached = replace(builder, cache=FeatureCache(Path(folder)))
        cached.build(symbol)
        again = cached.build(symbol)
    wrong_in_cache = int((again.X != data.X).sum())
    bars, features = data.meta.bars, builder.features
    memory = features.memory
    recomputed = np.array(
        [
            features.compute(bars.slice(bar - memory, bar + 1))[-1]
            for bar in data.meta.bar[-served:]
        ],
        dtype=np.float32,
    )  # (served, f)
    trained = data.X[-served:]
    size = np.maximum(np.sqrt(np.mean(trained.astype(float) ** 2, axis=0)), np.abs(trained))
    difference = np.abs(recomputed - trained) / np.where(size > 0, size, 1)
    wrong_live = int((difference > 1e-5).sum())
    wrong_signatures = int(again.meta.signature != data.meta.signature)
    result.add_table(
        "features",
        ["path", "values", "differ", "largest difference, in units of the feature"],
        [
            ["read from the cache", f"{data.X.size:,}", f"{wrong_in_cache:,}", "0"],
            [
                "from the declared memory",
                f"{recomputed.size:,}",
                f"{wrong_live:,}",
                f"{difference.max():.1e}",
            ],
        ],
    )
    wrong = wrong_in_cache + wrong_live + wrong_signatures
    result.targets.append(Target("features that differ, signatures too", wrong, 0, False))


def _compare_decisions(
    result: BenchmarkResult,
    model: TradingModel,
    data: Dataset,
    source: str,
    served: int,
    *,
    processes: bool,
) -> int:
    """Compare decisions of every path on the last rows; return how many differ."""
    sample = Sample.of(data, model.threshold.volatility_window)
    every = np.arange(len(sample))
    scores = score_rows(model.adapter, sample, every)
    positions = row_positions(model.threshold, sample, every, model.calibrator.transform(scores))
    rows, score, position = every[-served:], scores[-served:], positions[-served:]
    times = data.timestamps[rows]
    bars = data.meta.bars
    paths = decide_on_every_path(model, source, bars, data.meta.bar[rows], processes=processes)
    table, wrong = [], 0
    for path, decisions in paths.items():
        by_time = decisions.set_index(
            pd.DatetimeIndex(pd.to_datetime(decisions["timestamp"], utc=True))
        ).loc[times]
        n_differ = int((by_time["position"].to_numpy() != position).sum())
        largest = _largest_difference(by_time["score"].to_numpy(dtype=float), score)
        wrong += n_differ + (largest > _TOLERANCE)
        table.append([path, f"{len(rows):,}", f"{n_differ:,}", f"{largest:.1e}"])
    result.add_table(
        f"{model.contract.model}, {_name(model.threshold)}: decisions against those of training's "
        f"own rows, {(np.diff(position) != 0).sum():,} changes of position",
        ["path", "bars", "positions that differ", "largest difference of a score"],
        table,
    )
    return wrong


def _name(rule: PositionRule) -> str:
    return f"{rule.kind}, smoothed over {rule.smooth}" if rule.smooth else rule.kind


def _largest_difference(first: FloatArray, second: FloatArray) -> float:
    """Return the largest difference of two arrays; infinity if one has a NaN of its own."""
    known = np.isfinite(first) & np.isfinite(second)
    if (np.isfinite(first) != np.isfinite(second)).any():
        return float("inf")
    return float(np.abs(first[known] - second[known]).max(initial=0.0))
