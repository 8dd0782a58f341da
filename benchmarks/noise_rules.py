"""Study of the whole command on random walks with a drift, for each rule and both costs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.measure import BenchmarkResult, Options, Target
from benchmarks.noise import Arm, JudgedVersion
from benchmarks.selection_noise import write_walks
from benchmarks.study import COSTS

_BARS = 12_000
#: True annual Sharpe ratio of holding.
_DRIFT = 1.0
_SEED = 8
#: Options of `barwright train`, by the name of the rule in the tables.
_RULES = {
    "threshold": (),
    "threshold, deflated": ("--selection", "deflated"),
    "exit": ("--position", "exit"),
    "exit, deflated": ("--position", "exit", "--selection", "deflated"),
    "break-even": ("--position", "break-even"),
    "threshold, smooth h": ("--smooth", "h"),
}


def run(options: Options) -> BenchmarkResult:
    began = time.perf_counter()
    walks = [f"NOISE{i:02d}" for i in range(options.pick(options.walks, 1))]
    quick = ("--n-splits", "3", "--wf-splits", "3") if options.quick else ()
    arms: dict[tuple[str, str], list[JudgedVersion]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_walks(folder / "bars", _BARS, dict.fromkeys(walks, 0.0), drift=_DRIFT, seed=_SEED)
        for cost, costs in COSTS.items():
            for rule, words in _RULES.items():
                arm = Arm(folder, f"{rule}, {cost}", costs, *words, *quick)
                arm.train(walks, "lightgbm")
                arms[cost, rule] = arm.judge()
    everything = [version for versions in arms.values() for version in versions]
    result = BenchmarkResult(
        "noise_rules",
        f"SYNTHETIC bars, {_BARS:,} hours a symbol: {len(walks)} random walks with clustered "
        f"volatility and a drift (holding has the true Sharpe ratio {_DRIFT:g}). lightgbm with "
        "the default settings is trained with each rule and promoted by the real commands.",
        data={"versions": [version.to_json() for version in everything]},
    )
    for cost in COSTS:
        result.add_table(
            f"{cost} a side: versions of random walks",
            [
                *("rule", "all", "traded", "of them lost", "proven", "@champion"),
                *("mean net Sharpe, never trading is 0", "mean Sharpe of holding"),
            ],
            [_row(rule, arms[cost, rule]) for rule in _RULES],
        )
    proven = sum(version.status == "proven" for version in everything)
    champions = sum(version.is_champion for version in everything)
    n_all = len(everything)
    result.targets += [
        Target(f"of {n_all} versions of noise, became @champion", champions, n_all // 100, False),
        Target(f"of {n_all} versions of noise, have the status proven", proven, n_all // 20, False),
    ]
    result.notes.append(f"It took {time.perf_counter() - began:.0f} s.")
    return result


def _row(rule: str, versions: Sequence[JudgedVersion]) -> list[str]:
    traded = [version for version in versions if version.metrics["n_trades"] > 0]
    lost = sum(version.metrics["net_return"] < 0 for version in traded)
    holding = [version.metrics["buy_hold_sharpe"] for version in versions]
    return [
        rule,
        str(len(versions)),
        str(len(traded)),
        str(lost),
        str(sum(version.status == "proven" for version in versions)),
        str(sum(version.is_champion for version in versions)),
        f"{sum(version.net_sharpe for version in traded) / len(versions):.2f}",
        f"{np.mean(holding):.2f}",
    ]
