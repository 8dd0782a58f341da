"""Results with and without each improvement: honest walk-forwards of the same models, paired."""

from __future__ import annotations

import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

import click

from benchmarks.measure import Options, Report
from benchmarks.validation_study.measures import measure, pooled
from benchmarks.validation_study.tables import add_tables
from trainer.config import TrainConfig

#: Real bars that have been studied, shortest first; of the sample, the symbol it has by the hour.
_SYMBOLS = ("SOLUSDT", "ETHUSDT", "BTCUSDT")
_SAMPLE_SYMBOL = "EURUSD"
#: Cheapest fits first: what can be known soon is known soon.
_MODELS = ("lightgbm", "gru", "ppo")
_QUICK = {
    "n_splits": 2,
    "wf_splits": 2,
    "params": "lightgbm.num_boost_round=20,gru.max_epochs=1,ppo.timesteps=2000",
    # The sample's own costs, about: at 15 basis points a side nothing would trade in any arm.
    "fee_bps": 0.1,
    "slippage_bps": 0.1,
}


def run(options: Options) -> Report:
    source = options.source or "sample"
    symbols = options.symbols or ((_SAMPLE_SYMBOL,) if source == "sample" else _SYMBOLS)
    models = options.models or _MODELS
    with tempfile.TemporaryDirectory() as temporary:
        config = TrainConfig.parse(
            {
                "symbols": ",".join(symbols),
                "models": ",".join(models),
                "source": source,
                "cache": "off",
                "fit_cache_folder": options.fit_cache_folder or temporary,
                **(_QUICK if options.quick else {}),
            }
        )
        found = _measure_all(config, options.max_workers)
    report = Report(
        "validation_study",
        f"Bars from {source}, {config.interval}, {config.wf_splits} walk-forward blocks, "
        f"{config.n_splits} folds, embargo {config.embargo}, horizon {config.horizon}, "
        f"{config.fee_bps:g} + {config.slippage_bps:g} bps a side, seed {config.seed}. Each arm is "
        "the product's procedure with one thing taken away, on the same models, bars and blocks.",
    )
    together = pooled(found)
    for task in found:
        del task["net"]
    report.data = {"config": config.model_dump(mode="json"), "pooled": together, "tasks": found}
    add_tables(report, found, together)
    return report


def _measure_all(config: TrainConfig, workers: int) -> list[dict[str, Any]]:
    """Measure each symbol with each model, at most `workers` side by side."""
    tasks = [(symbol, model) for model in config.models for symbol in config.symbols]
    found: dict[tuple[str, str], dict[str, Any]] = {}
    # Fresh processes: the numerical libraries take their number of threads when they are loaded.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting = {pool.submit(measure, *task, config): task for task in tasks}
        for future in as_completed(waiting):
            found[waiting[future]] = future.result()
            click.echo(f"{len(found)} of {len(tasks)}: {' '.join(waiting[future])}", err=True)
    return [found[task] for task in tasks]
