"""One task of a run, in one worker: a symbol's dataset, one model, its evidence, its files."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import adapters
from adapters.base import AdapterError, ModelAdapter
from features.cache import FeatureCache
from features.dataset import Dataset, DatasetBuilder
from features.errors import InputError
from features.feature_set import FeatureSet
from features.interval import Interval
from features.labels import LabelSpec
from features.settings import read_settings
from features.sources import open_source
from trainer import results
from trainer.config import TrainConfig
from trainer.errors import TrainerError
from trainer.evaluation import walk_forward
from trainer.fit_cache import FitCache
from trainer.model import Contract, TradingModel
from trainer.sample import Sample
from trainer.training import Fitted, Procedure

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


@dataclass(frozen=True)
class Task:
    """One model for one symbol."""

    symbol: str
    model: str

    @property
    def name(self) -> str:
        """Name of its registered model."""
        return f"{self.model}-{self.symbol}"


@dataclass(frozen=True)
class TrainedModel:
    """What a worker hands back: plain values and a folder, nothing that MLflow must unpickle.

    Attributes
    ----------
    folder : pathlib.Path
        The saved `TradingModel`.
    metrics : dict of str to float
        ``wf_...`` headline and ``val_..._mean/_std/_min``.
    fold_metrics : list of dict
        Per fold of the production procedure.
    curves : list of list of float
        Loss on the rows that stop a fit early, per fold of the production procedure.
    tables : dict of str to list of dict
        ``walk_forward`` blocks and the ``threshold`` curve.
    params : dict
        Settings worth comparing between runs.
    data : dict
        Digest, rows, dropped rows, gaps: what the run was trained on; and how many of its fits
        were read from the cache.
    importance : dict of str to float
        Gain by feature, if the adapter tells it.
    seconds : dict of str to float
        Wall time by phase.
    requirements : tuple of str
        Distributions that serving needs.
    flat_because : str
        Why the production model does not trade; empty if it does.
    doubts : tuple of str
        What the walk-forward says against a model that trades.
    """

    folder: Path
    metrics: dict[str, float]
    fold_metrics: list[dict[str, float]]
    curves: list[list[float]]
    tables: dict[str, list[dict[str, Any]]]
    params: dict[str, Any]
    data: dict[str, Any]
    importance: dict[str, float]
    seconds: dict[str, float]
    requirements: tuple[str, ...]
    flat_because: str
    doubts: tuple[str, ...]

    @property
    def status(self) -> str:
        """Return ``flat``, ``unproven`` or ``trades``."""
        return "flat" if self.flat_because else "unproven" if self.doubts else "trades"

    @property
    def status_reason(self) -> str:
        """Why it is flat or unproven, in words."""
        return self.flat_because or ", and ".join(self.doubts)


@dataclass(frozen=True)
class Outcome:
    """How a task ended: with a model, or with the reason why not."""

    task: Task
    started: float
    ended: float
    trained: TrainedModel | None = None
    error: str = ""
    details: str = field(default="", repr=False)


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


def make_builder(config: TrainConfig) -> DatasetBuilder:
    """Turn settings into the dataset builder that they describe."""
    interval = Interval.parse(config.interval)
    chosen = read_settings(Path(config.features), "features") if config.features else {}
    return DatasetBuilder(
        source=open_source(config.source),
        interval=interval,
        features=FeatureSet.from_config(chosen, interval=interval),
        label=LabelSpec(config.task, config.horizon),
        cache=FeatureCache(Path(config.cache_folder)) if config.cache else None,
        max_gap_bars=config.max_gap_bars,
        calendar=config.calendar,
        allow_jumps=config.allow_jumps,
    )


def _train(task: Task, config: TrainConfig, folder: Path, report: Report) -> TrainedModel:
    clock = _Clock()
    report("features", 0, 1)
    builder = make_builder(config)
    data = builder.build(task.symbol)
    clock.lap("data")
    adapter_class = adapters.find(task.model)
    clock.lap("import")
    fits = _Counter(report, (config.wf_splits + 1) * (config.n_splits + 1))
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
        fee_bps=config.fee_bps,
        slippage_bps=config.slippage_bps,
        periods_per_year=data.meta.periods_per_year,
        calibration=config.calibration,
        allow_short=config.allow_short,
        on_fit=fits.tick,
        on_tell=fits.tell,
        fit_cache=fit_cache,
    )
    sample = Sample.of(data)
    evidence = walk_forward(sample, procedure, config.wf_splits)
    clock.lap("walk_forward")
    fitted = procedure.run(sample)
    clock.lap("production")
    report("saving", 0, 1)
    metrics = results.metrics(evidence, fitted)
    model = _assemble(task, config, builder, data, fitted)
    model.save(
        folder,
        bars=data.meta.bars,
        metrics={
            "metrics": results.finite(metrics),
            "blocks": [results.finite(block) for block in evidence.blocks],
        },
        config={
            **config.model_dump(mode="json", exclude=_ELSEWHERE),
            "seed_of_fit": seed,
            "data_digest": data.meta.data_digest,
            "fold_plan": fitted.plan_digest,
            "walk_forward_plan": evidence.plan_digest,
        },
    )
    clock.lap("save")
    artifacts = fitted.adapter.get_artifacts()
    gains = artifacts.get("importance_gain", [])
    return TrainedModel(
        folder=folder,
        metrics=metrics,
        fold_metrics=fitted.fold_metrics,
        curves=fitted.curves,
        tables={"walk_forward": evidence.blocks, "threshold": results.curve(fitted)},
        params=results.params(config, task.model, data, fitted, evidence, artifacts),
        data={**results.facts(data), "fits_read": fit_cache.read if fit_cache else 0},
        importance=dict(zip(data.feature_names, map(float, gains), strict=True)) if gains else {},
        seconds={**clock.laps, "fits": fits.seconds},
        requirements=(*adapters.requirements(task.model), *builder.features.requirements),
        flat_because=fitted.flat_because,
        doubts=results.doubts(metrics),
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
