"""The schedule of a training run: which task is next, and what follows from the end of each.

A series of bars is read for a symbol, or made for a null run. When it is opened, its dataset is
built on a worker and the fits of its jobs are planned. Any worker makes any of them, and a job is
finished when all of its fits are there. A worker that is free gets the most urgent task of the
series that has been open for the longest time; another series is opened only if no open one has a
task left. So the datasets and fits in memory depend on the number of workers, not on that of
symbols, and the first symbols are finished while later ones have not begun.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

import adapters
from features.dataset import DatasetBuilder
from features.sources import RawBars
from trainer.arrays import FloatArray
from trainer.config import TrainConfig
from trainer.job import Job, JobResult
from trainer.jobs import steps
from trainer.jobs.fits import MadeFit, PlannedFit, Setup
from trainer.jobs.job_cache import fit_cache_of
from trainer.jobs.run_job import JobFitted, failed_job
from trainer.jobs.steps import FinishedJob
from trainer.jobs.worker_pool import Ended, OnJobProgress, Task, death_text
from trainer.procedure.stored_fit import StoredFit

#: Seconds of fits that a worker gets at once, at most. To give it a task takes about 10 ms.
BATCH_SECONDS = 1.0
#: What is left of a job is divided among the workers, but not into smaller parts than this.
_LEAST_SECONDS = 0.25


@dataclass(eq=False)
class _Pace:
    """Seconds per row of the fits of a model.

    Attributes
    ----------
    last : float
        Of those that ended last.
    slowest : float
        Of the slowest one: fits that stop early differ by a factor of 10 on the same rows, and one
        that turns out to be long must not be the last one.
    """

    last: float = 0.0
    slowest: float = 0.0


@dataclass(eq=False)
class _JobState:
    """A job between its start and its end."""

    job: Job
    config: TrainConfig
    builder: DatasetBuilder | None = None
    started: float = field(default_factory=time.time)
    #: Ratios of the null runs that are done, by number.
    null: dict[int, float] = field(default_factory=dict)
    n_done: int = 0
    n_read: int = 0
    seconds: float = 0.0
    ended: bool = False

    @property
    def setup(self) -> Setup:
        assert self.builder is not None
        return Setup(self.job, self.config, self.builder)


@dataclass(eq=False)
class _Fits:
    """The fits of one job on one series."""

    job: _JobState
    #: Fits that no worker has, the longest first.
    todo: deque[PlannedFit] = field(default_factory=deque)
    plan: list[PlannedFit] = field(default_factory=list)
    stored: dict[int, StoredFit] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return bool(self.plan) and len(self.stored) == len(self.plan)

    @property
    def in_order(self) -> list[StoredFit]:
        return [self.stored[fit.number] for fit in self.plan]

    @property
    def falls(self) -> dict[int, FloatArray]:
        """Importances of features by fold, of the rows that were planned."""
        keys = [fit.falls_key for fit in self.plan if fit.falls_key]
        numbers = [fit.number for fit in self.plan if fit.falls_key]
        return {
            fold: np.array(self.stored[number].falls)
            for fold, (number, key) in enumerate(zip(numbers, keys, strict=True))
            if self.stored[number].falls_key == key
        }


@dataclass(eq=False)
class _Series:
    """A series of bars with the jobs that are fitted on it.

    Attributes
    ----------
    jobs : list of _JobState
    null : int or None
        Number of its null run; None for the bars themselves.
    origin : _Series or None
        The bars themselves, if it belongs to a null run.
    data : distributed.Future or None
        Its dataset, in the memory of workers.
    seconds : float
        Time that its dataset took.
    tasks : deque of Task
        Tasks to be given to workers before any fit.
    fits : list of _Fits
    """

    jobs: list[_JobState]
    null: int | None = None
    origin: _Series | None = None
    data: Any = None
    seconds: float = 0.0
    tasks: deque[Task] = field(default_factory=deque)
    fits: list[_Fits] = field(default_factory=list)

    @property
    def production(self) -> bool:
        """Whether a production model is fitted on it."""
        return self.null is None


class TrainingSchedule:
    """The tasks of a training run.

    Parameters
    ----------
    configs : mapping of Job to TrainConfig
        Settings of each job. Jobs of a symbol that have the same settings share one dataset.
    on_progress : callable
        Called with name of the job, phase, units that are done, units in total.
    on_result : callable
        Called with the result of each job, and with its finished model unless it failed.
    may_open : callable, optional
        Returns whether another series may be opened now.
    """

    def __init__(
        self,
        configs: Mapping[Job, TrainConfig],
        *,
        on_progress: OnJobProgress,
        on_result: Callable[[JobResult, FinishedJob | None], None],
        may_open: Callable[[], bool] = lambda: True,
    ) -> None:
        self._on_progress, self._on_result, self._may_open = on_progress, on_result, may_open
        self._waiting = deque(_groups(configs))
        self._open: list[_Series] = []
        self._jobs: dict[str, _JobState] = {}
        #: Seconds per row that fits of a model took in this run.
        self._paces: dict[str, _Pace] = {}

    def take(self, n_workers: int) -> Task | None:
        """Return the next task for a worker; None if there is none now.

        Parameters
        ----------
        n_workers : int
            Workers that there are.
        """
        while True:
            for series in self._open:
                task = self._next_of(series, n_workers)
                if task is not None:
                    return task
            if not self._waiting or not self._has_room(self._waiting[0], n_workers):
                return None
            self._begin(self._waiting.popleft())

    @property
    def more(self) -> bool:
        """Whether a series is not open yet."""
        return bool(self._waiting)

    def accept(self, end: Ended) -> None:
        """Take the end of a task; it may lead to further tasks, or to results."""
        assert end.task.then is not None
        jobs = [job for job in end.task.owners if not job.ended]
        try:
            if end.error is not None:
                raise end.error
            if jobs:
                end.task.then(end.result)
            elif end.task.stays:
                end.result.release()
        except Exception as error:
            # Not only errors of the task, but of what follows from it, too.
            for job in jobs:
                self._fail(job, error)

    def count(self, name: str) -> tuple[int, int]:
        """Return how many fits of a job are done, and how many it has in total."""
        job = self._jobs[name]
        return job.n_done, job.config.n_fits

    # --- which task is next -------------------------------------------------------------------

    def _next_of(self, series: _Series, n_workers: int) -> Task | None:
        if series.tasks:
            return series.tasks.popleft()
        fits = max(
            (fits for fits in series.fits if fits.todo),
            key=lambda fits: self._cost(fits.job, fits.todo[0]),
            default=None,
        )
        return None if fits is None else self._fit_task(series, fits, n_workers)

    def _has_room(self, series: _Series, n_workers: int) -> bool:
        """Return whether a series may be opened now.

        Null runs have room of their own: the series from which they are made waits for them.
        """
        alike = sum(other.production == series.production for other in self._open)
        return alike <= n_workers and (not series.production or self._may_open())

    def _cost(self, job: _JobState, fit: PlannedFit) -> float:
        """Return how long a fit may take: in seconds, once one of its model was measured."""
        model = job.job.model
        pace = self._paces.get(model)
        return fit.rows * (pace.slowest if pace else adapters.relative_cost(model))

    def _fit_task(self, series: _Series, fits: _Fits, n_workers: int) -> Task:
        batch = [fits.todo.popleft()]
        pace = self._paces.get(fits.job.job.model)
        if pace is not None:
            rows = np.cumsum([fit.rows for fit in (*batch, *fits.todo)])
            if self._waiting:
                # No worker is idle while other symbols wait: a share would only be a smaller task.
                seconds, most = rows * pace.last, BATCH_SECONDS
            else:
                seconds = rows * pace.slowest
                share = float(seconds[-1]) / n_workers
                most = min(max(share, _LEAST_SECONDS), BATCH_SECONDS)
            while fits.todo and seconds[len(batch)] <= most:
                batch.append(fits.todo.popleft())
        return self._task(
            [fits.job],
            steps.make_fits,
            (fits.job.setup, series.data, series.production, tuple(batch)),
            partial(self._made, series, fits),
        )

    def _task(
        self,
        jobs: list[_JobState],
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        then: Callable[[Any], None],
        **how: bool,
    ) -> Task:
        return Task(jobs[0].job.name, function, arguments, then=then, owners=tuple(jobs), **how)

    # --- what follows from the end of a task --------------------------------------------------

    def _begin(self, series: _Series) -> None:
        """Open a series: read its bars, or make those of a null run."""
        series.jobs = [job for job in series.jobs if not job.ended]
        if not series.jobs:
            return
        series.seconds = -time.perf_counter()
        first = series.jobs[0]
        if series.origin is None:
            self._open.append(series)
        else:
            # As urgent as the bars themselves: other symbols come after it.
            self._open.insert(self._open.index(series.origin) + 1, series)
            arguments = (first.setup, series.origin.data, series.null)
            then = partial(self._have_data, series)
            series.tasks.append(
                self._task(series.jobs, steps.null_data, arguments, then, stays=True)
            )
            return
        for job in series.jobs:
            job.started = time.time()
            self._jobs[job.job.name] = job
            self._on_progress(job.job.name, "features", 0, 1)
        then = partial(self._have_bars, series)
        series.tasks.append(
            self._task(
                series.jobs, steps.read_bars, (first.config, first.job.symbol), then, here=True
            )
        )

    def _have_bars(self, series: _Series, read: tuple[DatasetBuilder, RawBars]) -> None:
        builder, raw = read
        for job in series.jobs:
            job.builder = builder
        arguments = (builder, raw, series.jobs[0].job.symbol)
        then = partial(self._have_data, series)
        series.tasks.append(self._task(series.jobs, steps.build_data, arguments, then, stays=True))

    def _have_data(self, series: _Series, data: Any) -> None:
        series.data = data
        series.seconds += time.perf_counter()
        for job in series.jobs:
            if job.ended:
                continue
            fits = _Fits(job)
            series.fits.append(fits)
            series.tasks.append(
                self._task(
                    [job],
                    steps.plan_fits,
                    (job.setup, data, series.production),
                    partial(self._planned, series, fits),
                )
            )

    def _planned(self, series: _Series, fits: _Fits, plan: list[PlannedFit]) -> None:
        job, fits.plan = fits.job, plan
        if series.production:
            self._waiting.extendleft(
                _Series([job], null=number, origin=series)
                for number in reversed(range(job.config.null_runs))
            )
        cache = fit_cache_of(job.config)
        keys = [fit.key for fit in plan]
        read = {} if cache is None else cache.read(job.job.name, keys)
        fits.stored = {fit.number: read[fit.key] for fit in plan if fit.key in read}
        missing = [fit for fit in plan if fit.key not in read]
        job.n_read += len(fits.stored)
        job.n_done += len(fits.stored)
        fits.todo.extend(sorted(missing, key=lambda fit: -fit.rows))
        self._on_progress(job.job.name, "fits", *self.count(job.job.name))
        if fits.complete:
            self._all_made(series, fits)

    def _made(self, series: _Series, fits: _Fits, made: list[MadeFit]) -> None:
        job, cache = fits.job, fit_cache_of(fits.job.config)
        if any(fit.stored is None for fit in made):
            self._finish_in_place(series, job)
            return
        pace = self._paces.setdefault(job.job.model, _Pace())
        pace.last = sum(fit.seconds for fit in made) / sum(fit.rows for fit in made)
        pace.slowest = max(pace.slowest, *(fit.seconds / fit.rows for fit in made))
        for fit in made:
            assert fit.stored is not None
            fits.stored[fit.number] = fit.stored
            job.seconds += fit.seconds
        if cache is not None and (kept := [f.stored for f in made if f.stored and f.cacheable]):
            cache.write(job.job.name, kept)
        job.n_done += len(made)
        self._on_progress(job.job.name, "fits", *self.count(job.job.name))
        if fits.complete:
            self._all_made(series, fits)

    def _all_made(self, series: _Series, fits: _Fits) -> None:
        """Go on with a job that has all fits on a series."""
        job = fits.job
        if series.production:
            self._finish_if_complete(series, job)
            return
        stored = fits.in_order
        then = partial(self._have_ratio, series, job)
        arguments = (job.setup, series.data, stored)
        series.tasks.append(self._task([job], steps.null_ratio, arguments, then))

    def _have_ratio(self, series: _Series, job: _JobState, ratio: float) -> None:
        assert series.null is not None
        assert series.origin is not None
        job.null[series.null] = ratio
        self._close(series)
        self._finish_if_complete(series.origin, job)

    def _finish_if_complete(self, series: _Series, job: _JobState) -> None:
        (fits,) = (fits for fits in series.fits if fits.job is job)
        runs = job.config.null_runs
        if not fits.complete or len(job.null) < runs:
            return
        fitted = JobFitted(
            stored=fits.in_order,
            null=[job.null[number] for number in range(runs)],
            n_read=job.n_read,
            seconds={"data": series.seconds, "fits": job.seconds},
            falls=fits.falls,
        )
        self._finish(series, job, fitted)

    def _finish_in_place(self, series: _Series, job: _JobState) -> None:
        """Leave a job to one worker: its model's file does not give the model back."""
        for other in self._open:
            for fits in other.fits:
                if fits.job is job:
                    fits.todo.clear()
        self._waiting = deque(w for w in self._waiting if w.null is None or w.jobs != [job])
        main = series if series.origin is None else series.origin
        self._finish(main, job, None)

    def _finish(self, series: _Series, job: _JobState, fitted: JobFitted | None) -> None:
        then = partial(self._finished, job)
        arguments = (job.setup, series.data, fitted)
        series.tasks.append(self._task([job], steps.finish, arguments, then))
        for fits in series.fits:
            if fits.job is job:
                fits.stored = {}  # they travel with the task

    def _finished(self, job: _JobState, finished: FinishedJob) -> None:
        result = JobResult(job.job, job.started, time.time(), finished.trained)
        self._end(job)
        self._on_result(result, finished)

    def _fail(self, job: _JobState, error: BaseException) -> None:
        result = replace(failed_job(job.job, job.started, error), error=death_text(error))
        self._end(job)
        self._on_result(result, None)

    def _end(self, job: _JobState) -> None:
        """Forget a job; a series whose jobs have all ended is closed."""
        job.ended = True
        for series in list(self._open):
            series.fits = [fits for fits in series.fits if fits.job is not job]
            series.tasks = deque(
                task for task in series.tasks if any(not owner.ended for owner in task.owners)
            )
            if all(other.ended for other in series.jobs):
                self._close(series)
        self._waiting = deque(
            series for series in self._waiting if any(not other.ended for other in series.jobs)
        )

    def _close(self, series: _Series) -> None:
        if series in self._open:
            self._open.remove(series)
        if series.data is not None:
            series.data.release()
            series.data = None


def _groups(configs: Mapping[Job, TrainConfig]) -> list[_Series]:
    """Return the series of the jobs: one for each symbol and its settings."""
    groups: dict[tuple[str, int], list[_JobState]] = {}
    for job, config in configs.items():
        groups.setdefault((job.symbol, id(config)), []).append(_JobState(job, config))
    return [_Series(jobs) for jobs in groups.values()]
