"""Study of the search: on random walks it must prove nothing, a planted signal it must find."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from benchmarks.command import CommandLine
from benchmarks.measure import BenchmarkResult, Options, Target
from benchmarks.selection_noise import write_walks
from trainer.evidence.metric_names import from_stored

_BARS = 6_000
#: Correlation of one log return with the next: of 12 bars, the default horizon, it tells little.
_SIGNAL = 0.4
_PLANTED = 4
_SEED = 7
_BUDGET = 50
_FEE, _SLIPPAGE = "4", "1"


def run(options: Options) -> BenchmarkResult:
    walks = [f"WALK{i:02d}" for i in range(options.pick(options.walks, 1))]
    planted = [f"PLANT{i}" for i in range(options.pick(_PLANTED, 1))]
    budget = options.pick(_BUDGET, 4)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        signals = {**dict.fromkeys(walks, 0.0), **dict.fromkeys(planted, _SIGNAL)}
        write_walks(folder / "bars", _BARS, signals, drift=0.0, seed=_SEED)
        searched, cold = _search(folder, "first", [*walks, *planted], budget)
        _, warm = _search(folder, "again", planted[:1], budget)
        _, alone = _search(folder, "alone", planted[:1], budget, "--fit-cache", "off")
    result = BenchmarkResult(
        "search",
        f"SYNTHETIC bars, {_BARS:,} hours a symbol: {len(walks)} random walks with clustered "
        f"volatility, {len(planted)} whose next log return is correlated with the last one "
        f"({_SIGNAL}). `barwright search`, lightgbm, {budget} trials each, {_FEE} + {_SLIPPAGE} "
        "bps a side.",
        data={"symbols": searched, "seconds": {"all": cold, "read": warm, "fitted": alone}},
    )
    for title, symbols in (("random walks", walks), ("planted signals", planted)):
        result.add_table(
            f"{title}: what the search led to",
            ["symbol", "first trial", "best trial", "headline", "DSR", "PBO", "status"],
            [_row(symbol, searched[symbol]) for symbol in symbols],
        )
    result.add_table(
        f"seconds of a search of {budget} trials, one symbol, with its training",
        ["fits are fitted", "fits are read from the cache"],
        [[f"{alone:.1f}", f"{warm:.1f}"]],
    )
    proven = sum(searched[symbol]["status"] == "proven" for symbol in walks)
    found = sum(searched[symbol]["status"] == "proven" for symbol in planted)
    result.targets += [
        Target(f"of {len(walks)} random walks, became proven", proven, len(walks) // 20, False),
        Target(f"of {len(planted)} planted signals, were proven", found, len(planted), True),
    ]
    return result


def _search(
    folder: Path, name: str, symbols: Sequence[str], budget: int, *more: str
) -> tuple[dict[str, dict[str, Any]], float]:
    """Search in a store of its own; return what each symbol led to, and the seconds."""
    own = folder / name
    own.mkdir()
    command = CommandLine(own)
    began = time.perf_counter()
    command.run(
        "search", "--symbols", ",".join(symbols), "--models", "lightgbm", "--budget", str(budget),
        "--source", str(folder / "bars"), "--fee-bps", _FEE, "--slippage-bps", _SLIPPAGE,
        "--cache-folder", str(folder / "features"), "--fit-cache-folder", str(folder / "fits"),
        "--max-workers", "2", *more,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    client = MlflowClient(command.uri, command.uri)
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs: list[Run] = []
    for symbol in symbols:
        condition = f"tags.symbol = '{symbol}'"
        runs += client.search_runs(experiments, condition, max_results=1_000)
    return {symbol: _outcome(runs, symbol) for symbol in symbols}, seconds


def _outcome(runs: Sequence[Run], symbol: str) -> dict[str, Any]:
    own = [run for run in runs if run.data.tags["symbol"] == symbol]
    trials = [
        json.loads(run.data.tags["search_trial"]) for run in own if "search_trial" in run.data.tags
    ]
    complete = [trial for trial in trials if trial["state"] == "complete"]
    candidate = next((run for run in own if run.data.tags["kind"] == "candidate"), None)
    metrics = {} if candidate is None else from_stored(candidate.data.metrics)
    return {
        "trials": len(trials),
        "first": next(t["net_sharpe"][-1] for t in complete if t["number"] == 0),
        "best": max(trial["net_sharpe"][-1] for trial in complete),
        "status": "not trained" if candidate is None else candidate.data.tags["status"],
        **{name: metrics.get(name) for name in ("net_sharpe", "dsr", "pbo")},
    }


def _row(symbol: str, outcome: dict[str, Any]) -> list[str]:
    numbers = [outcome[name] for name in ("first", "best", "net_sharpe", "dsr", "pbo")]
    texts = ["-" if number is None else f"{number:.2f}" for number in numbers]
    return [symbol, *texts, outcome["status"]]
