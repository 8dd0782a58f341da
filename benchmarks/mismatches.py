"""Features and decisions of training against those of serving, on every path of a caller."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.inputs import real_builder, real_source
from benchmarks.latency import SHORT_FIT, short_fit_model
from benchmarks.measure import BenchmarkResult, Options, Target
from features.cache import FeatureCache
from features.dataset import Dataset, DatasetBuilder
from trainer.flavor import save_model
from trainer.procedure.procedure import row_positions
from trainer.procedure.sample import Sample, score_rows
from trainer.serving.position_rule import PositionRule
from trainer.serving.rules import RuleSettings
from trainer.serving.trading_model import TradingModel

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
#: Largest difference of a score that counts as equal, as at every load of a model.
_TOLERANCE = 1e-6
#: Bars before a decision that a caller of a rule that holds positions gives.
_HISTORY = 5_000


def run(options: Options) -> BenchmarkResult:
    source, symbol, description = real_source("sample" if options.quick else options.source)
    builder = real_builder(source)
    data = builder.build(symbol)
    result = BenchmarkResult(
        "mismatches",
        f"{description} The rows of training against what a caller gets. Features: read from the "
        "cache, and computed from the bars that a model needs. Decisions: of the saved model on "
        "all bars at once, of the saved model bar by bar with no more bars than it needs, and of "
        "MLflow's pyfunc.",
    )
    served = options.pick(2_000, 50)
    _compare_features(result, data, builder, symbol, served)
    wrong = 0
    for name in SHORT_FIT:
        model = short_fit_model(name, options, builder, data)
        for rule in _rules(model):
            wrong += _compare_decisions(result, replace(model, threshold=rule), data, served)
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
    result: BenchmarkResult, model: TradingModel, data: Dataset, served: int
) -> int:
    """Compare decisions on the last rows; return how many differ."""
    sample = Sample.of(data, model.threshold.volatility_window)
    every = np.arange(len(sample))
    scores = score_rows(model.adapter, sample, every)
    positions = row_positions(model.threshold, sample, every, model.calibrator.transform(scores))
    rows, score, position = every[-served:], scores[-served:], positions[-served:]
    times = data.timestamps[rows]
    table, wrong = [], 0
    for path, decisions in _decide_on_every_path(model, data, data.meta.bar[rows]).items():
        by_time = decisions.set_index(
            pd.DatetimeIndex(pd.to_datetime(decisions["timestamp"], utc=True))
        ).loc[times]
        n_differ = int((by_time["position"].to_numpy() != position).sum())
        largest = _largest_difference(by_time["score"].to_numpy(dtype=float), score)
        wrong += n_differ + (largest > _TOLERANCE)
        table.append([path, f"{len(rows):,}", f"{n_differ:,}", f"{largest:.1e}"])
    result.add_table(
        f"{model.contract.model}, {_name(model.threshold)}: decisions against those of training's "
        "own rows",
        ["path", "bars", "positions that differ", "largest difference of a score"],
        table,
    )
    return wrong


def _name(rule: PositionRule) -> str:
    return f"{rule.kind}, smoothed over {rule.smooth}" if rule.smooth else rule.kind


def _decide_on_every_path(
    model: TradingModel, data: Dataset, bars: IntArray
) -> dict[str, pd.DataFrame]:
    """Return the decisions of the saved model by path; each covers at least these bars."""
    frame = data.meta.bars.to_frame()
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "model"
        model.save(saved, bars=data.meta.bars, metrics={}, config={})
        loaded = TradingModel.load(saved)
        save_model(saved, Path(folder) / "pyfunc", requirements=("numpy",))
        pyfunc = mlflow.pyfunc.load_model(str(Path(folder) / "pyfunc"), suppress_warnings=True)
        last = len(frame) - int(bars[0])
        return {
            "saved model, all bars at once": loaded.decide(frame),
            "saved model, bar by bar": _decide_bar_by_bar(loaded, frame, bars),
            "MLflow pyfunc": pyfunc.predict(frame, params={"last": last}),
        }


def _decide_bar_by_bar(model: TradingModel, frame: pd.DataFrame, bars: IntArray) -> pd.DataFrame:
    # A rule that holds positions looks back until the bars tell what is held.
    need = model.required_bars + (_HISTORY if model.threshold.holds else model.threshold.memory)
    return pd.concat(
        [model.decide(frame.iloc[max(bar + 1 - need, 0) : bar + 1], last=1) for bar in bars],
        ignore_index=True,
    )


def _largest_difference(first: FloatArray, second: FloatArray) -> float:
    """Return the largest difference of two arrays; infinity if one has a NaN of its own."""
    known = np.isfinite(first) & np.isfinite(second)
    if (np.isfinite(first) != np.isfinite(second)).any():
        return float("inf")
    return float(np.abs(first[known] - second[known]).max(initial=0.0))
