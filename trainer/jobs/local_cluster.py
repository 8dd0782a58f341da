"""Worker processes on this machine, which end with the command."""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import ExitStack
from multiprocessing import resource_tracker

import dask
from distributed import Client, LocalCluster
from distributed.core import Status
from distributed.security import Security

from trainer.errors import TrainerError
from trainer.jobs.workers import Workers
from trainer.processes import THREAD_VARIABLES

_DASK_SETTINGS = {
    # The pool counts deaths itself, and learns of each at once.
    "distributed.scheduler.allowed-failures": 0,
    "distributed.worker.daemon": False,
    # Nobody looks at these statistics, which take processor time from the fits.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "30s",
    "distributed.admin.tick.interval": "1s",
    # It would remove copies of a dataset that the next fit needs again.
    "distributed.scheduler.active-memory-manager.start": False,
}


class LocalWorkers(Workers):
    """Worker processes of one command; they start while the caller goes on.

    Parameters
    ----------
    count : int
        Number of processes.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def _connect_in(self, opening: ExitStack) -> None:
        for variable in THREAD_VARIABLES:
            # One thread per fit: then results do not depend on the number of workers.
            os.environ.setdefault(variable, "1")
        opening.enter_context(dask.config.set(_DASK_SETTINGS))
        self._cluster = _empty_cluster()
        # Callbacks, not contexts: a context must be left by the thread that entered it.
        opening.callback(self._cluster.close)
        # Results need not pass through the scheduler, which would encrypt them once more.
        self.client = Client(self._cluster, direct_to_workers=True)
        opening.callback(self.client.close)
        _block_interrupts(self.client)

    def start(self) -> None:
        """Start the processes, without waiting for them."""
        self._cluster.scale(self._count)

    @property
    def all_lost(self) -> str:
        """Why there will be no worker; empty unless all processes ended and do not come back."""
        lost = sum(
            nanny.status in (Status.failed, Status.closing, Status.closed)
            for nanny in self._cluster.workers.values()
        )
        if lost < self._count:
            return ""
        return f"{self._count} worker process(es) did not start: {lost} died"

    def reconnect(self) -> None:
        """Raise an error: this scheduler is a part of the command, and does not come back."""
        raise TrainerError("the scheduler of this command ended; run it again")

    def kill(self) -> None:
        """End the processes without waiting for their tasks."""
        for nanny in list(self._cluster.workers.values()):
            nanny.auto_restart = False
        for process in multiprocessing.active_children():
            process.kill()


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
