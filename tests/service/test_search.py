"""The command `search`: killed at any point it goes on, and what it trains is served."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.selection_noise import synthetic_walk

SEARCH = (
    "-m", "trainer", "search", "--symbols", "PLANT", "--models", "lightgbm", "--n-splits", "2",
    "--wf-splits", "2", "--fee-bps", "1", "--slippage-bps", "1", "--task", "direction",
    "--features", "returns", "--embargo", "20", "--max-workers", "2", "--budget", "14",
    "--params", "lightgbm.num_boost_round=30",
)  # fmt: skip


def trials_of(workspace: Any) -> dict[int, dict[str, Any]]:
    found = {}
    for run in workspace.runs():
        text = run.data.tags.get("search_trial")
        if text is not None and run.info.status == "FINISHED":
            trial = json.loads(text)
            found[trial["number"]] = {name: trial[name] for name in ("values", "net_sharpe")}
    return found


@pytest.fixture
def bars(tmp_path: Path) -> str:
    folder = tmp_path / "planted"
    folder.mkdir()
    frame = synthetic_walk(5_000, 0.0, 0.5, np.random.default_rng(0))
    frame.to_parquet(folder / "PLANT_1h.parquet")
    return str(folder)


@pytest.mark.slow
def test_a_killed_search_goes_on_with_its_trials_and_serves_what_it_finds(
    workspace, make_workspace, tmp_path: Path, bars: str
) -> None:
    folder = tmp_path / "whole"
    folder.mkdir()
    other = make_workspace(folder, f"sqlite:///{folder}/mlflow.db")
    whole = other.run(*SEARCH, "--source", bars)
    assert whole.returncode == 0, whole.stderr
    expected = trials_of(other)
    assert sorted(expected) == list(range(14))

    with workspace.start(*SEARCH, "--source", bars) as process:
        while len(trials_of(workspace)) < 5 and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    made = trials_of(workspace)
    assert 5 <= len(made) < 14, "the kill came too late"
    assert workspace.versions("lightgbm-PLANT") == []

    again = workspace.run(*SEARCH, "--source", bars)
    assert again.returncode == 0, again.stderr
    assert f"{len(made)} of them had been made before" in " ".join(again.stdout.split())
    assert trials_of(workspace) == expected
    states = [run.info.status for run in workspace.runs()]
    assert "RUNNING" not in states
    assert "trained as barwright train --symbols PLANT" in " ".join(again.stdout.split())

    # What was found is a registered version like any other.
    assert workspace.versions("lightgbm-PLANT") == ["1"]
    traded = workspace.trade("--model", "models:/lightgbm-PLANT@latest", "--source", bars)
    assert traded.returncode == 0, traded.stderr
    report = workspace.run(
        "-m", "trainer", "report", "models:/lightgbm-PLANT@latest", "--output", "r.html"
    )
    assert report.returncode == 0, report.stderr
    page = (workspace.folder / "r.html").read_text()
    assert "Search of the settings" in page
    assert "No search chose these settings." not in page
    assert "settings that differ from the defaults" in page
    compared = workspace.run("-m", "trainer", "compare", "--symbols", "PLANT", "--json")
    (symbol,) = json.loads(compared.stdout)["symbols"]
    assert len(symbol["candidates"]) == 1, "trials have no model: they are counted, not ranked"
    assert symbol["search_trials"] == 14


@pytest.mark.slow
def test_ctrl_c_says_that_the_same_command_goes_on(workspace, bars: str) -> None:
    process = workspace.start_as_a_terminal_does(*SEARCH, "--source", bars)
    while len(trials_of(workspace)) < 2 and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    lines = out.strip().splitlines()
    assert "Stopped. The same command goes on with the trials that have ended." in lines
    assert lines[-1] == "Aborted!"
    assert "Traceback" not in out


@pytest.mark.slow
def test_mistakes_are_one_line_each(workspace, bars: str) -> None:
    failed = workspace.run(*SEARCH, "--source", bars, "--embargo", "900")
    assert failed.returncode == 1
    assert (
        "trial 1, with the settings of the command, failed: `embargo` must be smaller"
        in failed.stdout
    )
    assert "Traceback" not in failed.stdout + failed.stderr
    assert trials_of(workspace) == {}
