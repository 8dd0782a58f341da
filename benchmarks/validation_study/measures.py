"""Measurements of the arms: the result of each, and its difference from the base."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import study
from benchmarks.validation_study.arms import ARMS, BASE, Arm, ArmRun, Recorded
from benchmarks.validation_study.checks import check_arms
from trainer.arrays import FloatArray
from trainer.config import TrainConfig
from trainer.dataset import make_builder
from trainer.evidence.walk_forward import WalkForward, walk_forward
from trainer.procedure.sample import Sample
from trainer.statistics.bootstrap import REPLICATIONS, sharpe_difference
from trainer.statistics.costs import Terms
from trainer.statistics.performance import probability_metrics, sharpe

#: Seed of all resampling.
SEED = 0
#: Metrics of an arm that are copied from the headline of its walk-forward.
_HEADLINE = (
    "net_sharpe", "net_sharpe_lower", "net_sharpe_upper", "gross_sharpe", "net_return", "log_loss",
    "base_rate_log_loss", "roc_auc", "ece", "turnover", "n_trades", "exposure", "n_bars",
    "buy_hold_sharpe",
)  # fmt: skip
#: Metrics by name; NaN where undefined.
Metrics = dict[str, float]


@dataclass(frozen=True, eq=False)
class MeasuredJob:
    """One symbol and model, measured with all arms on the same rows and blocks.

    Attributes
    ----------
    symbol, model : str
    seed_of_fit : int
    rows, bars : int
        Labelled rows, and bars of the series.
    tested : tuple of (str, str)
        Dates of the first and last tested bar.
    checks : int
        Comparisons that `check_arms` made.
    arms : dict of str to dict of str to float
        Metrics of each arm.
    periods_per_year : float
    net : pandas.DataFrame
        Net return of every tested bar: one column for each arm, indexed by bar OPEN time.
    """

    symbol: str
    model: str
    seed_of_fit: int
    rows: int
    bars: int
    tested: tuple[str, str]
    checks: int
    arms: dict[str, Metrics]
    periods_per_year: float
    net: pd.DataFrame

    @property
    def name(self) -> str:
        """Model and symbol."""
        return f"{self.model} {self.symbol}"

    def to_json(self) -> dict[str, Any]:
        """Return everything but the net returns as JSON values."""
        return {name: value for name, value in vars(self).items() if name != "net"}


def measure(symbol: str, model: str, config: TrainConfig) -> MeasuredJob:
    """Run every arm on the same rows and blocks.

    Raises
    ------
    RuntimeError
        If the arms differ where they must not (`check_arms`).
    """
    data = make_builder(config).build(symbol)
    sample = Sample.of(data)
    runs = run_arms(
        sample,
        lambda arm: make_procedure(arm, symbol, model, config, data.meta.periods_per_year),
        config.wf_splits,
    )
    checks = check_arms(runs)
    net = {
        name: study.tested_net_returns(run.walk, sample, run.procedure.terms.costs)
        for name, run in runs.items()
    }
    arms = {
        name: {
            **{key: run.walk.metrics[key] for key in _HEADLINE},
            **_sharpe_gain(net[BASE], net[name], run.procedure.terms.periods_per_year),
            **_log_loss_gain(runs[BASE].walk, run.walk, sample, config.horizon),
            **_selection_metrics(run),
            **_fit_seconds(run),
        }
        for name, run in runs.items()
    }
    times = data.meta.bars.timestamps
    first, last = (int(runs[BASE].walk.bar[i]) for i in (0, -1))
    return MeasuredJob(
        symbol=symbol,
        model=model,
        seed_of_fit=config.seed_of(symbol, model),
        rows=len(sample),
        bars=len(times),
        tested=(str(times[first].date()), str(times[last].date())),
        checks=checks,
        arms=arms,
        periods_per_year=data.meta.periods_per_year,
        net=pd.DataFrame(net, index=times[first : last + 1]),
    )


def run_arms(sample: Sample, make: Callable[[Arm], Recorded], wf_splits: int) -> dict[str, ArmRun]:
    """Walk each arm forward over the same rows.

    Parameters
    ----------
    sample : Sample
    make : callable
        Returns a new procedure for an arm.
    wf_splits : int
        Number of blocks.
    """
    runs = {}
    for arm in ARMS:
        started = time.process_time()
        procedure = make(arm)
        walk = walk_forward(sample, procedure, wf_splits)
        runs[arm.name] = ArmRun(arm, procedure, walk, time.process_time() - started)
    return runs


def make_procedure(
    arm: Arm, symbol: str, model: str, config: TrainConfig, periods_per_year: float
) -> Recorded:
    """Return the procedure of an arm with the settings that `barwright train` would use."""
    terms = Terms(config.costs, periods_per_year)
    return study.make_procedure(
        arm.procedure, symbol, model, config, terms, calibration=arm.calibration
    )


def compare_portfolios(nets: Sequence[pd.DataFrame], periods_per_year: float) -> dict[str, Metrics]:
    """Compare arms and base as portfolios: equal parts of all jobs, on the bars that all have.

    Symbols are correlated, and models of one symbol even more, so the differences of single jobs
    are not independent observations. The resampling of a portfolio keeps these correlations.

    Parameters
    ----------
    nets : sequence of pandas.DataFrame
        Net returns of each job, one column for each arm.
    periods_per_year : float
    """
    common = functools.reduce(pd.Index.intersection, (net.index for net in nets))
    frames = [net.loc[common] for net in nets]
    mean = sum(frames[1:], frames[0]) / len(frames)
    return {
        name: {
            "bars": len(common),
            "net_sharpe": sharpe(mean[name], periods_per_year),
            **_sharpe_gain(mean[BASE].to_numpy(), mean[name].to_numpy(), periods_per_year),
        }
        for name in map(str, mean.columns)
    }


def _sharpe_gain(base: FloatArray, arm: FloatArray, periods_per_year: float) -> Metrics:
    """Return the net Sharpe ratio of the base less that of the arm."""
    gain = sharpe_difference(base, arm, periods_per_year, seed=SEED)
    return {
        "gain": gain.observed,
        "gain_lower": gain.lower,
        "gain_upper": gain.upper,
        "gain_at_least": gain.at_least,
    }


def _log_loss_gain(base: WalkForward, walk: WalkForward, sample: Sample, horizon: int) -> Metrics:
    """Return the log-loss of the arm less that of the base."""
    known = np.isfinite(walk.probability)
    outcome = sample.outcome[np.searchsorted(sample.bar, walk.bar)][known]
    losses = [_losses(one.probability[known], outcome) for one in (base, walk)]
    gain, lower, upper = mean_confidence_interval(losses[1] - losses[0], horizon + 1)
    return {"log_loss_gain": gain, "log_loss_gain_lower": lower, "log_loss_gain_upper": upper}


def mean_confidence_interval(values: FloatArray, least_block: int) -> tuple[float, float, float]:
    """Return the mean and its 95 % confidence interval by stationary bootstrap.

    Parameters
    ----------
    values : float64 array of shape (n,)
        Per row, finite.
    least_block : int
        Smallest mean length of a block: the span of a label, because the outcomes of neighbouring
        rows overlap.

    Returns
    -------
    tuple of (float, float, float)
        Mean, lower end, upper end. All three are the value if all values are equal.
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


