"""The jobs of a run on workers: results as they come, while the caller registers those before."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

from trainer.config import TrainConfig
from trainer.job import Job, JobResult
from trainer.jobs.schedule import TrainingSchedule
from trainer.jobs.steps import FinishedJob
from trainer.jobs.worker_pool import OnJobProgress, SchedulerLostError, WorkerPool

#: Results that wait for the caller, beyond which no further symbol is begun.
_MOST_WAITING = 4


def run_jobs(
    configs: Mapping[Job, TrainConfig],
    pool: WorkerPool,
    workspace: Path,
    on_progress: OnJobProgress,
) -> Iterator[JobResult]:
    """Run all jobs and yield each result as it comes.

    Parameters
    ----------
    configs : mapping of Job to TrainConfig
        Settings of each job.
    pool : WorkerPool
        It is closed when the last result comes.
    workspace : pathlib.Path
        Folder for the files of the models, with one sub-folder for each job.
    on_progress : callable
        Called with name of the job, phase, units that are done, units in total.

    Yields
    ------
    JobResult
        One for every job, in the order in which the jobs end.

    Raises
    ------
    TrainerError
        If there is no worker.
    """
    work = _Work(configs, pool, workspace, on_progress)
    # A daemon: a caller that is stopped must not wait for tasks.
    thread = Thread(target=work.run, name="barwright-jobs", daemon=True)
    thread.start()
    try:
        for number in range(len(configs)):
            result = work.results.get()
            if isinstance(result, BaseException):
                raise result
            if number == len(configs) - 1:
                thread.join()
                # The workers end while the last result is logged and verified.
                pool.close_early()
            yield result
    finally:
        work.stopped.set()


class _Work:
    """The work on all jobs, in a thread of its own.

    Attributes
    ----------
    results : queue.Queue
        Results of jobs as they end, or the error that ended the work.
    stopped : threading.Event
        Set by the caller if it wants no further result.
    """

    def __init__(
        self,
        configs: Mapping[Job, TrainConfig],
        pool: WorkerPool,
        workspace: Path,
        on_progress: OnJobProgress,
    ) -> None:
        self.results: queue.Queue[JobResult | BaseException] = queue.Queue()
        self.stopped = Event()
        self._left, self._pool, self._workspace = dict(configs), pool, workspace
        self._on_progress = on_progress

    def run(self) -> None:
        """Work until every job has a result."""
        try:
            while self._left and not self.stopped.is_set():
                try:
                    self._run_once()
                except SchedulerLostError:
                    # Jobs begin again; their fits are read from the fit cache.
                    self._pool.reconnect()
        except BaseException as error:
            self.results.put(error)

    def _run_once(self) -> None:
        schedule = TrainingSchedule(
            self._left,
            on_progress=self._on_progress,
            on_result=self._have_result,
            may_open=lambda: self.results.qsize() < _MOST_WAITING,
        )

        def on_worker_progress(name: str, phase: str, done: int, total: int) -> None:
            # A worker knows its own fit only.
            counts = schedule.count(name) if phase.startswith("fits") else (done, total)
            self._on_progress(name, phase, *counts)

        for end in self._pool.each(schedule, on_worker_progress):
            schedule.accept(end)
            if self.stopped.is_set():
                return

    def _have_result(self, result: JobResult, finished: FinishedJob | None) -> None:
        trained = None
        if finished is not None:
            trained = finished.unpacked(self._workspace / result.job.name)
        del self._left[result.job]
        self.results.put(replace(result, trained=trained))
