"""One job in one worker: a symbol's dataset, one model, its evidence, its files."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import adapters
from adapters.base import ModelAdapter
from barwright import BarwrightError
from features.calendars import calendar_requirements
from features.dataset import Dataset, DatasetBuilder
from trainer.config import TrainConfig
from trainer.dataset import make_builder
from trainer.errors import TrainerError
from trainer.evidence import dossier
from trainer.evidence.null_runs import null_net_sharpe
from trainer.evidence.walk_forward import walk_forward
from trainer.job import Job, JobResult, TrainedModel
from trainer.jobs import results
from trainer.procedure.fit_cache import FitCache
from trainer.procedure.procedure import Fitted, Procedure
from trainer.procedure.sample import Sample
from trainer.report.page import Page
from trainer.serving.contract import Contract
from trainer.serving.trading_model import TradingModel
from trainer.statistics.costs import Terms

#: Progress of one job: (phase, done, total).
OnProgress = Callable[[str, int, int], None]


def run_job(job: Job, config: TrainConfig, folder: Path, on_progress: OnProgress) -> JobResult:
    """Train one model and write it to a folder; return a failure, never raise it.

    Parameters
    ----------
    job : Job
    config : TrainConfig
    folder : pathlib.Path
        New folder for the files of the model.
    on_progress : callable
        Called with phase, units that are done, units in total.

    Returns
    -------
    JobResult
    """
    started = time.time()
    try:
        trained = _train(job, config, folder, on_progress)
    except Exception as error:
        # A bug in one job must not stop the others; `--debug` prints its traceback.
        known = isinstance(error, BarwrightError)
        text = str(error) if known else f"{type(error).__name__}: {error}"
        return JobResult(job, started, time.time(), error=text, details=traceback.format_exc())
    return JobResult(job, started, time.time(), trained)


def _requirements(job: Job, builder: DatasetBuilder, data: Dataset) -> tuple[str, ...]:
    """Return the distributions that the served model needs beyond those of every model."""
    return (
        *adapters.requirements(job.model),
        *builder.features.requirements,
        *calendar_requirements(data.meta.calendar),
    )


def _train(job: Job, config: TrainConfig, folder: Path, on_progress: OnProgress) -> TrainedModel:
    clock = _Clock()

    # Data
    on_progress("features", 0, 1)
    builder = make_builder(config)
    data = builder.build(job.symbol)
    sample = Sample.of(data, config.rule.volatility_window)
    clock.lap("data")

    # Procedure
    adapter_class = adapters.find(job.model)
    clock.lap("import")
    fits = _FitCounter(on_progress, config.n_fits)
    procedure = make_procedure(job, config, adapter_class, data, fits.count, fits.describe)

    # Walk-forward
    walk = walk_forward(sample, procedure, config.wf_splits)
    clock.lap("walk_forward")

    # Production model
    fitted = procedure.run(sample)
    clock.lap("production")

    # Null runs
    null = _null_runs(job, config, builder, data, procedure)
    clock.lap("null")

    # Evidence
    on_progress("evidence", 0, 1)
    record = dossier.record_of(data, sample, walk)
    evidence = dossier.gather(config, data, sample, fitted, record, null)
    model = _assemble(job, config, builder, data, fitted)
    trained = TrainedModel(
        folder=folder,
        contract=model.contract,
        headline=dossier.headline_of(data, walk, fitted, evidence, record, procedure.terms),
        evidence=evidence,
        record=record,
        figures={},
        curves=fitted.curves,
        params=results.params(job, config, data, fitted, walk, record),
        data=results.data_facts(data, procedure.fit_cache.read if procedure.fit_cache else 0),
        seconds={},
        requirements=_requirements(job, builder, data),
    )
    clock.lap("evidence")

    # Figures
    on_progress("saving", 0, 1)
    figures = _draw(trained)
    clock.lap("figures")

    # Files
    _save(model, data, job, config, trained)
    clock.lap("save")
    return replace(trained, figures=figures, seconds={**clock.laps, "fits": fits.seconds})


def _check_smooth(config: TrainConfig, data: Dataset) -> None:
    """Check that the bars have a beginning on which the mean of the rule does not depend."""
    memory, count = config.rule.rule(None).memory, len(data.meta.bars)
    if memory >= len(data.X):
        raise TrainerError(
            f"`--smooth` {config.smooth} looks {memory:,} bars back, and {data.meta.symbol} has "
            f"{count:,} bars, {len(data.X):,} of them with features; give a smaller span"
        )


def make_procedure(
    job: Job,
    config: TrainConfig,
    adapter_class: type[ModelAdapter],
    data: Dataset,
    on_fit: Callable[[float], None],
    on_progress: Callable[[str], None],
) -> Procedure:
    """Return the procedure of a job; the callables are those of `Procedure`."""
    _check_smooth(config, data)

    def make_adapter() -> ModelAdapter:
        return adapter_class(
            task="classification" if data.meta.label.is_classification else "regression",
            seed=config.seed_of(job.symbol, job.model),
            # An adapter that has only one device gets that one.
            device=config.device if config.device in adapter_class.devices else "auto",
            params=config.params.get(job.model),
        )

    return Procedure(
        make_adapter,
        n_splits=config.n_splits,
        embargo=config.embargo,
        horizon=config.horizon,
        terms=Terms(config.costs, data.meta.periods_per_year),
        calibration=config.calibration,
        position=config.rule,
        on_fit=on_fit,
        on_progress=on_progress,
        fit_cache=FitCache(Path(config.fit_cache_folder)) if config.fit_cache else None,
    )


def _null_runs(
    job: Job, config: TrainConfig, builder: DatasetBuilder, data: Dataset, procedure: Procedure
) -> list[float]:
    """Return the net Sharpe ratio of the walk-forward on bars that were permuted, run by run."""

    def measure(sample: Sample) -> float:
        return walk_forward(sample, procedure, config.wf_splits).metrics["net_sharpe"]

    return null_net_sharpe(
        builder,
        job.symbol,
        data.meta.bars.to_frame(),
        measure,
        runs=config.null_runs,
        seed=config.seed_of(job.symbol, job.model),
        volatility_window=config.rule.volatility_window,
    )


def _assemble(
    job: Job, config: TrainConfig, builder: DatasetBuilder, data: Dataset, fitted: Fitted
) -> TradingModel:
    contract = Contract(
        model=job.model,
        symbol=job.symbol,
        interval=config.interval,
        calendar=data.meta.calendar,
        task=config.task,
        horizon=config.horizon,
        fee_bps=config.fee_bps,
        slippage_bps=config.slippage_bps,
        max_gap_bars=config.max_gap_bars,
        allow_jumps=config.allow_jumps,
        position=config.position,
    )
    return TradingModel(
        contract, builder.features, fitted.adapter, fitted.calibrator, fitted.threshold
    )


def _draw(trained: TrainedModel) -> dict[str, bytes]:
    # A worker imports matplotlib only when it has something to draw.
    from trainer.report.figures import draw_figures

    # The other statuses need the trials of all jobs.
    page = Page.of_trained(trained, "flat" if trained.flat_because else "")
    return draw_figures(page, trained.record.to_frame())


def _save(
    model: TradingModel, data: Dataset, job: Job, config: TrainConfig, trained: TrainedModel
) -> None:
    """Write the files of the model: itself, its settings, its headline, its evidence."""
    digests = ("data_digest", "fold_plan", "walk_forward_plan")
    snapshot = {
        **config.model_settings(),
        "seed_of_fit": config.seed_of(job.symbol, job.model),
        **{name: trained.params[name] for name in digests},
    }
    model.save(
        trained.folder,
        bars=data.meta.bars,
        metrics=trained.headline.to_json(),
        evidence=trained.evidence.to_json(),
        config=snapshot,
    )


class _Clock:
    """Wall time by phase."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End a phase."""
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now


class _FitCounter:
    """Number of fits for the progress callback, and the seconds inside them."""

    def __init__(self, on_progress: OnProgress, total: int) -> None:
        self._on_progress, self._total, self._done = on_progress, total, 0
        self.seconds = 0.0
        on_progress("fits", 0, total)

    def count(self, seconds: float) -> None:
        """Count a fit that took so many seconds."""
        self.seconds += seconds
        self._done += 1
        self._on_progress("fits", self._done, self._total)

    def describe(self, text: str) -> None:
        """Pass on how far the current fit is."""
        self._on_progress(f"fits: {text}", self._done, self._total)
