"""Tasks on workers: one at a time each, results as they come, a dead worker costs its task only."""

from __future__ import annotations

import functools
import gc
import logging
import os
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from importlib import import_module
from threading import Thread
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self
from uuid import uuid4

import dask
from distributed import Future, WorkerPlugin, get_worker
from distributed.gc import disable_gc_diagnosis
from distributed.scheduler import KilledWorker
from threadpoolctl import threadpool_limits

import adapters
from trainer.config import TrainConfig
from trainer.errors import TrainerError, error_text
from trainer.jobs.local_cluster import LocalWorkers
from trainer.jobs.remote_cluster import RemoteWorkers
from trainer.jobs.workers import Workers
from trainer.processes import THREAD_VARIABLES
from trainer.startup import start_quickly

#: Seconds between looks at which workers there are.
_LOOK_SECONDS = 0.5
#: Times that a task may end with its worker. What killed two workers would kill the next one.
_DEATHS = 2
#: What a worker needs to finish a job: all others wait for the last job.
_AT_THE_END = ("arch.bootstrap", "trainer.jobs.steps", "trainer.report.figures")
#: Bars and fits travel with their tasks.
_LARGE_MESSAGES = {
    "distributed.admin.large-graph-warning-threshold": "1GB",
    # Each connection keeps its last messages, 1,000 by default: memory would grow with the symbols.
    "distributed.admin.low-level-log-length": 10,
}
#: Progress of all jobs: (name of the job, phase, done, total).
OnJobProgress = Callable[[str, str, int, int], None]


