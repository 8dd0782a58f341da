"""A job from its dataset and its fits to the files of a model, with the evidence on it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import adapters
from adapters.base import ModelAdapter
from features.calendars import calendar_requirements
from features.dataset import Dataset, DatasetBuilder
from trainer.arrays import FloatArray
from trainer.config import TrainConfig
from trainer.dataset import make_builder
from trainer.errors import error_text
from trainer.evidence import dossier
from trainer.evidence.null_runs import null_net_sharpe
from trainer.evidence.walk_forward import walk_forward
from trainer.job import Job, JobResult, TrainedModel
from trainer.jobs import results
from trainer.jobs.fits import Setup, make_procedure, stage_models
from trainer.jobs.job_cache import fit_cache_of_worker
from trainer.procedure.procedure import Fitted
from trainer.procedure.sample import Sample
from trainer.procedure.stored_fit import StoredFit
from trainer.report.page import Page
from trainer.serving.contract import Contract
from trainer.serving.trading_model import TradingModel

#: Progress of one job: (phase, done, total).
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class JobFitted:
    """What workers made for a job before it is finished.

    Attributes
    ----------
    stored : sequence of StoredFit
        Its fits by number (`trainer.jobs.fits.PlannedFit`).
    null : sequence of float
        Net Sharpe ratios of its null runs.
    n_read : int
        Fits that were read from the fit cache.
    seconds : dict of str to float
        Wall time of earlier phases: ``data``, ``fits``.
    falls : dict of int to float64 array
        Importance of features that was measured with the fits of the production model, by fold.
    """

    stored: Sequence[StoredFit]
    null: Sequence[float] = ()
    n_read: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    falls: Mapping[int, FloatArray] = field(default_factory=dict)


def run_job(job: Job, config: TrainConfig, folder: Path, on_progress: OnProgress) -> JobResult:
    """Train one model in this process and write it to a folder; return a failure, never raise it.

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
        on_progress("features", 0, 1)
        setup = Setup(job, config, make_builder(config))
        data = setup.builder.build(job.symbol)
        seconds = {"data": time.time() - started}
        trained = finish_job(setup, data, None, folder, on_progress)
        trained = replace(trained, seconds={**seconds, **trained.seconds})
    except Exception as error:
        return failed_job(job, started, error)
    return JobResult(job, started, time.time(), trained)


def failed_job(job: Job, started: float, error: BaseException) -> JobResult:
    """Return the result of a job that ended with an error.

    A bug in one job must not stop the others; `--debug` prints its traceback.
    """
    details = "".join(traceback.format_exception(error))
    return JobResult(job, started, time.time(), error=error_text(error), details=details)


def _requirements(job: Job, builder: DatasetBuilder, data: Dataset) -> tuple[str, ...]:
    """Return the distributions that the served model needs beyond those of every model."""
    return (
        *adapters.requirements(job.model),
        *builder.features.requirements,
        *calendar_requirements(data.meta.calendar),
    )


def finish_job(
    setup: Setup, data: Dataset, fitted: JobFitted | None, folder: Path, on_progress: OnProgress
) -> TrainedModel:
    """Make the model of a job, its evidence and its files from its dataset and its fits.

    Parameters
    ----------
    setup : Setup
    data : Dataset
    fitted : JobFitted or None
        None if fits and null runs are to be made here, one after the other.
    folder, on_progress
        As in `run_job`.
    """
    job, config, builder = setup.job, setup.config, setup.builder
    clock = _Clock()
    sample = Sample.of(data, config.rule.volatility_window)
    adapters.find(job.model)
    clock.lap("import")
    fits = _OwnFits(setup, data, on_progress) if fitted is None else _GivenFits(setup, data, fitted)
    procedure = fits.procedure

    # Walk-forward
    walk = walk_forward(sample, procedure, config.wf_splits, models=fits.models)
    clock.lap("walk_forward")

    # Production model
    production = procedure.run(sample, fits.models(config.wf_splits))
    clock.lap("production")

    # Null runs
    null = fits.null_ratios()
    clock.lap("null")

    # Evidence
    on_progress("evidence", 0, 1)
    record = dossier.record_of(data, sample, walk)
    evidence = dossier.gather(config, data, sample, production, record, null, fits.falls)
    model = _assemble(job, config, builder, data, production)
    trained = TrainedModel(
        folder=folder,
        contract=model.contract,
        headline=dossier.headline_of(data, walk, production, evidence, record, procedure.terms),
        evidence=evidence,
        record=record,
        figures={},
        curves=production.curves,
        params=results.params(job, config, data, production, walk, record),
        data=results.data_facts(data, fits.n_read),
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
    return replace(trained, figures=figures, seconds={**fits.seconds, **clock.laps})


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


class _OwnFits:
    """Fits that are made in this process, one after the other."""

    #: Importances of features that were measured already, by fold.
    falls: Mapping[int, FloatArray] = {}

    def __init__(self, setup: Setup, data: Dataset, on_progress: OnProgress) -> None:
        self._setup, self._data, self._on_progress = setup, data, on_progress
        self._done, self._seconds = 0, 0.0
        self._cache = fit_cache_of_worker(setup.config)
        self._read_before = self._n_read
        self.procedure = make_procedure(
            setup.job,
            setup.config,
            data,
            on_fit=self._count,
            on_progress=lambda text: self._report(f"fits: {text}"),
            fit_cache=self._cache,
        )
        self._report("fits")

    def models(self, stage: int) -> None:
        """Return no models: the procedure fits them."""

    def null_ratios(self) -> list[float]:
        """Return the net Sharpe ratios of the null runs, whose fits are made here as well."""
        config = self._setup.config

        def measure(sample: Sample) -> float:
            return walk_forward(sample, self.procedure, config.wf_splits).metrics["net_sharpe"]

        return null_net_sharpe(
            self._setup.builder,
            self._setup.job.symbol,
            self._data.meta.bars.to_frame(),
            measure,
            runs=config.null_runs,
            seed=self._setup.seed,
            volatility_window=config.rule.volatility_window,
        )

    @property
    def n_read(self) -> int:
        """Fits that were read from the fit cache."""
        return self._n_read - self._read_before

    @property
    def _n_read(self) -> int:
        return 0 if self._cache is None else self._cache.n_read

    @property
    def seconds(self) -> dict[str, float]:
        """Wall time of the fits."""
        return {"fits": self._seconds}

    def _count(self, seconds: float) -> None:
        self._seconds += seconds
        self._done += 1
        self._report("fits")

    def _report(self, phase: str) -> None:
        self._on_progress(phase, self._done, self._setup.config.n_fits)


class _GivenFits:
    """Fits that other workers made."""

    def __init__(self, setup: Setup, data: Dataset, fitted: JobFitted) -> None:
        self._fitted, self.falls = fitted, fitted.falls
        self.procedure = make_procedure(setup.job, setup.config, data)
        self.n_read, self.seconds = fitted.n_read, dict(fitted.seconds)

    def models(self, stage: int) -> list[ModelAdapter]:
        """Return the models of a procedure: of a block, or after the last one of production."""
        return stage_models(self.procedure, self._fitted.stored, stage)

    def null_ratios(self) -> Sequence[float]:
        """Return the net Sharpe ratios of the null runs."""
        return self._fitted.null