def _losses(probability: FloatArray, outcome: FloatArray) -> FloatArray:
    p = np.clip(probability, 1e-15, 1 - 1e-15)
    return np.asarray(-np.log(np.where(outcome == 1, p, 1 - p)), dtype=np.float64)


def _selection_metrics(run: ArmRun) -> Metrics:
    """Return means over the blocks of the metrics on which the selection was made.

    Their prefix is ``val_``: they are never a headline.
    """
    values: dict[str, list[float]] = {"val_log_loss": [], "val_roc_auc": []}
    for fitted, outcome in zip(run.procedure.runs, run.procedure.outcomes, strict=True):
        known = np.isfinite(fitted.probability)
        metrics = probability_metrics(fitted.probability[known], outcome[known])
        values["val_log_loss"].append(metrics["log_loss"])
        values["val_roc_auc"].append(metrics["roc_auc"])
    flat = sum(block.threshold is None for block in run.walk.blocks)
    return {**{name: float(np.mean(v)) for name, v in values.items()}, "flat_blocks": flat}


def _fit_seconds(run: ArmRun) -> Metrics:
    """Return the number and the CPU seconds of fits, and the seconds of everything else."""
    made = [seconds for read, seconds in run.procedure.fits if not read]
    read = [seconds for was_read, seconds in run.procedure.fits if was_read]
    return {
        "fits_made": len(made),
        "fits_read": len(read),
        "seconds_made": sum(made),
        "seconds_read": sum(read),
        "seconds_else": run.seconds - sum(made) - sum(read),
    }
