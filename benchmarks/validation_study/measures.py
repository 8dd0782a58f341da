"""One symbol and model through all arms: what each earned, and how it compares with the base."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

import adapters
from adapters.base import ModelAdapter
from benchmarks.validation_study.arms import ARMS, BASE, Arm, Recorded
from benchmarks.validation_study.checks import check_arms
from trainer.config import TrainConfig
from trainer.dataset import make_builder
from trainer.evidence.walk_forward import WalkForward, walk_forward
from trainer.procedure.fit_cache import FitCache
from trainer.procedure.sample import Sample
from trainer.statistics.bar_axis import BarAxis
from trainer.statistics.bootstrap import REPLICATIONS, sharpe_difference
from trainer.statistics.costs import Terms
from trainer.statistics.performance import net_returns, probability_metrics, sharpe

Floats = npt.NDArray[np.float64]
#: Of all resampling.
SEED = 0
#: Taken over from the walk-forward's headline.
_HEADLINE = (
    "net_sharpe", "net_sharpe_lower", "net_sharpe_upper", "gross_sharpe", "net_return", "log_loss",
    "base_rate_log_loss", "roc_auc", "ece", "turnover", "n_trades", "exposure", "n_bars",
    "buy_hold_sharpe",
)  # fmt: skip


def measure(symbol: str, model: str, config: TrainConfig) -> dict[str, Any]:
    """Run every arm on the same rows and blocks.

    Returns
    -------
    dict
        Plain values: rows, comparisons made by `check_arms`, and the figures of each arm; and
        beside them ``net``, each arm's net returns by bar OPEN time.
    """
    data = make_builder(config).build(symbol)
    sample = Sample.of(data)
    walks, done, seconds = run_arms(
        sample,
        lambda arm: make_procedure(arm, symbol, model, config, data.meta.periods_per_year),
        config.wf_splits,
    )
    checks = check_arms(walks, done)
    nets = {name: _net(walk, sample, done[name][1]) for name, walk in walks.items()}
    told = {
        name: {
            **{key: walk.metrics[key] for key in _HEADLINE},
            **_sharpe_gain(nets[BASE], nets[name], done[name][1].terms.periods_per_year),
            **_log_loss_gain(walks[BASE], walk, sample, config.horizon),
            **_selection(walk, done[name][1]),
            **_time(done[name][1], seconds[name]),
        }
        for name, walk in walks.items()
    }
    times = data.meta.bars.timestamps
    return {
        "symbol": symbol,
        "model": model,
        "seed_of_fit": config.seed_of(symbol, model),
        "rows": len(sample),
        "bars": len(times),
        "tested": [str(times[i].date()) for i in (walks[BASE].bar[0], walks[BASE].bar[-1])],
        "checks": checks,
        "arms": told,
        "periods_per_year": data.meta.periods_per_year,
        "net": pd.DataFrame(nets, index=times[walks[BASE].bar[0] : walks[BASE].bar[-1] + 1]),
    }


def run_arms(
    sample: Sample, make: Callable[[Arm], Recorded], wf_splits: int
) -> tuple[dict[str, WalkForward], dict[str, tuple[Arm, Recorded]], dict[str, float]]:
    """Walk each arm forward over the same rows.

    Returns
    -------
    tuple
        By arm: its walk-forward; the arm with the procedure that it was run by; CPU seconds.
    """
    walks: dict[str, WalkForward] = {}
    done: dict[str, tuple[Arm, Recorded]] = {}
    seconds: dict[str, float] = {}
    for arm in ARMS:
        started = time.process_time()
        procedure = make(arm)
        walks[arm.name] = walk_forward(sample, procedure, wf_splits)
        done[arm.name] = arm, procedure
        seconds[arm.name] = time.process_time() - started
    return walks, done, seconds


def make_procedure(
    arm: Arm, symbol: str, model: str, config: TrainConfig, periods_per_year: float
) -> Recorded:
    """Set an arm up as `barwright train` sets up its procedure."""
    adapter_class = adapters.find(model)
    seed = config.seed_of(symbol, model)

    def make_adapter() -> ModelAdapter:
        return adapter_class(
            task="classification", seed=seed, device="cpu", params=config.params.get(model)
        )

    return arm.procedure(
        make_adapter,
        n_splits=config.n_splits,
        embargo=config.embargo,
        horizon=config.horizon,
        terms=Terms(config.costs, periods_per_year),
        calibration=arm.calibration,
        allow_short=config.allow_short,
        fit_cache=FitCache(Path(config.fit_cache_folder)),
    )


def pooled(tasks: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Hold arms against the base as one portfolio: equal parts of all, on the bars all have.

    Symbols move together, and models of one symbol even more so: their differences are no
    separate witnesses, but the portfolio's resampling keeps what they have in common.
    """
    common = functools.reduce(pd.Index.intersection, (task["net"].index for task in tasks))
    frames = [task["net"].loc[common] for task in tasks]
    mean = sum(frames[1:], frames[0]) / len(frames)
    year = float(tasks[0]["periods_per_year"])
    return {
        name: {
            "bars": len(common),
            "net_sharpe": sharpe(mean[name], year),
            **_sharpe_gain(mean[BASE].to_numpy(), mean[name].to_numpy(), year),
        }
        for name in mean
    }


