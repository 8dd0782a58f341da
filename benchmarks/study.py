"""What the studies share: jobs in parallel, the procedure of a job, net returns on all bars."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

import click

import adapters
from adapters.base import ModelAdapter
from trainer.arrays import FloatArray
from trainer.config import TrainConfig
from trainer.evidence.walk_forward import WalkForward
from trainer.job import Job
from trainer.procedure.fit_cache import FitCache
from trainer.procedure.procedure import Procedure
from trainer.procedure.sample import Sample
from trainer.statistics.bar_axis import BarAxis
from trainer.statistics.costs import Costs, Terms
from trainer.statistics.performance import net_returns

#: Fee and slippage a side: the product's defaults, and a taker of perpetuals.
COSTS = {"15 bps": Costs(10.0, 5.0), "5 bps": Costs(4.0, 1.0)}

Measured = TypeVar("Measured")
Kind = TypeVar("Kind", bound=Procedure)


def measure_all(
    measure: Callable[[str, str, TrainConfig], Measured], config: TrainConfig, workers: int
) -> list[Measured]:
    """Measure each symbol with each model, at most `workers` at the same time."""
    names = [(symbol, model) for model in config.models for symbol in config.symbols]
    jobs: dict[tuple[str, str], Measured] = {}
    # Fresh processes: the numerical libraries read their number of threads when they are loaded.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        running = {pool.submit(measure, *name, config): name for name in names}
        for future in as_completed(running):
            jobs[running[future]] = future.result()
            click.echo(f"{len(jobs)} of {len(names)}: {' '.join(running[future])}", err=True)
    return [jobs[name] for name in names]


def make_procedure(
    kind: type[Kind], symbol: str, model: str, config: TrainConfig, terms: Terms, **changes: Any
) -> Kind:
    """Return a procedure with the settings that `barwright train` would use, but for `changes`."""
    adapter_class = adapters.find(model)
    seed = config.seed_of(symbol, model)

    def make_adapter() -> ModelAdapter:
        return adapter_class(
            task="classification", seed=seed, device="cpu", params=config.params.get(model)
        )

    settings = {
        "n_splits": config.n_splits,
        "embargo": config.embargo,
        "horizon": config.horizon,
        "terms": terms,
        "calibration": config.calibration,
        "allow_short": config.allow_short,
        "position": config.rule,
        "fit_cache": FitCache.at(config.fit_cache_folder),
        "job": Job(symbol, model).name,
    }
    return kind(make_adapter, **{**settings, **changes})


def tested_net_returns(walk: WalkForward, sample: Sample, costs: Costs) -> FloatArray:
    """Return the net return of every bar from the first tested row to the last."""
    axis = BarAxis.of(walk.bar)
    rows = sample.bar.searchsorted(walk.bar)  # (m,)
    return net_returns(
        axis.place(walk.position.astype(float), 0.0),
        axis.place(sample.forward_return[rows], 0.0),
        costs,
    )
