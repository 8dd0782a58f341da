"""Latency of one decision on one new bar, in process, for every model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

import adapters
from benchmarks.inputs import HOUR, real_builder, real_source
from benchmarks.measure import Options, Report, Target
from features.bars import validate_bars
from features.dataset import Dataset, DatasetBuilder
from trainer.procedure.calibration import fit_calibrator
from trainer.procedure.procedure import TAIL_FRACTION
from trainer.procedure.sample import Sample
from trainer.procedure.splits import purged_tail
from trainer.serving.contract import Contract
from trainer.serving.threshold import Threshold
from trainer.serving.trading_model import TradingModel
from trainer.statistics.costs import Costs

#: What takes long to fit and does not change how long a decision takes.
BRIEF: Mapping[str, dict[str, Any]] = {
    "lightgbm": {},
    "gru": {"max_epochs": 1},
    "ppo": {"timesteps": 8_192},
}
_COSTS = Costs(10.0, 5.0)


def run(options: Options) -> Report:
    source, symbol, which = real_source("sample" if options.quick else options.source)
    builder = real_builder(source)
    data = builder.build(symbol)
    frame = data.meta.bars.to_frame()
    calls = options.pick(2_000, 20)
    report = Report(
        "latency",
        f"{which} TradingModel.decide(latest bars, last=1), {calls:,} calls one after another, in "
        "process: a table of the latest bars for each new bar, as a live trader holds them. "
        "LightGBM is fitted with its defaults; GRU and PPO have theirs but are fitted briefly, "
        "which does not change what a decision costs.",
    )
    for name in BRIEF:
        _measure(report, brief_model(name, options, builder, data), frame, calls)
    return report


def _measure(report: Report, model: TradingModel, frame: pd.DataFrame, calls: int) -> None:
    contract, need = model.contract, model.required_bars
    stops = range(len(frame) - calls + 1, len(frame) + 1)
    frames = [frame.iloc[stop - need : stop].reset_index(drop=True) for stop in stops]

    def validate(bars: pd.DataFrame) -> Any:
        return validate_bars(
            bars, symbol=contract.symbol, interval=HOUR, calendar=contract.calendar
        )

    whole, whole_cpu = _timed(frames, lambda bars: model.decide(bars, last=1))
    proven = [validate(f) for f in frames]
    lookback = model.adapter.lookback
    rows = [model.features.compute(bars)[-lookback:].copy() for bars in proven]
    parts = {
        "decide (all of it)": whole,
        "decide, CPU time": whole_cpu,
        "of it: validate_bars": _timed(frames, validate)[0],
        "of it: features": _timed(proven, model.features.compute)[0],
        "of it: the model": _timed(rows, model.adapter.predict)[0],
    }
    report.data.setdefault("seconds", {})[contract.model] = {
        name: sorted(values) for name, values in parts.items()
    }
    quantiles = (50, 90, 99, 100)
    report.add_table(
        f"{contract.model}, {need} bars: milliseconds a call",
        ["", *(f"p{q}" for q in quantiles)],
        [
            [name, *(f"{np.percentile(values, q) * 1e3:.3f}" for q in quantiles)]
            for name, values in parts.items()
        ],
    )
    p99 = float(np.percentile(whole, 99)) * 1e3
    report.targets.append(Target(f"p99 of a decision, {contract.model}", p99, 3, False, " ms"))


def _timed(inputs: list[Any], call: Callable[[Any], object]) -> tuple[list[float], list[float]]:
    """Wall and CPU seconds of each call."""
    for item in inputs[:20]:
        call(item)
    wall, cpu = [], []
    for item in inputs:
        started, busy = time.perf_counter(), time.thread_time()
        call(item)
        cpu.append(time.thread_time() - busy)
        wall.append(time.perf_counter() - started)
    return wall, cpu


def brief_model(
    name: str, options: Options, builder: DatasetBuilder, data: Dataset
) -> TradingModel:
    """Fit one model on all rows; its calibrator and threshold only have to be there."""
    quick = options.quick and name == "lightgbm"
    params = {"num_boost_round": 5} if quick else BRIEF[name]
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
