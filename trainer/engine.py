"""Tasks on worker processes: one thread each, progress as it happens, a death fails one task."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import dask
from distributed import Client, LocalCluster, as_completed, get_worker
from distributed.scheduler import KilledWorker
from distributed.security import Security

from trainer.config import TrainConfig
from trainer.task import Outcome, Task, run_task

_TOPIC = "barwright-progress"
#: Told of progress: (task name, phase, done, total).
Listener = Callable[[str, str, int, int], None]
#: One thread a fit: what makes results equal whatever the number of workers (METHOD).
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def run_tasks(
    tasks: Sequence[Task], config: TrainConfig, workspace: Path, listen: Listener
) -> Iterator[Outcome]:
    """Train all tasks on an embedded cluster; yield each outcome as it comes.

    Parameters
    ----------
    tasks : sequence of Task
    config : TrainConfig
        ``max_workers`` processes at most, never more than tasks.
    workspace : pathlib.Path
        Folder for the models' files, one sub-folder a task.
    listen : callable
        Progress.

    Yields
    ------
    Outcome
        One for every task, in the order they end. A worker that dies fails its task only.
    """
    n_workers = min(config.max_workers, len(tasks))
    for variable in _THREAD_VARIABLES:
        os.environ.setdefault(variable, "1")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    settings = {
        # A task whose worker died is not tried again: what killed it would kill the next one.
        "distributed.scheduler.allowed-failures": 0,
        # Hand out one task a worker: a waiting one must not die with a worker it never ran on.
        "distributed.scheduler.worker-saturation": 1.0,
        "distributed.worker.daemon": False,
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=True,
            host="tls://127.0.0.1",
            # Anyone on the machine could otherwise hand our workers code to run.
            security=Security.temporary(),
            # No dashboard; what is left of its server stays on this machine, on any free port.
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            memory_limit=0,
        ) as cluster,
        Client(cluster) as client,
    ):
        client.subscribe_topic(_TOPIC, lambda event: listen(*event[1]))
        futures = {
            client.submit(_work, task, config, workspace / task.name, pure=False): task
            for task in tasks
        }
        started = time.time()
        for future in as_completed(futures):
            error = future.exception()
            yield (future.result() if error is None else _died(futures[future], started, error))
            future.release()


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
