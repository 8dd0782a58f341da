"""Jobs on local worker processes: results as they come, and a dead worker fails one job only."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from multiprocessing import resource_tracker
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, NamedTuple, Self

import dask
from distributed import Client, Future, LocalCluster, WorkerPlugin, as_completed, get_worker
from distributed.core import Status
from distributed.gc import disable_gc_diagnosis
from distributed.scheduler import KilledWorker
from distributed.security import Security

import adapters
from trainer.config import TrainConfig
from trainer.errors import TrainerError
from trainer.job import Job, JobResult
from trainer.jobs.run_job import run_job

_TOPIC = "barwright-progress"
_START_SECONDS = 120
#: Seconds between checks for workers that died while they started: Dask does not report these.
_CHECK_SECONDS = 2
#: Progress of all jobs: (name of the job, phase, done, total).
OnJobProgress = Callable[[str, str, int, int], None]
#: One thread per fit: then results do not depend on the number of workers.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_DASK_SETTINGS = {
    # A job whose worker died is not repeated: what killed one worker would kill the next one.
    "distributed.scheduler.allowed-failures": 0,
    "distributed.worker.daemon": False,
}


class Task(NamedTuple):
    """A call for a worker: ``function(*arguments, on_progress)``, with a name for its progress."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class Ended(NamedTuple):
    """The end of a task: its result, or the error of a worker that died with it."""

    task: Task
    result: Any
    error: BaseException | None


