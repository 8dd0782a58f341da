"""Identities of processes, by which a lock or a folder of an ended process is recognised."""

import psutil


def process_identity(pid: int) -> str:
    """Return the id and the start time of a process; the id alone is used again later."""
    return f"{pid}:{psutil.Process(pid).create_time():.2f}"


def is_alive(identity: str) -> bool:
    """Return whether the process of a `process_identity` of this machine still runs."""
    try:
        return process_identity(int(identity.partition(":")[0])) == identity
    except (ValueError, psutil.Error):
        return False