def _net(walk: WalkForward, sample: Sample, procedure: Recorded) -> Floats:
    """Net return of every bar from the first tested row to the last."""
    axis = BarAxis.of(walk.bar)
    rows = np.searchsorted(sample.bar, walk.bar)
    return net_returns(
        axis.place(walk.position.astype(float), 0.0),
        axis.place(sample.forward_return[rows], 0.0),
        procedure.terms.costs,
    )


def _sharpe_gain(base: Floats, arm: Floats, periods_per_year: float) -> dict[str, float]:
    """Base less arm: what the improvement gave."""
    gain = sharpe_difference(base, arm, periods_per_year, seed=SEED)
    return {
        "gain": gain.observed,
        "gain_lower": gain.lower,
        "gain_upper": gain.upper,
        "gain_at_least": gain.at_least,
    }


def _log_loss_gain(
    base: WalkForward, walk: WalkForward, sample: Sample, horizon: int
) -> dict[str, float]:
    """Arm less base: log-loss that the improvement spared."""
    known = np.isfinite(walk.probability)
    outcome = sample.outcome[np.searchsorted(sample.bar, walk.bar)][known]
    losses = [_losses(one.probability[known], outcome) for one in (base, walk)]
    spared, lower, upper = mean_interval(losses[1] - losses[0], horizon + 1)
    return {
        "log_loss_gain": spared,
        "log_loss_gain_lower": lower,
        "log_loss_gain_upper": upper,
    }


def mean_interval(values: Floats, least_block: int) -> tuple[float, float, float]:
    """Return the mean and its 95 % interval by stationary bootstrap.

    Blocks are at least as long as a label, since the outcomes of neighbours overlap.
    """
    from arch.bootstrap import StationaryBootstrap, optimal_block_length

    if values.min() == values.max():
        return float(values[0]), float(values[0]), float(values[0])
    length = optimal_block_length(values)["stationary"].to_numpy(dtype=np.float64)[0]
    block = max(least_block, math.ceil(length) if math.isfinite(length) else 1)
    sampler = StationaryBootstrap(block, values, seed=np.random.default_rng(SEED))
    means = [float(np.mean(np.asarray(drawn[0]))) for drawn, _ in sampler.bootstrap(REPLICATIONS)]
    lower, upper = np.percentile(means, [2.5, 97.5])
    return float(values.mean()), float(lower), float(upper)


def _losses(probability: Floats, outcome: Floats) -> Floats:
    p = np.clip(probability, 1e-15, 1 - 1e-15)
    return np.asarray(-np.log(np.where(outcome == 1, p, 1 - p)), dtype=np.float64)


def _selection(walk: WalkForward, procedure: Recorded) -> dict[str, float]:
    """Means over the blocks of what the selection itself saw: ``val_``, never a headline."""
    seen: dict[str, list[float]] = {"val_log_loss": [], "val_roc_auc": []}
    for fitted, outcome in zip(procedure.runs, procedure.outcomes, strict=True):
        known = np.isfinite(fitted.probability)
        measured = probability_metrics(fitted.probability[known], outcome[known])
        seen["val_log_loss"].append(measured["log_loss"])
        seen["val_roc_auc"].append(measured["roc_auc"])
    flat = sum(block["threshold"] is None for block in walk.blocks)
    return {**{key: float(np.mean(values)) for key, values in seen.items()}, "flat_blocks": flat}


def _time(procedure: Recorded, whole: float) -> dict[str, float]:
    made = [seconds for read, seconds in procedure.fits if not read]
    read = [seconds for was_read, seconds in procedure.fits if was_read]
    return {
        "fits_made": len(made),
        "fits_read": len(read),
        "seconds_made": sum(made),
        "seconds_read": sum(read),
        "seconds_else": whole - sum(made) - sum(read),
    }
