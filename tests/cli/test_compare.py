"""The command `compare` on a real SQLite store."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from cli.compare import compare


def test_candidates_are_ranked_as_a_table_and_as_json(registry_store: Any) -> None:
    runs = [
        registry_store.run(registry_store.record(skill), fee_bps=10.0) for skill in (0.05, 0.25)
    ]
    options = ["--symbols", " SYNTH, SYNTH,", "--experiment", "e"]
    done = CliRunner().invoke(compare, options)
    assert done.exit_code == 0, done.output
    assert "SYNTH: 2 candidates, walk-forward, after costs" in done.stdout
    answer = json.loads(CliRunner().invoke(compare, [*options, "--json"]).stdout)
    (symbol,) = answer["symbols"]
    assert [row["run_id"] for row in symbol["candidates"]] == runs[::-1]
    assert set(symbol["candidates"][0]["metrics"]) == {"wf_net_sharpe"}


def test_no_candidate_is_exit_status_1(registry_store: Any) -> None:
    registry_store.run(registry_store.record(0.0))
    done = CliRunner().invoke(compare, ["--symbols", "OTHER", "--experiment", "e"])
    assert done.exit_code == 1
    assert "has no candidate of 'OTHER'" in done.stderr


@pytest.mark.parametrize(
    ("symbols", "text"), [(",", "`--symbols` must name at least one"), ("a/b", "got 'a/b'")]
)
def test_wrong_symbols_are_exit_status_2(symbols: str, text: str) -> None:
    done = CliRunner().invoke(compare, ["--symbols", symbols])
    assert done.exit_code == 2
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1
