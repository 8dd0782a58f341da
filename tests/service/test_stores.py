"""The same run against the stores people have: an MLflow server, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_train_and_trade_through_a_server(
    tmp_path, make_workspace, serve, store: str, request
) -> None:
    tools = Path(sys.executable).parent
    backend = (
        f"sqlite:///{tmp_path}/server.db"
        if store == "sqlite"
        else request.getfixturevalue("postgres")
    )
    address = serve(
        [
            str(tools / "mlflow"), "server", "--backend-store-uri", backend,
            "--artifacts-destination", str(tmp_path / "artifacts"), "--workers", "1",
        ],
        {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        "/health",
    )  # fmt: skip
    place = make_workspace(tmp_path, address)
    done = place.train_quickly("EURUSD")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{address}/#/experiments/" in done.stdout
    assert place.versions("lightgbm-EURUSD") == ["1"]
    traded = place.trade("--model", "models:/lightgbm-EURUSD@latest", "--source", "sample")
    assert traded.returncode == 0, traded.stderr
    assert "version 1" in traded.stdout


@pytest.mark.slow
@pytest.mark.postgres
def test_train_straight_into_postgresql(tmp_path, make_workspace, postgres: str) -> None:
    place = make_workspace(tmp_path, postgres.rsplit("/", 1)[0] + "/template1")
    done = place.train_quickly("EURUSD")
    assert done.returncode == 0, done.stdout + done.stderr
    assert place.versions("lightgbm-EURUSD") == ["1"]
