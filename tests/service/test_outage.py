"""A training goes on when the MLflow server is down, or PostgreSQL restarts, in its middle."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from mlflow.exceptions import MlflowException

from tests.service.conftest import QUICK, Workspace

ROOT = Path(__file__).resolve().parents[2]


def start_server(folder, port: int) -> subprocess.Popen[bytes]:
    database = f"sqlite:///{folder}/mlflow.db"
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database, "--workers", "1",
        "--artifacts-destination", str(folder / "files"), "--port", str(port),
        "--host", "127.0.0.1",
    ]  # fmt: skip
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("ab") as log:
        server = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            requests.get(f"http://127.0.0.1:{port}/health", timeout=2).raise_for_status()
            return server
        except requests.RequestException:
            time.sleep(0.2)
    raise TimeoutError((folder / "server.log").read_text())


def kill(server: subprocess.Popen[bytes]) -> None:
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def wait_for_a_candidate(process: subprocess.Popen[str], workspace: Workspace) -> None:
    """Wait until the first candidate is being logged: its run is there, its version is not."""
    while process.poll() is None:
        # The tables may not be there yet.
        with suppress(MlflowException):
            if any(run.data.tags["kind"] == "candidate" for run in workspace.runs()):
                return
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.server
def test_a_server_that_is_down_costs_time_only(workspace, two_symbols) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    place = Workspace(workspace.folder, f"http://127.0.0.1:{port}")
    server = start_server(place.folder, port)
    try:
        process = place.start(
            "-m", "trainer", "train", "--symbols", "FIRST,SECOND", "--source", str(two_symbols),
            *QUICK,
        )  # fmt: skip
        wait_for_a_candidate(process, workspace)
        kill(server)
        time.sleep(30)
        assert process.poll() is None, "it must wait"
        server = start_server(place.folder, port)
        out, err = process.communicate(timeout=240)
    finally:
        kill(server)
    assert process.returncode == 0, out + err
    check_that_nothing_is_left_or_twice(workspace)


def check_that_nothing_is_left_or_twice(workspace) -> None:
    for symbol in ("FIRST", "SECOND"):
        assert workspace.versions(f"lightgbm-{symbol}") == ["1"]
    finished = [
        run.data.tags["symbol"]
        for run in workspace.runs()
        if run.info.status == "FINISHED" and run.data.tags["kind"] == "candidate"
    ]
    assert sorted(finished) == ["FIRST", "SECOND"]
    assert "RUNNING" not in {run.info.status for run in workspace.runs()}
    # What the outage broke is no trial.
    trials = [run.data.metrics.get("wf_trials") for run in workspace.runs()]
    assert list(filter(None, trials)) == [1.0, 1.0]


@pytest.mark.slow
@pytest.mark.postgres
def test_a_database_that_restarts_costs_time_only(workspace, two_symbols) -> None:
    script, folder = str(ROOT / "scripts" / "postgres.sh"), str(workspace.folder / "postgres")
    started = subprocess.run([script, "start", folder], capture_output=True, text=True, check=False)
    assert started.returncode == 0, started.stderr
    place = Workspace(workspace.folder, started.stdout.strip())
    try:
        # It makes the tables: this process and the command must not do so at once.
        assert place.runs() == []
        process = place.start(
            "-m", "trainer", "train", "--symbols", "FIRST,SECOND", "--source", str(two_symbols),
            *QUICK,
        )  # fmt: skip
        wait_for_a_candidate(process, place)
        for _ in range(2):
            subprocess.run([script, "restart", folder], check=True)
            assert process.poll() is None, "it must be at work when the server restarts"
            time.sleep(1)
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, out + err
        check_that_nothing_is_left_or_twice(place)
    finally:
        subprocess.run([script, "stop", folder], check=True)
