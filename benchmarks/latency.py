"""Latency of one decision on one new bar, in process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from adapters.lgbm import LightGBMAdapter
from benchmarks.inputs import HOUR, real_builder, real_source
from benchmarks.measure import Options, Report, Target
from features.bars import validate_bars
from trainer.model import Contract, TradingModel
from trainer.sample import Sample
from trainer.training import Procedure


def run(options: Options) -> Report:
    source, symbol, which = real_source("sample" if options.quick else options.source)
    model, frame = _model(source, symbol, options.quick)
    calls = options.pick(2_000, 20)
    need = model.required_bars
    stops = range(len(frame) - calls + 1, len(frame) + 1)
    # As a live trader holds them: a table of the latest bars for each new bar.
    frames = [frame.iloc[stop - need : stop].reset_index(drop=True) for stop in stops]
    whole, whole_cpu = _timed(frames, lambda bars: model.decide(bars, last=1))
    proven = [
        validate_bars(f, symbol=symbol, interval=HOUR, calendar=model.contract.calendar)
        for f in frames
    ]
    last_rows = [model.features.compute(bars)[-1:].copy() for bars in proven]
    parts = {
        "decide (all of it)": whole,
        "decide, CPU time": whole_cpu,
        "of it: validate_bars": _timed(
            frames,
            lambda f: validate_bars(
                f, symbol=symbol, interval=HOUR, calendar=model.contract.calendar
            ),
        )[0],
        "of it: features": _timed(proven, model.features.compute)[0],
        "of it: LightGBM": _timed(last_rows, model.adapter.predict)[0],
    }
    trees = model.adapter.get_artifacts()["n_rounds"]
    report = Report(
        "latency",
        f"{which} TradingModel.decide(last {need} bars, last=1), {calls:,} calls one after "
        f"another, LightGBM of {trees} trees, in process.",
        data={"seconds": {name: sorted(values) for name, values in parts.items()}},
    )
    quantiles = (50, 90, 99, 100)
    table = [
        [name, *(f"{np.percentile(values, q) * 1e3:.3f}" for q in quantiles)]
        for name, values in parts.items()
    ]
    report.add_table("milliseconds a call", ["", *(f"p{q}" for q in quantiles)], table)
    report.targets.append(
        Target("p99 of a decision", float(np.percentile(whole, 99)) * 1e3, 3, False, " ms")
    )
    return report


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


def _model(source: str, symbol: str, quick: bool) -> tuple[TradingModel, pd.DataFrame]:
    """Model of a standard run, without its walk-forward, and the bars it was trained on."""
    builder = real_builder(source)
    data = builder.build(symbol)
    params: dict[str, Any] = {"num_boost_round": 5} if quick else {}
    procedure = Procedure(
        lambda: LightGBMAdapter(task="classification", params=params),
        n_splits=5,
        embargo=100,
        horizon=data.meta.label.horizon,
        fee_bps=10.0,
        slippage_bps=5.0,
        periods_per_year=data.meta.periods_per_year,
    )
    fitted = procedure.run(Sample.of(data))
    contract = Contract(
        model="lightgbm",
        symbol=symbol,
        interval="1h",
        calendar=data.meta.calendar,
        task="direction",
        horizon=data.meta.label.horizon,
        fee_bps=10.0,
        slippage_bps=5.0,
        max_gap_bars=24,
        allow_jumps=False,
    )
    model = TradingModel(
        contract, builder.features, fitted.adapter, fitted.calibrator, fitted.threshold
    )
    return model, data.meta.bars.to_frame()
