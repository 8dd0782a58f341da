"""A study of the procedure with and without each part, on walk-forwards of the same models."""

from __future__ import annotations

import tempfile
from typing import Any

from benchmarks.measure import BenchmarkResult, Options
from benchmarks.study import measure_all
from benchmarks.validation_study.measures import compare_portfolios, measure
from benchmarks.validation_study.tables import add_tables
from trainer.config import TrainConfig

#: Symbols of the real bars, those with the fewest bars first.
_SYMBOLS = ("SOLUSDT", "ETHUSDT", "BTCUSDT")
#: The symbol of the sample that has hourly bars.
_SAMPLE_SYMBOL = "EURUSD"
#: Models with the shortest fits first, so that the first results come early.
_MODELS = ("lightgbm", "gru", "ppo")
_QUICK: dict[str, Any] = {
    "n_splits": 2,
    "wf_splits": 2,
    # About the real costs of the sample: at 15 basis points a side no arm would trade.
    "fee_bps": 0.1,
    "slippage_bps": 0.1,
}
_QUICK_PARAMS = {
    "lightgbm": "lightgbm.num_boost_round=20",
    "gru": "gru.max_epochs=1",
    "ppo": "ppo.timesteps=2000",
}


def run(options: Options) -> BenchmarkResult:
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
                **(_quick_settings(models) if options.quick else {}),
            }
        )
        jobs = measure_all(measure, config, options.max_workers)
    portfolios = compare_portfolios([job.net for job in jobs], jobs[0].periods_per_year)
    result = BenchmarkResult(
        "validation_study",
        f"Bars from {source}, {config.interval}, {config.wf_splits} walk-forward blocks, "
        f"{config.n_splits} folds, embargo {config.embargo}, horizon {config.horizon}, "
        f"{config.fee_bps:g} + {config.slippage_bps:g} bps a side, seed {config.seed}. Each arm is "
        "the product's procedure without one of its parts, on the same models, bars and blocks.",
        data={
            "config": config.model_dump(mode="json"),
            "pooled": portfolios,
            "tasks": [job.to_json() for job in jobs],
        },
    )
    add_tables(result, jobs, portfolios)
    return result


def _quick_settings(models: tuple[str, ...]) -> dict[str, Any]:
    params = [_QUICK_PARAMS[model] for model in models if model in _QUICK_PARAMS]
    return {**_QUICK, "params": ",".join(params)}
