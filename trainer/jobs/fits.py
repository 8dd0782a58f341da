"""The fits of a job: each needs the dataset and no other fit, so that any worker can make it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import adapters
from adapters.base import ModelAdapter
from features.dataset import Dataset, DatasetBuilder
from trainer.arrays import IntArray
from trainer.config import TrainConfig
from trainer.errors import TrainerError
from trainer.evidence.importance import falls_key, fold_falls
from trainer.evidence.walk_forward import ask_for_block, blocks
from trainer.job import Job
from trainer.procedure.fit_cache import FitCache
from trainer.procedure.fit_key import environment_digest, fit_key
from trainer.procedure.known_results import noted_results
from trainer.procedure.procedure import Procedure
from trainer.procedure.sample import Sample, score_rows
from trainer.procedure.stored_fit import StoredFit
from trainer.statistics.costs import Terms

#: Folds of a procedure, as (train, test) row indices.
Folds = list[tuple[IntArray, IntArray]]


@dataclass(frozen=True, eq=False)
class Setup:
    """A job with its settings, as workers receive it.

    Attributes
    ----------
    job : Job
    config : TrainConfig
    builder : DatasetBuilder
        Made by the command, because a worker may lack the file of the features.
    """

    job: Job
    config: TrainConfig
    builder: DatasetBuilder

    @property
    def seed(self) -> int:
        """Seed of the job."""
        return self.config.seed_of(self.job.symbol, self.job.model)


@dataclass(frozen=True)
class PlannedFit:
    """One fit of a job on one series of bars.

    Attributes
    ----------
    number : int
        Its place among them: the procedures of the walk-forward blocks, then that of the
        production model; within a procedure the folds, then all rows.
    rows : int
        Rows that it is fitted on.
    key : str
        As `trainer.procedure.fit_key.fit_key` returns it.
    environment : str
        Environment of the key (`environment_digest`).
    falls_key : str
        As `trainer.evidence.importance.falls_key` returns it; empty for a model on whose rows no
        importance is measured.
    """

    number: int
    rows: int
    key: str
    environment: str
    falls_key: str = ""


@dataclass(frozen=True, eq=False)
class MadeFit:
    """A fit that a worker made.

    Attributes
    ----------
    number : int
        As in `PlannedFit`.
    rows : int
        As in `PlannedFit`.
    seconds : float
        Wall time of the fit.
    stored : StoredFit or None
        None if the model's file does not give the model back completely.
    cacheable : bool
        Whether it was made in the environment of its key.
    """

    number: int
    rows: int
    seconds: float
    stored: StoredFit | None
    cacheable: bool


class JobFits:
    """The fits of a job on a dataset, each by its number.

    Parameters
    ----------
    setup : Setup
    data : Dataset
    on_progress : callable, optional
        Called during a long fit with a short text.
    production : bool, default True
        Whether there is a production model; a null run has none.

    Raises
    ------
    TrainerError
        If the rows are too few for the blocks.
    """

    def __init__(
        self,
        setup: Setup,
        data: Dataset,
        on_progress: Callable[[str], None] = lambda text: None,
        *,
        production: bool = True,
    ) -> None:
        config = setup.config
        self._seed = config.seed
        self._sample = Sample.of(data, config.rule.volatility_window)
        self._procedure = make_procedure(setup.job, config, data, on_progress=on_progress)
        self._blocks = blocks(self._sample, config.wf_splits)
        self._stages: list[IntArray | None] = [train for train, _ in self._blocks]
        if production:
            self._stages.append(None)
        self._last: tuple[int, Sample, Folds] | None = None

    def plan(self) -> list[PlannedFit]:
        """Return all fits, in the order of their numbers."""
        environment = environment_digest()
        plan: list[PlannedFit] = []
        for stage in range(len(self._stages)):
            sample, folds = self._stage(stage)
            for part, rows in enumerate(self._procedure.fit_rows(sample, folds)):
                key = fit_key(*self._procedure.prepare(sample, rows))
                falls = ""
                if self._has_importance(stage, part):
                    falls = falls_key(sample, _tested(folds), part, seed=self._seed)
                plan.append(PlannedFit(len(plan), len(rows), key, environment, falls))
        return plan

    def make(self, fit: PlannedFit) -> MadeFit:
        """Make one fit, with its results on the rows for which it is made.

        On a fold of the production model, measure the importance of features.
        """
        stage, part = divmod(fit.number, self._procedure.n_splits + 1)
        sample, folds = self._stage(stage)
        rows = self._procedure.fit_rows(sample, folds)[part]
        adapter, train, tail = self._procedure.prepare(sample, rows)
        started = time.perf_counter()
        adapter.fit(train, tail)
        seconds = time.perf_counter() - started
        stored = StoredFit.of(fit.key, adapter, train)
        if stored is not None and self._has_importance(stage, part):
            falls = fold_falls(sample, _tested(folds), part, adapter, seed=self._seed)
            stored = replace(stored, falls=tuple(falls.tolist()), falls_key=fit.falls_key)
        if stored is not None:
            with noted_results(adapter) as results:
                self._ask(stage, part, adapter)
            stored = replace(stored, results=results)
        cacheable = fit.environment == environment_digest()
        return MadeFit(fit.number, fit.rows, seconds, stored, cacheable)

    def _ask(self, stage: int, part: int, adapter: ModelAdapter) -> None:
        """Ask a model what the procedure asks: a fold its test rows, the last one its block."""
        sample, folds = self._stage(stage)
        if part < len(folds):
            score_rows(adapter, sample, folds[part][1])
        elif stage < len(self._blocks):
            ask_for_block(adapter, self._sample, self._blocks[stage][1])

    def _has_importance(self, stage: int, part: int) -> bool:
        return self._stages[stage] is None and part < self._procedure.n_splits

    def _stage(self, number: int) -> tuple[Sample, Folds]:
        """Return the rows of one procedure, with its folds."""
        # Fits that are handed out together are mostly those of one procedure.
        if self._last is None or self._last[0] != number:
            rows = self._stages[number]
            sample = self._sample if rows is None else self._sample.take(rows)
            self._last = number, sample, self._procedure.folds(sample)
        return self._last[1:]


def _tested(folds: Folds) -> list[IntArray]:
    return [test for _, test in folds]


def stage_models(
    procedure: Procedure, stored: Sequence[StoredFit], stage: int
) -> list[ModelAdapter]:
    """Return the models of one procedure, as `Procedure.run` takes them.

    Parameters
    ----------
    procedure : Procedure
    stored : sequence of StoredFit
        The fits of a job, by number.
    stage : int
        Number of a block; after the last one the production model.
    """
    count = procedure.n_splits + 1
    return [
        fit.restore(procedure.make_adapter()) for fit in stored[stage * count : (stage + 1) * count]
    ]


def make_procedure(
    job: Job,
    config: TrainConfig,
    data: Dataset,
    *,
    on_fit: Callable[[float], None] = lambda seconds: None,
    on_progress: Callable[[str], None] = lambda text: None,
    fit_cache: FitCache | None = None,
) -> Procedure:
    """Return the procedure of a job; the last arguments are those of `Procedure`."""
    _check_smooth(config, data)
    adapter_class = adapters.find(job.model)

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
        fit_cache=fit_cache,
        job=job.name,
    )


def _check_smooth(config: TrainConfig, data: Dataset) -> None:
    """Check that the bars have a beginning on which the mean of the rule does not depend."""
    memory, count = config.rule.rule(None).memory, len(data.meta.bars)
    if memory >= len(data.X):
        raise TrainerError(
            f"`--smooth` {config.smooth} looks {memory:,} bars back, and {data.meta.symbol} has "
            f"{count:,} bars, {len(data.X):,} of them with features; give a smaller span"
        )
