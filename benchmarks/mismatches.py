"""Features and decisions in training against those served, on every path that a caller can take."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.inputs import real_builder, real_source
from benchmarks.latency import BRIEF, brief_model
from benchmarks.measure import Options, Report, Target
from features.cache import FeatureCache
from features.dataset import Dataset
from trainer.flavor import save_model
from trainer.procedure.sample import Sample, score_rows
from trainer.serving.trading_model import TradingModel

#: Agreement asked of scores, as at every load of a model.
_TOLERANCE = 1e-6


def run(options: Options) -> Report:
    source, symbol, which = real_source("sample" if options.quick else options.source)
    builder = real_builder(source)
    data = builder.build(symbol)
    report = Report(
        "mismatches",
        f"{which} What a model was trained on against what it is served: features read from the "
        "cache and computed from a model's own bars; decisions of training's rows, of the saved "
        "model on all bars at once, of the saved model bar by bar with no more bars than it needs, "
        "and of MLflow's pyfunc.",
    )
    served = options.pick(2_000, 50)
    _features(report, data, builder, symbol, served)
    wrong = 0
    for name in BRIEF:
        wrong += _decisions(report, name, data, builder, served, options)
    report.targets.append(Target("decisions that differ, all models and paths", wrong, 0, False))
    return report


def _features(report: Report, data: Dataset, builder: Any, symbol: str, served: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cached = replace(builder, cache=FeatureCache(Path(folder)))
        cached.build(symbol)
        again = cached.build(symbol)
    read = int((again.X != data.X).sum())
    bars, features = data.meta.bars, builder.features
    rows = data.meta.bar[-served:]
    memory = features.memory
    alone = np.array(
        [features.compute(bars.slice(bar - memory, bar + 1))[-1] for bar in rows], dtype=np.float32
    )
    trained = data.X[-served:]
    size = np.maximum(np.sqrt(np.mean(trained.astype(float) ** 2, axis=0)), np.abs(trained))
    apart = np.abs(alone - trained) / np.where(size > 0, size, 1)
    live = int((apart > 1e-5).sum())
    signatures = int(again.meta.signature != data.meta.signature)
    report.add_table(
        "features",
        ["path", "values", "differ", "largest difference, in units of the feature"],
        [
            ["read from the cache", f"{data.X.size:,}", f"{read:,}", "0"],
            [
                "from the declared memory alone",
                f"{alone.size:,}",
                f"{live:,}",
                f"{apart.max():.1e}",
            ],
        ],
    )
    found = read + live + signatures
    report.targets.append(Target("features that differ, signatures too", found, 0, False))


def _decisions(
    report: Report, name: str, data: Dataset, builder: Any, served: int, options: Options
) -> int:
    model = brief_model(name, options, builder, data)
    sample = Sample.of(data)
    rows = np.arange(len(sample) - served, len(sample))
    score = score_rows(model.adapter, sample, rows)
    wanted = model.threshold.positions(model.calibrator.transform(score))
    times = data.timestamps[rows]
    frame = data.meta.bars.to_frame()
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "model"
        model.save(saved, bars=data.meta.bars, metrics={}, config={})
        loaded = TradingModel.load(saved)
        save_model(saved, Path(folder) / "pyfunc", requirements=("numpy",))
        pyfunc = mlflow.pyfunc.load_model(str(Path(folder) / "pyfunc"), suppress_warnings=True)
        last = len(frame) - int(data.meta.bar[rows[0]])
        paths = {
            "saved model, all bars at once": loaded.decide(frame),
            "saved model, bar by bar": _bar_by_bar(loaded, frame, data.meta.bar[rows]),
            "MLflow pyfunc": pyfunc.predict(frame, params={"last": last}),
        }
    table, wrong = [], 0
    for path, decided in paths.items():
        decided = decided.set_index(
            pd.DatetimeIndex(pd.to_datetime(decided["timestamp"], utc=True))
        )
        found = decided.loc[times]
        differ = int((found["position"].to_numpy() != wanted).sum())
        apart = _largest(found["score"].to_numpy(dtype=float), score)
        wrong += differ + (apart > _TOLERANCE)
        table.append([path, f"{len(rows):,}", f"{differ:,}", f"{apart:.1e}"])
    report.add_table(
        f"{name}: decisions against those of training's own rows",
        ["path", "bars", "positions that differ", "largest difference of a score"],
        table,
    )
    return wrong


def _bar_by_bar(
    model: TradingModel, frame: pd.DataFrame, bars: npt.NDArray[np.int64]
) -> pd.DataFrame:
    need = model.required_bars
    return pd.concat(
        [model.decide(frame.iloc[bar + 1 - need : bar + 1], last=1) for bar in bars],
        ignore_index=True,
    )


def _largest(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    known = np.isfinite(first) & np.isfinite(second)
    if (np.isfinite(first) != np.isfinite(second)).any():
        return float("inf")
    return float(np.abs(first[known] - second[known]).max(initial=0.0))
