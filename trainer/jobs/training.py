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
    results: queue.Queue[JobResult | BaseException] = queue.Queue()
    stopped, left = Event(), dict(configs)

    def on_result(result: JobResult, finished: FinishedJob | None) -> None:
        trained = None
        if finished is not None:
            trained = finished.unpacked(workspace / result.job.name)
        del left[result.job]
        results.put(replace(result, trained=trained))

    def work_on_all() -> None:
        schedule = TrainingSchedule(
            left,
            on_progress=on_progress,
            on_result=on_result,
            may_open=lambda: results.qsize() < _MOST_WAITING,
        )

        def on_worker_progress(name: str, phase: str, done: int, total: int) -> None:
            # A worker knows its own fit only.
            counts = schedule.count(name) if phase.startswith("fits") else (done, total)
            on_progress(name, phase, *counts)

        for end in pool.each(schedule, on_worker_progress):
            schedule.accept(end)
            if stopped.is_set():
                return

    def work() -> None:
        try:
            while left and not stopped.is_set():
                try:
                    work_on_all()
                except SchedulerLostError:
                    # Jobs begin again; their fits are read from the fit cache.
                    pool.reconnect()
        except BaseException as error:
            results.put(error)

    thread = Thread(target=work, name="barwright-jobs", daemon=True)
    thread.start()
    try:
        for number in range(len(configs)):
            result = results.get()
            if isinstance(result, BaseException):
                raise result
            if number == len(configs) - 1:
                thread.join()
                # The workers end while the last result is logged and verified.
                pool.close_early()
            yield result
    finally:
        stopped.set()
