"""The command orphans: exit status, JSON, where the database is taken from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.app import cli


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["orphans", *arguments])


def test_a_version_without_files_is_status_1(
    registry_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = registry_store.client
    client.create_registered_model("m-X")
    client.create_model_version("m-X", str(registry_store.folder / "gone"))
    done = run()
    assert done.exit_code == 1
    assert "m-X version 1" in done.stdout
    assert "1 version: 1 without files" in done.stdout
    report = json.loads(run("--json").stdout)
    assert [version["number"] for version in report["broken"]] == ["1"]
    client.delete_model_version("m-X", "1")
    assert run().exit_code == 0
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "http://127.0.0.1:5000")
    done = run()
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: `--backend-store-uri` must be the database of MLflow")
    assert run("--backend-store-uri", registry_store.uri).exit_code == 0


def test_a_store_that_does_not_exist_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    done = run()
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: there is no MLflow database 'mlflow.db'; ")
    assert list(tmp_path.iterdir()) == []
