"""Latency of one decision on one new bar, in process, for every model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

import adapters
from adapters.lgbm import LightGBMAdapter
from benchmarks.inputs import HOUR, real_builder, real_source
from benchmarks.measure import BenchmarkResult, Options, Target
from features.bars import Bars, validate_bars
from features.dataset import Dataset, DatasetBuilder
from trainer.procedure.calibration import fit_calibrator
from trainer.procedure.procedure import TAIL_FRACTION
from trainer.procedure.sample import Sample
from trainer.procedure.splits import purged_tail
from trainer.serving.contract import Contract
from trainer.serving.threshold import Threshold
from trainer.serving.trading_model import TradingModel
from trainer.statistics.costs import Costs

#: Hyperparameters of a short fit. They do not change the time of a decision.
SHORT_FIT: Mapping[str, dict[str, Any]] = {
    "lightgbm": {},
    "gru": {"max_epochs": 1},
    "ppo": {"timesteps": 8_192},
}
_COSTS = Costs(10.0, 5.0)
#: Name of the whole decision in the tables.
_WHOLE = "one decision"
#: Percentiles of the table.
_PERCENTILES = (50, 90, 99, 100)


def run(options: Options) -> BenchmarkResult:
    source, symbol, description = real_source("sample" if options.quick else options.source)
    builder = real_builder(source)
    data = builder.build(symbol)
    frame = data.meta.bars.to_frame()
    calls = options.pick(2_000, 20)
    result = BenchmarkResult(
        "latency",
        f"{description} One decision: a table of the latest bars in, as a live trader has it, "
        f"score, probability and position of the last bar out; {calls:,} calls one after another, "
        "in process. `TradingModel.decide` returns them as a table, which takes longer. LightGBM "
        "is fitted with its defaults. GRU and PPO have their defaults, but their fits are short, "
        "which does not change the time of a decision.",
    )
    for name in SHORT_FIT:
        _measure(result, short_fit_model(name, options, builder, data), frame, calls)
    return result


def _measure(result: BenchmarkResult, model: TradingModel, frame: pd.DataFrame, calls: int) -> None:
    """Time the decision of a model and its parts on the last bars."""
    name, need = model.contract.model, model.required_bars
    stops = range(len(frame) - calls + 1, len(frame) + 1)
    frames = [frame.iloc[stop - need : stop].reset_index(drop=True) for stop in stops]
    parts = _time_parts(model, frames)
    result.data.setdefault("seconds", {})[name] = {
        part: sorted(values) for part, values in parts.items()
    }
    result.add_table(
        f"{name}, {need} bars: milliseconds a call",
        ["", *(f"p{q}" for q in _PERCENTILES)],
        [
            [part, *(f"{np.percentile(values, q) * 1e3:.3f}" for q in _PERCENTILES)]
            for part, values in parts.items()
        ],
    )
    p99 = float(np.percentile(parts[_WHOLE], 99)) * 1e3
    result.targets.append(Target(f"p99 of a decision, {name}", p99, 3, False, " ms"))


def _time_parts(model: TradingModel, frames: list[pd.DataFrame]) -> dict[str, list[float]]:
    """Return the seconds of each call, for the whole decision and for its parts."""
    contract = model.contract

    def validate(bars: pd.DataFrame) -> Bars:
        return validate_bars(bars, symbol=contract.symbol, interval=HOUR, calendar=model.calendar)

    wall, cpu = _time_calls(frames, lambda bars: model.decide_bars(model.needed_bars(bars, 1)))
    valid = [validate(f) for f in frames]
    lookback = model.adapter.lookback
    rows = [model.features.compute(bars)[-lookback:].copy() for bars in valid]
    parts = {
        _WHOLE: wall,
        "its CPU time": cpu,
        "of it: validate_bars": _time_calls(frames, validate)[0],
        "of it: features": _time_calls(valid, model.features.compute)[0],
        "of it: the model": _time_calls(rows, model.adapter.predict)[0],
        "decide, with its table": _time_calls(frames, lambda bars: model.decide(bars, last=1))[0],
    }
    if isinstance(model.adapter, LightGBMAdapter):
        predict = model.adapter.booster.predict
        parts["bare LightGBM"] = _time_calls(rows, lambda row: predict(row, num_threads=1))[0]
    return parts


def _time_calls(
    inputs: list[Any], call: Callable[[Any], object]
) -> tuple[list[float], list[float]]:
    """Return wall and CPU seconds of each call."""
    # The first calls are not timed: they allocate memory and fill caches.
    for item in inputs[:20]:
        call(item)
    wall, cpu = [], []
    for item in inputs:
        started, busy = time.perf_counter(), time.thread_time()
        call(item)
        cpu.append(time.thread_time() - busy)
        wall.append(time.perf_counter() - started)
    return wall, cpu


def short_fit_model(
    name: str, options: Options, builder: DatasetBuilder, data: Dataset
) -> TradingModel:
    """Return a model of a short fit on all rows, with an arbitrary calibrator and threshold."""
    quick = options.quick and name == "lightgbm"
    params = {"num_boost_round": 5} if quick else SHORT_FIT[name]
    sample = Sample.of(data)
    train, tail = purged_tail(sample.bar, sample.label_end, TAIL_FRACTION)
    cost = _COSTS.share
    adapter = adapters.find(name)(task="classification", params=params)
    adapter.fit(sample.batch(train, cost), sample.batch(tail, cost))
    scores = np.linspace(0.3, 0.7, 1_000)
    contract = Contract(
        model=name,
        symbol=data.meta.symbol,
        interval=data.meta.interval,
        calendar=data.meta.calendar,
        task="direction",
        horizon=data.meta.label.horizon,
        **asdict(_COSTS),
        max_gap_bars=24,
        allow_jumps=False,
    )
    calibrator = fit_calibrator("platt", scores, (scores > 0.5).astype(float), horizon=1)
    return TradingModel(contract, builder.features, adapter, calibrator, Threshold(0.55, True))
