"""The benchmarks run and print; their times are not tested.

`caching`, `noise`, `noise_rules`, `overhead`, `search`, `selection_noise` and `validation_study`
take minutes even with --quick, because they train with whole commands or many procedures: run them
by name. `accounts` starts three tracking servers. The code below them is tested in
test_validation_study, test_fit_cache, test_selection and tests/service.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


#: Benchmark, and a text of its output.
PRINTED = {
    "features": "pandas / ours",
    "cache": "computed and stored / read",
    "memory": "read from cache",
    "latency": "p99 of a decision, ppo",
    "kfold": "ours / bare",
    "gru": "chunks / windows",
    "ppo": "vectorised / one environment",
    "schedule": "efficiency, 16 workers",
    "scale": "calls of MLflow",
    "mismatches": "decisions that differ, all models and paths: 0",
}


@pytest.mark.slow
def test_benchmarks_run_and_print(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    done = _run(*PRINTED, "--quick", "--runs", "1", "--json", str(path))
    assert done.returncode == 0, done.stderr
    for text in PRINTED.values():
        assert text in done.stdout
    for fact in ("cpu: ", "numpy ", "lightgbm ", "--quick: small sizes"):
        assert fact in done.stdout
    results = json.loads(path.read_text())["benchmarks"]
    assert [result["name"] for result in results] == list(PRINTED)
    assert all(result["targets"] for result in results)


@pytest.mark.slow
def test_the_study_of_position_rules_runs_and_prints(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    done = _run("position_rules", "--quick", "--source", "sample", "--json", str(path))
    assert done.returncode == 0, done.stderr
    assert "All together in equal parts, 5 bps a side" in done.stdout
    (result,) = json.loads(path.read_text())["benchmarks"]
    rules = ["threshold", "exit", "break-even", "break-even, always", "threshold, smooth h"]
    measured = result["jobs"]["lightgbm EURUSD"]
    assert list(measured) == [f"{cost}; {rule}" for cost in ("15 bps", "5 bps") for rule in rules]


@pytest.mark.slow
def test_the_study_of_the_rule_against_holding_runs_and_prints(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    done = _run("against_hold", "--quick", "--source", "sample", "--json", str(path))
    assert done.returncode == 0, done.stderr
    assert "SIMULATED strategies: days of EURUSD from sample" in done.stdout
    (result,) = json.loads(path.read_text())["benchmarks"]
    assert result["days"] > 250


def test_an_unknown_name_is_refused() -> None:
    done = _run("speed")
    assert done.returncode == 2
    assert "'speed' is not one of" in done.stderr
