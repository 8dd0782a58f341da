"""The command prune: it lists first, removes with --apply, and its errors are one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.app import cli

NAME = "m-X"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["prune", *arguments])


@pytest.fixture
def store(registry_store: Any) -> Any:
    """Four versions of m-X without files, and a job that failed."""
    client = registry_store.client
    client.create_experiment("e")
    client.create_registered_model(NAME)
    for _ in range(4):
        client.create_model_version(NAME, str(registry_store.folder))
    client.set_registered_model_alias(NAME, "champion", "1")
    failed = client.create_run("1", tags={"kind": "failure"})
    client.set_terminated(failed.info.run_id)
    return registry_store


def numbers(store: Any) -> list[int]:
    return sorted(int(v.version) for v in store.client.search_model_versions(f"name = '{NAME}'"))


def test_it_lists_what_it_would_remove_and_removes_it_with_yes(store: Any) -> None:
    old = ("--keep", "2", "--older-than", "0d", "--runs", "on", "--experiment", "e")
    listed = run(*old)
    assert listed.exit_code == 0, listed.output
    rows = [line.split() for line in listed.stdout.splitlines() if line.strip().startswith(NAME)]
    assert rows == [[NAME, "2", "1:", "@champion"]]
    assert "--apply removes 1 version and 1 run; 3 versions stay." in listed.stdout
    assert numbers(store) == [1, 2, 3, 4]

    done = run(*old, "--apply")
    assert done.exit_code == 0, done.output
    assert "Removed 1 version, 0 logged models and 1 run. `mlflow gc` frees" in done.stdout
    assert numbers(store) == [1, 3, 4]
    assert store.client.search_runs(["1"]) == []

    again = json.loads(run(*old, "--apply", "--json").stdout)
    assert (again["versions"], again["staying"], again["removed"]["versions"]) == ([], 3, 0)
    assert again["needed"] == [{"name": NAME, "number": "1", "reason": "@champion"}]
    assert run("--names", NAME).stdout.endswith("There is nothing to remove; 3 versions stay.\n")


def test_mistakes_are_one_line(store: Any) -> None:
    for arguments, status, message in (
        (
            ["--older-than", "soon"],
            2,
            "Error: `--older-than` must be a count and one of h, d, w, got 'soon'; write for "
            "example 90d, or 0d for any age\n",
        ),
        (["--names", "m-Y"], 1, "Error: there is no registered model 'm-Y'; there are m-X\n"),
        (["--runs", "on"], 1, "Error: there is no experiment 'barwright' in sqlite:///"),
        (["--keep", "0"], 2, "Usage: "),
    ):
        done = run(*arguments)
        assert (done.exit_code, done.stdout) == (status, "")
        assert done.stderr.startswith(message)
    assert numbers(store) == [1, 2, 3, 4]


def test_a_store_that_does_not_exist_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    done = run()
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: there is no MLflow database 'mlflow.db'; ")