class WorkerPool:
    """Worker processes of one command; they start while the caller goes on.

    Parameters
    ----------
    config : TrainConfig
        ``max_workers`` is the largest number of processes; there are never more than jobs. While
        the workers start, they import the libraries of the models if these are known.
    at_once : int, default 1
        Tasks of one job that run at the same time.
    """

    def __init__(self, config: TrainConfig, at_once: int = 1) -> None:
        self._config = config
        tasks = len(config.symbols) * len(config.models) * at_once
        self._n_workers = min(config.max_workers, tasks)
        self._open = ExitStack()
        self._closing: Thread | None = None

    def __enter__(self) -> Self:
        for variable in _THREAD_VARIABLES:
            os.environ.setdefault(variable, "1")
        _silence_connections()
        with ExitStack() as opening:
            opening.enter_context(dask.config.set(_DASK_SETTINGS))
            self._cluster = _empty_cluster()
            # Callbacks, not contexts: a context must be left by the thread that entered it.
            opening.callback(self._cluster.close)
            # The diagnosis logs from within the garbage collector, where a Ctrl-C that arrives at
            # that moment is lost.
            disable_gc_diagnosis(force=True)
            self._client = Client(self._cluster)
            opening.callback(self._client.close)
            self._client.register_plugin(_Libraries(self._config.preloaded_models))
            _block_interrupts(self._client)
            self._cluster.scale(self._n_workers)
            self._open = opening.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._kill()
        if self._closing is not None:
            self._closing.join()
        self._open.close()

    def _kill(self) -> None:
        """End the workers without waiting for their jobs."""
        for nanny in list(self._cluster.workers.values()):
            nanny.auto_restart = False
        for process in multiprocessing.active_children():
            process.kill()

    def each(self, waiting: deque[Task], on_progress: OnJobProgress) -> Iterator[Ended]:
        """Run tasks on the workers and yield the end of each as it comes.

        Parameters
        ----------
        waiting : collections.deque of Task
            The caller may append tasks whenever it has received an end.
        on_progress : callable
            Called with name of the task, phase, units that are done, units in total.

        Yields
        ------
        Ended
            In the order in which the tasks end. A worker that dies fails only its task.

        Raises
        ------
        TrainerError
            If no worker starts.
        """
        n_started = self._wait_for_workers()
        self._client.subscribe_topic(_TOPIC, lambda event: on_progress(*event[1]))
        running: dict[Future[Any], Task] = {}
        done = as_completed()
        while waiting or running:
            # Each worker has one task, and gets the next one at its end: a task that waits must
            # not fail with a worker on which it never ran.
            while waiting and len(running) < n_started:
                task = waiting.popleft()
                future = self._client.submit(_run_on_worker, task, pure=False)
                running[future] = task
                done.add(future)
            future = next(done)
            task, error = running.pop(future), future.exception()
            result = None if error is not None else future.result()
            future.release()
            yield Ended(task, result, error)

    def run(
        self,
        jobs: Sequence[Job],
        configs: Mapping[Job, TrainConfig],
        workspace: Path,
        on_progress: OnJobProgress,
    ) -> Iterator[JobResult]:
        """Run all jobs and yield each result as it comes.

        Parameters
        ----------
        jobs : sequence of Job
        configs : mapping of Job to TrainConfig
            Settings of each job.
        workspace : pathlib.Path
            Folder for the files of the models, with one sub-folder for each job.
        on_progress : callable
            Called with name of the job, phase, units that are done, units in total.

        Yields
        ------
        JobResult
            One for every job, in the order in which the jobs end. A worker that dies fails only
            its job.

        Raises
        ------
        TrainerError
            If no worker starts.
        """
        started = time.time()
        tasks = deque(
            Task(job.name, run_job, (job, configs[job], workspace / job.name)) for job in jobs
        )
        by_name = {job.name: job for job in jobs}
        for number, end in enumerate(self.each(tasks, on_progress), start=1):
            if number == len(jobs):
                # The workers end while the last result is logged and verified.
                self._closing = Thread(target=self._open.close)
                self._closing.start()
            if end.error is not None:
                yield _failed(by_name[end.task.name], started, end.error)
            else:
                yield end.result

    def _wait_for_workers(self) -> int:
        """Wait until every worker has started or died; return how many have started."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            lost = sum(
                nanny.status in (Status.failed, Status.closing, Status.closed)
                for nanny in self._cluster.workers.values()
            )
            wanted = self._n_workers - lost
            try:
                if wanted:
                    # Wait for all of them: otherwise the first one gets several jobs.
                    self._client.wait_for_workers(wanted, timeout=_CHECK_SECONDS)
                    return wanted
            except TimeoutError:
                if time.monotonic() < deadline:
                    continue
            raise TrainerError(
                f"{self._n_workers} worker process(es) did not start: "
                + (f"{lost} died" if lost else f"not within {_START_SECONDS} s")
                + "; free memory or lower --max-workers, then run again"
            )


def _empty_cluster() -> LocalCluster:
    """Start a scheduler without workers."""
    return LocalCluster(
        n_workers=0,
        threads_per_worker=1,
        processes=True,
        host="tls://127.0.0.1",
        # Without it, every user of the machine could send code to the workers.
        security=Security.temporary(),
        # Without a dashboard, too, its server listens: on this machine only, on any free port.
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": False},
        memory_limit=0,
    )


def _block_interrupts(client: Client) -> None:
    """Block Ctrl-C in the workers: it reaches the whole process group, and the command handles it.

    Processes inherit the signals that are blocked in the thread that starts them. The thread of the
    scheduler starts the workers.
    """
    # Its start would unblock the signal, so the tracker starts first.
    resource_tracker.ensure_running()
    client.run_on_scheduler(signal.pthread_sigmask, signal.SIG_BLOCK, [signal.SIGINT])


def _silence_connections() -> None:
    """Leave out what the libraries of the cluster print when a connection ends, as at its end."""
    for library in ("distributed", "tornado.application"):
        logging.getLogger(library).setLevel(logging.CRITICAL)


class _Libraries(WorkerPlugin):
    """Prepares a worker: a quiet log, and the libraries of models before the first job comes."""

    def __init__(self, models: Sequence[str]) -> None:
        self._models = models

    def setup(self, worker: object) -> None:
        _silence_connections()
        for model in self._models:
            # The job that needs the model reports why it cannot be imported.
            with suppress(Exception):
                adapters.find(model)


def _run_on_worker(task: Task) -> Any:
    worker = get_worker()

    def on_progress(phase: str, done: int, total: int) -> None:
        worker.log_event(_TOPIC, (task.name, phase, done, total))

    return task.function(*task.arguments, on_progress)


def death_text(error: BaseException) -> str:
    """Return why a task ended without a result of its own."""
    if isinstance(error, KilledWorker):
        return (
            "its worker process died (killed, or out of memory); free memory or lower "
            "--max-workers, then run again"
        )
    return f"{type(error).__name__}: {error}"


def _failed(job: Job, started: float, error: BaseException) -> JobResult:
    """Return the result of a job that did not return one itself."""
    return JobResult(job, started, time.time(), error=death_text(error), details=repr(error))
