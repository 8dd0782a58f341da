"""The benchmarks run and print; how fast anything is, is not looked at.

`caching`, `noise`, `overhead` and `validation_study` train by whole commands, minutes even with
--quick: run them by name. What they rest on is tested in test_validation_study, test_fit_cache and
tests/service.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shows"),
    [
        ("features", "pandas / ours"),
        ("cache", "computed and stored / read"),
        ("memory", "read from cache"),
        ("latency", "p99 of a decision, ppo"),
        ("kfold", "ours / bare"),
        ("gru", "chunks / windows"),
        ("ppo", "vectorised / one environment"),
        ("mismatches", "decisions that differ, all models and paths: 0"),
    ],
)
def test_runs_and_prints(name: str, shows: str, tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    done = _benchmarks(name, "--quick", "--runs", "1", "--json", str(path))
    assert done.returncode == 0, done.stderr
    assert shows in done.stdout
    for fact in ("cpu: ", "numpy ", "lightgbm ", "--quick: small sizes"):
        assert fact in done.stdout
    (report,) = json.loads(path.read_text())["benchmarks"]
    assert report["name"] == name
    assert report["targets"]


def test_an_unknown_name_is_refused() -> None:
    done = _benchmarks("speed")
    assert done.returncode == 2
    assert "'speed' is not one of" in done.stderr
