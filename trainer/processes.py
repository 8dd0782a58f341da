"""Processes: identities by which ended ones are recognised, and variables that set threads."""

import psutil

#: Environment variables of the libraries that compute in threads.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def process_identity(pid: int) -> str:
    """Return the id and the start time of a process; the id alone is used again later."""
    return f"{pid}:{psutil.Process(pid).create_time():.2f}"


def is_alive(identity: str) -> bool:
    """Return whether the process of a `process_identity` of this machine still runs."""
    try:
        return process_identity(int(identity.partition(":")[0])) == identity
    except (ValueError, psutil.Error):
        return False
