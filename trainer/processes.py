"""Identifies processes, so that a lock or a folder of a dead process is recognised."""

import psutil


def process_identity(pid: int) -> str:
    """Process id and start time: ids are used again, start times are not."""
    return f"{pid}:{psutil.Process(pid).create_time():.2f}"


def is_alive(identity: str) -> bool:
    """Whether the process of a `process_identity` of this machine still runs."""
    try:
        return process_identity(int(identity.partition(":")[0])) == identity
    except (ValueError, psutil.Error):
        return False