@dataclass(frozen=True, eq=False)
class Task:
    """A call for a worker: ``function(*arguments, on_progress)``.

    Attributes
    ----------
    name : str
        Name for its progress.
    function : callable
    arguments : tuple
        A `distributed.Future` among them is replaced by its result.
    stays : bool
        Whether the result stays in the memory of the worker, and its end has a future in its place.
    here : bool
        Whether a thread of this process runs it, with nothing for its progress.
    then : callable, optional
        For the caller: what follows from its result. It does not travel.
    owners : tuple
        For the caller: what fails if it fails.
    deaths : int
        Workers that ended while they ran it.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    stays: bool = False
    here: bool = False
    then: Callable[[Any], None] | None = None
    owners: tuple[Any, ...] = ()
    deaths: int = 0


class SchedulerLostError(TrainerError):
    """The connection to the scheduler broke, and with it all tasks and results on workers."""


class Ended(NamedTuple):
    """The end of a task: its result, or the error of a worker that died with it."""

    task: Task
    result: Any
    error: BaseException | None


class TaskSource(Protocol):
    """What gives tasks to the workers."""

    @property
    def more(self) -> bool:
        """Whether it has a task that it does not give now."""
        ...

    def take(self, n_workers: int) -> Task | None:
        """Return the next task for a worker that is free, or None; called after each end.

        Parameters
        ----------
        n_workers : int
            Workers that there are.
        """
        ...


class WorkerPool:
    """Workers of one command; they start while the caller goes on.

    Parameters
    ----------
    config : TrainConfig
        ``max_workers`` is the largest number of processes; there are never more than processors or
        tasks. While the workers start, they import the libraries of the models.
    n_tasks : int
        Tasks that can run at the same time at most.
    """

    def __init__(self, config: TrainConfig, n_tasks: int) -> None:
        self._config = config
        self._workers: Workers = (
            RemoteWorkers(config)
            if config.is_remote
            else LocalWorkers(min(config.max_workers, _processors(), n_tasks))
        )
        self._open = ExitStack()
        self._closing: Thread | None = None

    def __enter__(self) -> Self:
        _silence_connections()
        # The diagnosis logs from within the garbage collector, where a Ctrl-C that arrives at
        # that moment is lost.
        disable_gc_diagnosis(force=True)
        with ExitStack() as opening:
            opening.enter_context(dask.config.set(_LARGE_MESSAGES))
            opening.enter_context(self._workers)
            self._client = self._workers.client
            if not self._config.is_remote:
                self._client.register_plugin(_Libraries(self._config.models))
            self._workers.start()
            self._open = opening.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._workers.kill()
        if self._closing is not None:
            self._closing.join()
        self._open.close()

    def close_early(self) -> None:
        """Begin to end the workers, while the caller still works with their results."""
        self._closing = Thread(target=self._open.close)
        self._closing.start()

    def reconnect(self) -> None:
        """Connect to a scheduler again that was lost; wait for it as long as for workers.

        Raises
        ------
        TrainerError
            If it does not come back.
        """
        self._workers.reconnect()
        self._client = self._workers.client

    def each(self, tasks: TaskSource, on_progress: OnJobProgress) -> Iterator[Ended]:
        """Run tasks on the workers and yield the end of each as it comes.

        Parameters
        ----------
        tasks : TaskSource
        on_progress : callable
            Called with name of the task, phase, units that are done, units in total.

        Yields
        ------
        Ended
            In the order in which the tasks end. A task whose worker dies is run once more.

        Raises
        ------
        SchedulerLostError
            If the connection to the scheduler breaks.
        TrainerError
            If there is no worker.
        """
        # Others may use the same scheduler.
        topic = f"barwright-progress-{uuid4().hex}"
        self._client.subscribe_topic(topic, lambda event: on_progress(*event[1]))
        try:
            with _Run(self._client, self._workers, tasks, topic, self._config) as run:
                yield from run.ends()
        except Exception as error:
            if self._client.status != "running":
                raise _lost() from error
            raise
        finally:
            with suppress(Exception):  # the connection may be lost
                self._client.unsubscribe_topic(topic)


class _Run:
    """The tasks of one call of `WorkerPool.each`."""

    def __init__(
        self,
        client: Any,
        workers: Workers,
        tasks: TaskSource,
        topic: str,
        config: TrainConfig,
    ) -> None:
        self._client, self._workers, self._tasks, self._topic = client, workers, tasks, topic
        self._timeout = config.worker_timeout
        self._admitted: set[str] = set()
        self._ended: queue.Queue[Future[Any] | Ended] = queue.Queue()
        self._running: dict[Future[Any], tuple[Task, str]] = {}
        self._here: set[int] = set()
        self._again: list[Task] = []
        self._addresses: Sequence[str] = ()
        self._looked = -float("inf")
        self._alone_since = time.monotonic()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="barwright-reading")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def ends(self) -> Iterator[Ended]:
        """Yield the ends of all tasks."""
        # Tasks of this process begin while the workers start.
        if (first := self._next_task()) is not None:
            self._again.append(first)
        while True:
            self._look()
            more = self._start_tasks() or self._tasks.more
            if not more and not self._running and not self._here:
                return
            end = self._next_end()
            if end is not None:
                yield end

    def _look(self) -> None:
        """Look which workers there are."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS and self._addresses:
            return
        self._looked = now
        if self._client.status != "running":
            raise _lost()
        try:
            # `Client.scheduler_info` may return what the client itself stores every two seconds,
            # which is without any worker: their fits would be taken from them.
            known = self._client.sync(self._client.scheduler.identity, n_workers=-1)
        except OSError:
            return  # if the connection is lost, the next look sees it
        there = list(known["workers"])
        if new := [address for address in there if address not in self._admitted]:
            self._admitted.update(self._workers.admit(new))
        self._addresses = [address for address in there if address in self._admitted]
        if self._addresses:
            self._alone_since = now
            return
        why = self._workers.all_lost
        if why:
            raise TrainerError(f"{why}; free memory or lower --max-workers, then run again")
        if now - self._alone_since > self._timeout:
            raise TrainerError(
                f"no worker was there for {self._timeout} s; start workers, or raise "
                "--worker-timeout if they wait in a queue, then run again"
            )

    def _start_tasks(self) -> bool:
        """Give a task to each free worker; return whether a task may be left."""
        busy = {address for _, address in self._running.values()}
        for address in self._addresses:
            if address in busy:
                continue
            task = self._next_task()
            if task is None:
                return False
            future = self._client.submit(
                _run_on_worker,
                self._topic,
                task.name,
                task.function,
                *task.arguments,
                pure=False,
                # The pool itself gives each worker one task: a task that waits must not end with a
                # worker on which it never ran. A result that stays may be lost with its worker, and
                # is then made again by any other one.
                workers=None if task.stays else [address],
            )
            self._running[future] = (task, address)
            future.add_done_callback(self._ended.put)
        return True

    def _next_task(self) -> Task | None:
        """Return a task for a worker, after those of this process were started."""
        while True:
            task = (
                self._again.pop() if self._again else self._tasks.take(max(1, len(self._addresses)))
            )
            if task is None or not task.here:
                return task
            self._here.add(id(task))
            self._threads.submit(self._run_here, task)

    def _run_here(self, task: Task) -> None:
        try:
            end = Ended(task, task.function(*task.arguments), None)
        except Exception as error:
            end = Ended(task, None, error)
        self._ended.put(end)

    def _next_end(self) -> Ended | None:
        """Wait for the next end of a task; None if workers are to be looked at before."""
        try:
            got = self._ended.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            self._cancel_lost()
            return None
        if isinstance(got, Ended):
            self._here.discard(id(got.task))
            return got
        if got not in self._running:
            return None
        task, _ = self._running.pop(got)
        return self._end_of(task, got)

    def _end_of(self, task: Task, future: Future[Any]) -> Ended | None:
        if future.cancelled():
            raise _lost()
        error = future.exception()
        if isinstance(error, KilledWorker):
            self._addresses = ()  # the next task must not go to the address that is gone
            return self._died(task, error)
        if error is not None:
            return Ended(task, None, error)
        if task.stays:
            return Ended(task, future, None)
        result = future.result()
        future.release()
        return Ended(task, result, None)

    def _died(self, task: Task, error: BaseException) -> Ended | None:
        """Run a task once more whose worker died, or return its end."""
        task = replace(task, deaths=task.deaths + 1)
        if task.deaths >= _DEATHS:
            return Ended(task, None, error)
        self._again.append(task)
        return None

    def _cancel_lost(self) -> None:
        """Take tasks from workers that are gone, which no scheduler reports if it is not ours."""
        for future, (task, address) in list(self._running.items()):
            if address not in self._addresses and not future.done():
                del self._running[future]
                future.cancel()
                end = self._died(task, _GoneError(address))
                if end is not None:
                    self._ended.put(end)


