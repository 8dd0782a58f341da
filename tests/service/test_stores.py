"""The same run against the other stores people have: PostgreSQL, by itself and behind a server."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.postgres
def test_train_and_trade_through_a_server(
    tmp_path, make_workspace, serve, copied_postgres: str
) -> None:
    """With PostgreSQL behind it; test_browser does so with SQLite."""
    tools = Path(sys.executable).parent
    address = serve(
        [
            str(tools / "mlflow"), "server", "--backend-store-uri", copied_postgres,
            "--artifacts-destination", str(tmp_path / "artifacts"), "--workers", "1",
        ],
        {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        "/health",
    )  # fmt: skip
    place = make_workspace(tmp_path, address)
    done = place.train_quickly()
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{address}/#/experiments/" in done.stdout
    assert place.versions("lightgbm-EURUSD") == ["1"]
    traded = place.trade("--model", "models:/lightgbm-EURUSD@latest", "--source", "sample")
    assert traded.returncode == 0, traded.stderr
    assert "version 1" in traded.stdout


@pytest.mark.slow
@pytest.mark.postgres
def test_train_straight_into_postgresql(tmp_path, make_workspace, new_postgres: str) -> None:
    place = make_workspace(tmp_path, new_postgres)
    done = place.train_quickly()
    assert done.returncode == 0, done.stdout + done.stderr
    assert place.versions("lightgbm-EURUSD") == ["1"]
