"""Tasks on worker processes: one thread each, progress as it happens, a death fails one task."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import dask
from distributed import Client, Future, LocalCluster, WorkerPlugin, as_completed, get_worker
from distributed.scheduler import KilledWorker
from distributed.security import Security

import adapters
from trainer.config import TrainConfig
from trainer.errors import TrainerError
from trainer.task import Outcome, Task, run_task

_TOPIC = "barwright-progress"
_START_SECONDS = 120
#: Told of progress: (task name, phase, done, total).
Listener = Callable[[str, str, int, int], None]
#: One thread a fit: what makes results equal whatever the number of workers (METHOD).
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Engine:
    """Worker processes of one run; they start, libraries and all, while the caller goes on.

    Parameters
    ----------
    config : TrainConfig
        ``max_workers`` processes at most, never more than tasks; its models are imported by the
        workers while they start.
    """

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self._n_workers = min(config.max_workers, len(config.symbols) * len(config.models))
        self._open = ExitStack()

    def __enter__(self) -> Self:
        for variable in _THREAD_VARIABLES:
            os.environ.setdefault(variable, "1")
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        settings = {
            # A task whose worker died is not tried again: what killed it would kill the next one.
            "distributed.scheduler.allowed-failures": 0,
            "distributed.worker.daemon": False,
        }
        with ExitStack() as opening:
            opening.enter_context(dask.config.set(settings))
            cluster = opening.enter_context(
                LocalCluster(
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
            )
            self._client = opening.enter_context(Client(cluster))
            self._client.register_plugin(_Libraries(self._config.models))
            cluster.scale(self._n_workers)
            self._open = opening.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

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
            If the workers do not start.
        """
        try:
            # All of them: tasks would pile up on the first one.
            self._client.wait_for_workers(self._n_workers, timeout=_START_SECONDS)
        except TimeoutError as error:
            raise TrainerError(
                f"{self._n_workers} worker processes did not start within {_START_SECONDS} s; "
                "free memory or lower --max-workers, then run again"
            ) from error
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
        done = as_completed([submit() for _ in range(min(self._n_workers, len(tasks)))])
        for future in done:
            failure = future.exception()
            yield future.result() if failure is None else _died(running[future], started, failure)
            future.release()
            if waiting:
                done.add(submit())


class _Libraries(WorkerPlugin):
    """Imports what tasks need before the first one comes."""

    def __init__(self, models: Sequence[str]) -> None:
        self._models = models

    def setup(self, worker: object) -> None:
        # Ctrl-C reaches the whole group; the command ends its workers, quietly.
        with suppress(ValueError):
            signal.signal(signal.SIGINT, signal.SIG_IGN)
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
