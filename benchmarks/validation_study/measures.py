"""One symbol and model through all arms: what each earned, and how it compares with the base."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import adapters
from adapters.base import ModelAdapter
from benchmarks.validation_study.arms import ARMS, BASE, Arm, Recorded
from benchmarks.validation_study.checks import check_arms
from trainer.bootstrap import REPLICATIONS, sharpe_difference
from trainer.config import TrainConfig
from trainer.evaluation import WalkForward, walk_forward
from trainer.fit_cache import FitCache
from trainer.metrics import net_returns, probability_metrics
from trainer.sample import BarAxis, Sample
from trainer.task import make_builder

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
        Plain values: rows, comparisons made by `check_arms`, and the figures of each arm.
    """
    data = make_builder(config).build(symbol)
    sample = Sample.of(data)
    done: dict[str, tuple[Arm, Recorded]] = {}
    walks: dict[str, WalkForward] = {}
    seconds: dict[str, float] = {}
    for arm in ARMS:
        started = time.process_time()
        procedure = make_procedure(arm, symbol, model, config, data.meta.periods_per_year)
        walks[arm.name] = walk_forward(sample, procedure, config.wf_splits)
        done[arm.name] = arm, procedure
        seconds[arm.name] = time.process_time() - started
    checks = check_arms(walks, done)
    told = {
        name: {
            **{key: walk.metrics[key] for key in _HEADLINE},
            **_against(walks[BASE], walk, sample, done[name][1]),
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
    }


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
        fee_bps=config.fee_bps,
        slippage_bps=config.slippage_bps,
        periods_per_year=periods_per_year,
        calibration=arm.calibration,
        allow_short=config.allow_short,
        fit_cache=FitCache(Path(config.fit_cache_folder)),
    )


def _against(
    base: WalkForward, walk: WalkForward, sample: Sample, procedure: Recorded
) -> dict[str, float]:
    """Base less arm: what the improvement gave, in Sharpe ratio and in log-loss."""
    rows = np.searchsorted(sample.bar, walk.bar)
    axis = BarAxis.of(walk.bar)
    moved = axis.place(sample.forward_return[rows], 0.0)
    nets = [
        net_returns(
            axis.place(one.position.astype(float), 0.0),
            moved,
            fee_bps=procedure.fee_bps,
            slippage_bps=procedure.slippage_bps,
        )
        for one in (base, walk)
    ]
    gain = sharpe_difference(nets[0], nets[1], procedure.periods_per_year, seed=SEED)
    known = np.isfinite(walk.probability)
    losses = [_losses(one.probability[known], sample.outcome[rows][known]) for one in (base, walk)]
    spared, lower, upper = mean_interval(losses[1] - losses[0], procedure.horizon + 1)
    return {
        "gain": gain.observed,
        "gain_lower": gain.lower,
        "gain_upper": gain.upper,
        "gain_at_least": gain.at_least,
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
    length = float(optimal_block_length(values)["stationary"].iloc[0])
    block = max(least_block, math.ceil(length) if math.isfinite(length) else 1)
    sampler = StationaryBootstrap(block, values, seed=np.random.default_rng(SEED))
    means = [float(drawn[0].mean()) for drawn, _ in sampler.bootstrap(REPLICATIONS)]
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
