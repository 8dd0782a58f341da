"""Study of the position rules: the walk-forward of each, on the same models, bars and blocks."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from benchmarks.measure import BenchmarkResult, Options
from benchmarks.study import COSTS, make_procedure, measure_all, tested_net_returns
from trainer.arrays import FloatArray
from trainer.config import TrainConfig
from trainer.dataset import make_builder
from trainer.evidence.walk_forward import walk_forward
from trainer.procedure.procedure import Procedure
from trainer.procedure.sample import Sample
from trainer.procedure.threshold_search import ThresholdSearch
from trainer.serving.rules import RuleSettings
from trainer.statistics.bootstrap import sharpe_difference
from trainer.statistics.costs import Terms
from trainer.statistics.performance import sharpe

_BASE = "threshold"
_UNGATED = "break-even, always"
_WINDOW = 72
_METRICS = ("net_sharpe", "gross_sharpe", "n_trades", "turnover")
_SYMBOLS, _SAMPLE_SYMBOL = ("BTCUSDT", "ETHUSDT", "SOLUSDT"), "EURUSD"
_MODELS = ("lightgbm", "gru")
_QUICK: dict[str, Any] = {
    "n_splits": 2,
    "wf_splits": 2,
    "models": "lightgbm",
    "params": "lightgbm.num_boost_round=20",
}
_SEED = 0
#: Cost and rule.
Arm = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Ungated(Procedure):
    """The procedure with a rule that trades whatever it earned in the past."""

    def _search(self, sample: Sample, probability: FloatArray) -> ThresholdSearch:
        return super()._search(sample, probability)._replace(threshold=self.rule.rule(0.5))


@dataclass(frozen=True, eq=False)
class _Measured:
    """One symbol and model, with every cost and rule.

    Attributes
    ----------
    name : str
        Model and symbol.
    metrics : dict of Arm to dict of str to float
    net : pandas.DataFrame
        Net return of every tested bar, one column for each arm.
    periods_per_year : float
    """

    name: str
    metrics: dict[Arm, dict[str, float]]
    net: pd.DataFrame
    periods_per_year: float


def run(options: Options) -> BenchmarkResult:
    source = options.source or "sample"
    symbols = options.symbols or ((_SAMPLE_SYMBOL,) if source == "sample" else _SYMBOLS)
    with tempfile.TemporaryDirectory() as temporary:
        config = TrainConfig.parse(
            {
                "symbols": ",".join(symbols),
                "models": ",".join(options.models or _MODELS),
                "source": source,
                "interval": options.interval,
                "cache": "off",
                "fit_cache_folder": options.fit_cache_folder or temporary,
                **(_QUICK if options.quick else {}),
            }
        )
        jobs = measure_all(_measure, config, options.max_workers)
    result = BenchmarkResult(
        "position_rules",
        f"Bars from {source}, {config.interval}, {config.wf_splits} walk-forward blocks, horizon "
        f"{config.horizon}, seed {config.seed}. Every rule acts on the probabilities of the same "
        "models, and chooses anew at each cost.",
        data={
            "config": config.model_dump(mode="json"),
            "jobs": {
                job.name: {"; ".join(arm): values for arm, values in job.metrics.items()}
                for job in jobs
            },
        },
    )
    for cost in COSTS:
        rows = [_row(job, cost, rule) for job in jobs for rule in _rules(config)]
        result.add_table(
            f"Each model and symbol, {cost} a side",
            ["model, symbol", "rule", "net Sharpe", "gross", "trades", "turnover"],
            rows,
        )
        result.add_table(
            f"All together in equal parts, {cost} a side",
            ["rule", "net Sharpe", "less the threshold's (95 % interval)"],
            _portfolio_rows(jobs, cost, list(_rules(config))),
        )
    return result


def _rules(config: TrainConfig) -> dict[str, RuleSettings]:
    base = replace(config.rule, window=_WINDOW)
    return {
        _BASE: base,
        "exit": replace(base, kind="exit"),
        "break-even": replace(base, kind="break-even"),
        _UNGATED: replace(base, kind="break-even"),
        "threshold, smooth h": replace(base, smooth=config.horizon),
    }


def _measure(symbol: str, model: str, config: TrainConfig) -> _Measured:
    data = make_builder(config).build(symbol)
    sample = Sample.of(data, _WINDOW)
    metrics: dict[Arm, dict[str, float]] = {}
    net: dict[Arm, pd.Series] = {}
    for cost, costs in COSTS.items():
        terms = Terms(costs, data.meta.periods_per_year)
        for name, rule in _rules(config).items():
            kind = Ungated if name == _UNGATED else Procedure
            rule = replace(rule, cost=costs.share)
            procedure = make_procedure(kind, symbol, model, config, terms, position=rule)
            walk = walk_forward(sample, procedure, config.wf_splits)
            metrics[cost, name] = {metric: walk.metrics[metric] for metric in _METRICS}
            times = data.meta.bars.timestamps[walk.bar[0] : walk.bar[-1] + 1]
            net[cost, name] = pd.Series(tested_net_returns(walk, sample, costs), index=times)
    return _Measured(f"{model} {symbol}", metrics, pd.DataFrame(net), data.meta.periods_per_year)


def _row(job: _Measured, cost: str, rule: str) -> list[str]:
    values: Mapping[str, float] = job.metrics[cost, rule]
    return [
        job.name,
        rule,
        f"{values['net_sharpe']:.2f}",
        f"{values['gross_sharpe']:.2f}",
        f"{values['n_trades']:,.0f}",
        f"{values['turnover']:,.0f}",
    ]


def _portfolio_rows(jobs: list[_Measured], cost: str, rules: list[str]) -> list[list[str]]:
    """Compare equal parts of the jobs that have a bar, bar by bar: jobs move together."""
    mean = pd.concat([job.net for job in jobs]).groupby(level=0).mean()
    a_year = jobs[0].periods_per_year
    rows = []
    for rule in rules:
        net, base = mean[cost, rule].to_numpy(), mean[cost, _BASE].to_numpy()
        gain = sharpe_difference(net, base, a_year, seed=_SEED)
        interval = f"{gain.observed:+.2f} ({gain.lower:+.2f} to {gain.upper:+.2f})"
        rows.append([rule, f"{sharpe(net, a_year):.2f}", "" if rule == _BASE else interval])
    return rows
