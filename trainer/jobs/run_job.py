"""One task of a run, in one worker: a symbol's dataset, one model, its evidence, its files."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adapters
from adapters.base import AdapterError, ModelAdapter
from features.dataset import Dataset, DatasetBuilder
from features.errors import InputError
from trainer.config import TrainConfig
from trainer.dataset import make_builder
from trainer.errors import TrainerError
from trainer.evidence import dossier
from trainer.evidence.null_runs import null_net_sharpe, percentile
from trainer.evidence.walk_forward import walk_forward
from trainer.job import Outcome, Task, TrainedModel
from trainer.jobs import results
from trainer.procedure.fit_cache import FitCache
from trainer.procedure.procedure import Fitted, Procedure
from trainer.procedure.sample import Sample
from trainer.serving.contract import Contract
from trainer.serving.trading_model import TradingModel
from trainer.statistics.costs import Terms

#: Errors whose text is meant for the user.
USER_ERRORS = (InputError, AdapterError, TrainerError)

#: Where bars, caches and workers are does not change a model: left out of what is kept with it, so
#: that equal models are equal files.
_ELSEWHERE = {
    "source", "cache", "cache_folder", "fit_cache", "fit_cache_folder", "max_workers", "symbols",
    "models", "features", "experiment",
}  # fmt: skip

#: Told what is being done, and how much of it is: (phase, done, total).
Report = Callable[[str, int, int], None]


def run_task(task: Task, config: TrainConfig, folder: Path, report: Report) -> Outcome:
    """Train one model and write it to `folder`; a failure is returned, never raised.

    Parameters
    ----------
    task : Task
    config : TrainConfig
    folder : pathlib.Path
        Where the model's files go.
    report : callable
        Progress.

    Returns
    -------
    Outcome
    """
    started = time.time()
    try:
        trained = _train(task, config, folder, report)
    except USER_ERRORS as error:
        return Outcome(task, started, time.time(), error=str(error), details=traceback.format_exc())
    except Exception as error:
        # One symbol's bug may not take the others down; --debug shows where it is.
        text = f"{type(error).__name__}: {error}"
        return Outcome(task, started, time.time(), error=text, details=traceback.format_exc())
    return Outcome(task, started, time.time(), trained)


def _train(task: Task, config: TrainConfig, folder: Path, report: Report) -> TrainedModel:
    clock = _Clock()
    report("features", 0, 1)
    builder = make_builder(config)
    data = builder.build(task.symbol)
    clock.lap("data")
    adapter_class = adapters.find(task.model)
    clock.lap("import")
    fits = _Counter(report, config.n_fits)
    seed = config.seed_of(task.symbol, task.model)

    def make_adapter() -> ModelAdapter:
        return adapter_class(
            task="classification" if data.meta.label.is_classification else "regression",
            seed=seed,
            # A model without a choice takes what there is.
            device=config.device if config.device in adapter_class.devices else "auto",
            params=config.params.get(task.model),
        )

    fit_cache = FitCache(Path(config.fit_cache_folder)) if config.fit_cache else None
    procedure = Procedure(
        make_adapter,
        n_splits=config.n_splits,
        embargo=config.embargo,
        horizon=config.horizon,
        terms=Terms(config.costs, data.meta.periods_per_year),
        calibration=config.calibration,
        allow_short=config.allow_short,
        on_fit=fits.tick,
        on_tell=fits.tell,
        fit_cache=fit_cache,
    )
    sample = Sample.of(data)
    walk = walk_forward(sample, procedure, config.wf_splits)
    clock.lap("walk_forward")
    fitted = procedure.run(sample)
    clock.lap("production")
    null = null_net_sharpe(
        builder,
        task.symbol,
        data.meta.bars.to_frame(),
        lambda rows: walk_forward(rows, procedure, config.wf_splits).metrics["net_sharpe"],
        runs=config.null_runs,
        seed=seed,
    )
    clock.lap("null")
    report("evidence", 0, 1)
    record = dossier.record_of(data, sample, walk)
    evidence = dossier.gather(config, data, sample, fitted, record, null)
    headline = {**walk.metrics, **dossier.headline(evidence)}
    if null:
        headline["null_percentile"] = percentile(walk.metrics["net_sharpe"], null)
    clock.lap("evidence")
    report("saving", 0, 1)
    metrics = results.metrics(headline, fitted)
    model = _assemble(task, config, builder, data, fitted)
    evidence = results.finite(evidence)
    told = results.finite({"metrics": metrics, "blocks": _dated(walk.blocks, data)})
    page = dossier.page(model.contract, told, evidence, "flat" if fitted.flat_because else "")
    # The command itself draws nothing, and a worker only now.
    from trainer.report.figures import figures

    drawn = figures(page, record.to_frame())
    clock.lap("figures")
    model.save(
        folder,
        bars=data.meta.bars,
        metrics=told,
        evidence=evidence,
        config={
            **config.model_dump(mode="json", exclude=_ELSEWHERE),
            "seed_of_fit": seed,
            "data_digest": data.meta.data_digest,
            "fold_plan": fitted.plan_digest,
            "walk_forward_plan": walk.plan_digest,
        },
    )
    clock.lap("save")
    artifacts = fitted.adapter.get_artifacts()
    return TrainedModel(
        folder=folder,
        metrics=metrics,
        fold_metrics=fitted.fold_metrics,
        curves=fitted.curves,
        told=told,
        evidence=evidence,
        record=record,
        contract=model.contract,
        figures=drawn,
        params=results.params(config, task.model, data, fitted, walk, record, artifacts),
        data={**results.facts(data), "fits_read": fit_cache.read if fit_cache else 0},
        seconds={**clock.laps, "fits": fits.seconds},
        requirements=(*adapters.requirements(task.model), *builder.features.requirements),
        flat_because=fitted.flat_because,
    )


def _assemble(
    task: Task, config: TrainConfig, builder: DatasetBuilder, data: Dataset, fitted: Fitted
) -> TradingModel:
    contract = Contract(
        model=task.model,
        symbol=task.symbol,
        interval=config.interval,
        calendar=data.meta.calendar,
        task=config.task,
        horizon=config.horizon,
        fee_bps=config.fee_bps,
        slippage_bps=config.slippage_bps,
        max_gap_bars=config.max_gap_bars,
        allow_jumps=config.allow_jumps,
    )
    return TradingModel(
        contract, builder.features, fitted.adapter, fitted.calibrator, fitted.threshold
    )


def _dated(blocks: list[dict[str, Any]], data: Dataset) -> list[dict[str, Any]]:
    """Say when a block began and ended, not at which bar."""
    times = data.meta.bars.timestamps
    return [
        {
            **{key: value for key, value in block.items() if not key.endswith("_bar")},
            "first": times[block["first_bar"]].isoformat(),
            "last": times[block["last_bar"]].isoformat(),
        }
        for block in blocks
    ]


class _Clock:
    """Wall time by phase."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now


class _Counter:
    """Counts fits for the progress bar, and the seconds inside them."""

    def __init__(self, report: Report, total: int) -> None:
        self._report, self._total, self._done = report, total, 0
        self.seconds = 0.0
        report("fits", 0, total)

    def tell(self, text: str) -> None:
        self._report(f"fits: {text}", self._done, self._total)

    def tick(self, seconds: float) -> None:
        self.seconds += seconds
        self._done += 1
        self._report("fits", self._done, self._total)
