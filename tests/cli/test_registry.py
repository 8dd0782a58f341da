"""promote, rollback, history and report on a real SQLite store; tests/service has the races."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.app import cli
from trainer.evidence.metric_names import stored_name
from trainer.evidence.verdict import AGAINST, rules_table
from trainer.registry import alias

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_the_help_of_promote_has_the_rules_of_the_gate() -> None:
    lines = [" ".join(line.split()) for line in run("promote", "--help").output.splitlines()]
    for name, rule, _ in rules_table():
        assert f"{name} {rule}" in lines


def test_the_page_on_evidence_has_the_rules_of_the_gate() -> None:
    page = (ROOT / "docs" / "evidence.md").read_text()
    _, _, table = page.partition("| criterion | rule | metric |\n| --- | --- | --- |\n")
    rows = re.findall(r"^\| (.+) \| (.+) \| `(.+)` \|$", table.partition("\n\n")[0], re.MULTILINE)
    assert rows == [(name, rule, stored_name(metric)) for name, rule, metric in rules_table()]


def test_help_and_page_have_the_rules_against_baselines() -> None:
    text = " ".join(run("promote", "--help").output.split())
    page = (ROOT / "docs" / "evidence.md").read_text()
    for against in AGAINST:
        for name, rule, metric in rules_table(against):
            assert f"{against} {name} {rule}" in text
            assert f"| `{against}` | {name} | {rule} | `{stored_name(metric)}` |" in page


def test_history_lists_promotions_and_rollbacks(registry_store: Any) -> None:
    name = registry_store.name
    registry_store.version(registry_store.record(0.0))
    assert run("history", name).stdout == (
        f"No alias of {name} was moved, and no version rolled back.\n"
    )
    registry_store.version(registry_store.record(0.0, seed=1))
    for version, reason in (("1", "a drill"), ("2", "another")):
        done = run("promote", name, "--version", version, "--force", "--reason", reason)
        assert done.exit_code == 0, done.output
    assert run("rollback", name, "--to", "1").exit_code == 0

    done = run("history", name)
    assert done.exit_code == 0
    rows = [re.split(" {2,}", line.strip()) for line in done.stdout.splitlines() if "@" in line]
    assert [row[1:6] for row in rows] == [
        ["@champion", "-", "1", "yes", "done"],
        ["@champion", "1", "2", "yes", "done"],
        ["@latest", "2", "3", "no", "done"],
    ]
    assert [row[-1] for row in rows] == ["a drill", "another", "-"]

    answer = json.loads(run("history", name, "--json").stdout)
    assert answer["name"] == name
    assert answer["moves"] == [
        json.loads(json.dumps(move.to_json()))
        for move in alias.history(registry_store.client, name)
    ]
    assert [move["to"] for move in answer["moves"]] == ["1", "2", "3"]
    assert not all(criterion["passed"] for criterion in answer["moves"][0]["evidence"])


def test_history_of_an_unknown_model_is_an_error(registry_store: Any) -> None:
    registry_store.version(registry_store.record(0.0))
    done = run("history", "gru-NONE")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Error: there is no registered model 'gru-NONE'; there are ")


def test_promote_as_json_keeps_its_keys(registry_store: Any) -> None:
    registry_store.version(registry_store.record(0.0))
    done = run("promote", registry_store.name, "--json")
    assert done.exit_code == 1
    decision = json.loads(done.stdout)
    assert list(decision) == ["name", "alias", "version", "before", "criteria", "moved", "forced"]
    assert {tuple(criterion) for criterion in decision["criteria"]} == {
        ("name", "figure", "rule", "passed", "why")
    }


def test_report_writes_one_page(registry_store: Any) -> None:
    registry_store.version(registry_store.record(0.0))
    done = run("report", f"models:/{registry_store.name}/1")
    assert done.exit_code == 0, done.output
    page = registry_store.folder / f"{registry_store.name}-1.html"
    assert done.stdout == f"{page.name}: open it in a browser.\n"
    assert "</html>" in page.read_text()
    done = run("report", f"models:/{registry_store.name}/1", "--output", "no/such/folder.html")
    assert done.exit_code == 1
    assert done.stderr == (
        "Error: `--output` 'no/such/folder.html' cannot be written: No such file or directory; "
        "give another file\n"
    )


def test_a_store_that_does_not_exist_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for command in (["history", "x"], ["promote", "x"], ["rollback", "x", "--to", "1"]):
        done = run(*command)
        assert done.exit_code == 1
        assert done.stderr.startswith("Error: there is no MLflow database 'mlflow.db'; ")
    assert list(tmp_path.iterdir()) == []
