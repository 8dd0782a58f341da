"""A server on a free port of loopback, for tests, benchmarks and screenshots."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests


@contextmanager
def serve(
    command: Sequence[str],
    environment: Mapping[str, str],
    health: str,
    log: Path,
    *,
    patience: float = 90,
) -> Iterator[str]:
    """Start a server, wait until it answers, and at the end stop it with all its children.

    Parameters
    ----------
    command : sequence of str
        Without host and port, which are added as ``--host`` and ``--port``.
    environment : mapping of str to str
    health : str
        Path that answers once the server is ready.
    log : pathlib.Path
        File for what it prints: a pipe that nobody reads fills up, and the server waits for ever.
    patience : float, default 90
        Longest wait for the server, in seconds.

    Yields
    ------
    str
        Its address.

    Raises
    ------
    RuntimeError
        If it ended or did not answer in time; the text has what it printed.
    """
    (port,) = free_ports(1)
    with log.open("wb") as printed:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            # As the Makefile and docker-compose.yml start theirs.
            env={**environment, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_it_answers(address + health, process, log, patience)
        yield address
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 15)
        process.wait(timeout=30)


def wait_until_it_answers(
    address: str, process: subprocess.Popen[bytes], log: Path, patience: float
) -> None:
    """Return once a server answers.

    Raises
    ------
    RuntimeError
        If it ended or did not answer in time; the text has what it printed.
    """
    deadline = time.monotonic() + patience
    while process.poll() is None and time.monotonic() < deadline:
        try:
            requests.get(address, timeout=2).raise_for_status()
            return
        except requests.RequestException:
            time.sleep(0.1)
    raise RuntimeError(f"the server at {address} did not start: {log.read_text()}")


def free_ports(count: int, *, partner: int = 0) -> list[int]:
    """Return free ports of loopback, below those that the system gives to clients.

    Parameters
    ----------
    count : int
    partner : int, default 0
        Distance to a second port that must be free, too, such as that of a server's gRPC.
    """
    chosen: set[int] = set()
    while len(chosen) < count:
        port = random.SystemRandom().randrange(10_000, 22_000)
        if is_free(port) and is_free(port + partner):
            chosen.add(port)
    return sorted(chosen)


def is_free(port: int) -> bool:
    """Return whether no server of this machine listens at a port of loopback."""
    with socket.socket() as probe:
        # Connections that have ended keep a port for a minute, but a new server may have it.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