def _lost() -> SchedulerLostError:
    return SchedulerLostError(
        "the connection to the scheduler broke; the same command goes on with the fits that are "
        "in the fit cache, and with the trials that have ended"
    )


class _GoneError(Exception):
    """A worker is no longer there."""


class _Libraries(WorkerPlugin):
    """Prepares a worker: a quiet log, and the libraries of models before the first job comes."""

    def __init__(self, models: Sequence[str]) -> None:
        self._models = models

    def setup(self, worker: object) -> None:
        _silence_connections()
        usual = gc.get_threshold()
        start_quickly()
        for model in self._models:
            # The job that needs the model reports why it cannot be imported.
            with suppress(Exception):
                adapters.find(model)
        for module in _AT_THE_END:
            import_module(module)
        # From here on the collector leaves out what was imported, so it may come often: figures
        # that were drawn are garbage that only it can free.
        gc.freeze()
        gc.set_threshold(*usual)

    def teardown(self, worker: object) -> None:
        # The collector would look through all objects of a process that ends: a second for nothing.
        gc.freeze()


def _run_on_worker(topic: str, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    _prepare_worker()
    worker = get_worker()

    def on_progress(phase: str, done: int, total: int) -> None:
        worker.log_event(topic, (name, phase, done, total))

    return function(*arguments, on_progress)


@functools.cache
def _prepare_worker() -> None:
    """Set one thread for each library: then results do not depend on the processors there are."""
    for variable in THREAD_VARIABLES:
        os.environ[variable] = "1"
    # Libraries that are loaded already do not read the variables again.
    threadpool_limits(1)


def death_text(error: BaseException) -> str:
    """Return why a task ended without a result of its own."""
    if isinstance(error, KilledWorker | _GoneError):
        return (
            "its worker process died twice (killed, or out of memory); free memory or lower "
            "--max-workers, then run again"
        )
    return error_text(error)


def _processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _silence_connections() -> None:
    """Leave out what the libraries of the cluster print when a connection ends, as at its end."""
    for library in ("distributed", "tornado.application"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
