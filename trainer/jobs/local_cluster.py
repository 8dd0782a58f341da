"""Tasks on worker processes: one thread each, progress as it happens, a death fails one task."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from multiprocessing import resource_tracker
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

import dask
from distributed import Client, Future, LocalCluster, WorkerPlugin, as_completed, get_worker
from distributed.core import Status
from distributed.gc import disable_gc_diagnosis
from distributed.scheduler import KilledWorker
from distributed.security import Security

import adapters
from trainer.config import TrainConfig
from trainer.errors import TrainerError
from trainer.job import Outcome, Task
from trainer.jobs.run_job import run_task

_TOPIC = "barwright-progress"
_START_SECONDS = 120
#: Between looks at whether a worker died while it started, which nobody tells.
_LOOK_SECONDS = 2
#: Told of progress: (task name, phase, done, total).
Listener = Callable[[str, str, int, int], None]
#: One thread a fit: what makes results equal whatever the number of workers (METHOD).
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Engine:
    """Worker processes of one run; they start, libraries and all, while the caller goes on.

    Parameters
    ----------
    config : TrainConfig
        ``max_workers`` processes at most, never more than tasks; what surely is needed is imported
        by the workers while they start.
    """

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self._n_workers = min(config.max_workers, len(config.symbols) * len(config.models))
        self._open = ExitStack()
        self._closing: Thread | None = None

    def __enter__(self) -> Self:
        for variable in _THREAD_VARIABLES:
            os.environ.setdefault(variable, "1")
        for library in ("distributed", "tornado.application"):
            logging.getLogger(library).setLevel(logging.CRITICAL)
        settings = {
            # A task whose worker died is not tried again: what killed it would kill the next one.
            "distributed.scheduler.allowed-failures": 0,
            "distributed.worker.daemon": False,
        }
        with ExitStack() as opening:
            opening.enter_context(dask.config.set(settings))
            self._cluster = LocalCluster(
                n_workers=0,
                threads_per_worker=1,
                processes=True,
                host="tls://127.0.0.1",
                # Anyone on the machine could otherwise hand our workers code to run.
                security=Security.temporary(),
                # No dashboard; what is left of its server stays here, on any free port.
                dashboard_address="127.0.0.1:0",
                worker_dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                memory_limit=0,
            )
            # Not as contexts: those must be left by the thread that entered them.
            opening.callback(self._cluster.close)
            # It logs from within the collector, where a Ctrl-C that comes just then is swallowed.
            disable_gc_diagnosis(force=True)
            self._client = Client(self._cluster)
            opening.callback(self._client.close)
            self._client.register_plugin(_Libraries(self._config.surely_needed))
            # Ctrl-C reaches the whole group, and is for us: what the thread of the scheduler
            # starts inherits that it is blocked there. The tracker's start would unblock it.
            resource_tracker.ensure_running()
            self._client.run_on_scheduler(signal.pthread_sigmask, signal.SIG_BLOCK, [signal.SIGINT])
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
        """End the workers without waiting for what they are doing."""
        for nanny in list(self._cluster.workers.values()):
            nanny.auto_restart = False
        for process in multiprocessing.active_children():
            process.kill()

    def run(self, tasks: Sequence[Task], workspace: Path, listen: Listener) -> Iterator[Outcome]:
        """Train all tasks; yield each outcome as it comes.

        Parameters
        ----------
        tasks : sequence of Task
        workspace : pathlib.Path
            Folder for the models' files, one sub-folder a task.
        listen : callable
            Progress.

        Yields
        ------
        Outcome
            One for every task, in the order they end. A worker that dies fails its task only.

        Raises
        ------
        TrainerError
            If no worker starts.
        """
        started_workers = self._wait_for_workers()
        self._client.subscribe_topic(_TOPIC, lambda event: listen(*event[1]))
        waiting = list(reversed(tasks))
        running: dict[Future[Outcome], Task] = {}

        def submit() -> Future[Outcome]:
            task = waiting.pop()
            folder = workspace / task.name
            future: Future[Outcome] = self._client.submit(
                _work, task, self._config, folder, pure=False
            )
            running[future] = task
            return future

        started = time.time()
        # One task a worker, the next when one is done: a waiting task must not die with a worker
        # that it never ran on.
        done = as_completed([submit() for _ in range(min(started_workers, len(tasks)))])
        for number, future in enumerate(done, start=1):
            failure = future.exception()
            outcome = (
                future.result() if failure is None else _died(running[future], started, failure)
            )
            future.release()
            if waiting:
                done.add(submit())
            elif number == len(tasks):
                # The workers end while the last outcome is logged and verified.
                self._closing = Thread(target=self._open.close)
                self._closing.start()
            yield outcome

    def _wait_for_workers(self) -> int:
        """Wait until every worker has started or died; how many have started."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            lost = sum(
                nanny.status in (Status.failed, Status.closing, Status.closed)
                for nanny in self._cluster.workers.values()
            )
            wanted = self._n_workers - lost
            try:
                if wanted:
                    # All of them: tasks would pile up on the first one.
                    self._client.wait_for_workers(wanted, timeout=_LOOK_SECONDS)
                    return wanted
            except TimeoutError:
                if time.monotonic() < deadline:
                    continue
            raise TrainerError(
                f"{self._n_workers} worker process(es) did not start: "
                + (f"{lost} died" if lost else f"not within {_START_SECONDS} s")
                + "; free memory or lower --max-workers, then run again"
            )


class _Libraries(WorkerPlugin):
    """Imports what tasks need before the first one comes."""

    def __init__(self, models: Sequence[str]) -> None:
        self._models = models

    def setup(self, worker: object) -> None:
        for model in self._models:
            # What does not import is said by the task that needs it.
            with suppress(Exception):
                adapters.find(model)


def _work(task: Task, config: TrainConfig, folder: Path) -> Outcome:
    worker = get_worker()

    def report(phase: str, done: int, total: int) -> None:
        worker.log_event(_TOPIC, (task.name, phase, done, total))

    return run_task(task, config, folder, report)


def _died(task: Task, started: float, error: BaseException) -> Outcome:
    reason = (
        "its worker process died (killed, or out of memory); free memory or lower --max-workers, "
        "then run again"
        if isinstance(error, KilledWorker)
        else f"{type(error).__name__}: {error}"
    )
    return Outcome(task, started, time.time(), error=reason, details=repr(error))
