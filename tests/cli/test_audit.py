"""The command `audit`; tests/service/test_audit.py runs it as a process, with a plug-in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.audit import audit
from tests.registry_store import synthetic_bars


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for symbol, seed in (("AAA", 1), ("BBB", 2)):
        synthetic_bars(400, seed=seed).to_parquet(tmp_path / f"{symbol}_1h.parquet")
    (tmp_path / "time.yaml").write_text("groups: [time]\n")
    return tmp_path


def options(source: Path) -> list[str]:
    return ["--source", str(source), "--features", str(source / "time.yaml"), "--rows", "20"]


def test_without_symbols_all_of_the_source_are_audited(source: Path) -> None:
    done = CliRunner().invoke(audit, options(source))
    assert done.exit_code == 0, done.output
    assert "All 4 features satisfy all laws on AAA, BBB." in done.stdout
    assert f"barwright train --symbols AAA,BBB --source {source} --features" in done.stdout


def test_bars_that_cannot_be_read_are_left_out(source: Path) -> None:
    done = CliRunner().invoke(audit, [*options(source), "--symbols", "NONE,BBB", "--json"])
    assert done.exit_code == 1
    answer = json.loads(done.stdout)
    assert (answer["ok"], list(answer["failed"])) == (False, ["NONE"])
    assert [symbol["symbol"] for symbol in answer["symbols"]] == ["BBB"]
    assert "no bars of NONE at 1h" in done.stderr


def test_a_wrong_option_is_exit_status_2(source: Path) -> None:
    done = CliRunner().invoke(audit, [*options(source), "--interval", "7x"])
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: `interval` must be a count and")
