"""`barwright retrain`: a registry with one name without newer bars, one with them, and failures."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from features.sources import open_source
from tests.service.conftest import QUICK
from trainer.registry import alias
from trainer.registry.stale import StaleNames


@pytest.mark.slow
def test_stale_names_are_trained_judged_and_told(workspace, tmp_path) -> None:
    bars = tmp_path / "bars"
    bars.mkdir()
    frame = open_source("sample").read("EURUSD", "1h").frame
    for symbol, rows in (("OLD", 3_000), ("GROWN", 3_000), ("GONE", 2_000)):
        frame[:rows].to_parquet(bars / f"{symbol}_1h.parquet")
    trained = workspace.train("--symbols", "OLD,GROWN,GONE", "--source", str(bars), *QUICK)
    assert trained.returncode == 0, trained.stdout + trained.stderr
    client = workspace.client
    client.set_registered_model_alias("lightgbm-GROWN", "champion", "1")
    client.set_registered_model_tag("lightgbm-OLD", "retrain.requested", "its scores drift")
    frame[:3_100].to_parquet(bars / "GROWN_1h.parquet")
    (bars / "GONE_1h.parquet").unlink()

    def retrain(*arguments: str):
        return workspace.run("-m", "trainer", "retrain", "--max-workers", "1", *arguments)

    listed = retrain("--dry-run")
    rows = [line.split() for line in listed.stdout.splitlines() if "lightgbm-" in line]
    assert [row[0] for row in rows] == ["lightgbm-OLD", "lightgbm-GONE", "lightgbm-GROWN"]
    assert "requested: its scores drift" in listed.stdout
    assert "a name without newer ones keeps its version" in listed.stdout
    listed = retrain("--dry-run", "--except", "lightgbm-OLD,lightgbm-GONE")
    assert [line.split()[0] for line in listed.stdout.splitlines() if "lightgbm-" in line] == [
        "lightgbm-GROWN"
    ]
    assert len(workspace.runs()) == 4

    # Another machine trains one of them.
    names = StaleNames(client)
    (grown,) = names.find(pd.Timedelta("7D"), pd.Timestamp.now("UTC"), ["lightgbm-GROWN"])
    with names.claim(grown):
        done = retrain("--only", "lightgbm-GROWN", "--json-log")
    assert done.returncode == 0, done.stderr
    end = json.loads(done.stdout.splitlines()[-1])
    assert [(one["name"], one["busy"]) for one in end["names"]] == [("lightgbm-GROWN", True)]
    assert workspace.versions("lightgbm-GROWN") == ["1"]

    done = retrain()
    assert done.returncode == 1, done.stderr
    assert "3 stale: 1 trained, 1 without newer bars, 1 failed." in done.stdout
    assert "no bars of GONE at 1h" in done.stdout
    table = {
        line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if " 1 " in line
    }
    assert table["lightgbm-OLD"][:4] == ["1", "no", "newer", "bars"]
    assert table["lightgbm-GROWN"][:2] == ["1", "2"]
    assert table["lightgbm-GROWN"][3:5] == ["stays", "1:"], "it does not pass the gate"
    assert alias.holder(client, "lightgbm-GROWN", "champion") == "1"
    assert workspace.versions("lightgbm-OLD") == ["1"]
    # The retraining is a trial of its symbol, with the settings of version 1.
    newest = client.get_model_version("lightgbm-GROWN", "2")
    run = client.get_run(newest.tags["run_id"])
    assert run.data.metrics["wf_trials"] == 2
    assert (run.data.params["horizon"], run.data.params["fee_bps"]) == ("3", "0.0")
    # What failed is still requested; the others are done.
    requested = {
        model.name: "retrain.requested" in model.tags for model in client.search_registered_models()
    }
    assert requested == {
        "lightgbm-OLD": False, "lightgbm-GROWN": False, "lightgbm-GONE": True,
    }  # fmt: skip


def test_wrong_usage_is_one_line_each(trained, empty_workspace, tmp_path: Path) -> None:
    for place, arguments, status, text in (
        (
            trained,
            ("--stale-after", "soon"),
            2,
            "`--stale-after` must be a count from 1 to 9999 and one of",
        ),
        (trained, ("--alias", "latest"), 2, "`--alias` latest is the newest version"),
        (trained, ("--only", "gru-NONE"), 2, "there is no registered model 'gru-NONE'"),
        (trained, ("--except", "gru-NONE"), 2, "there is no registered model 'gru-NONE'"),
        (trained, ("--only", ""), 2, "`--only` must be names, comma-separated, or @all, got ''"),
        (empty_workspace, (), 1, "there is no MLflow database"),
    ):
        done = place.run("-m", "trainer", "retrain", *arguments)
        assert done.returncode == status, done.stdout + done.stderr
        assert text in done.stderr
        assert len(done.stderr.splitlines()) == 1
    fresh = trained.run("-m", "trainer", "retrain", "--stale-after", "9999d")
    assert fresh.returncode == 0
    assert fresh.stdout == "Nothing to train: no model has bars that end more than 9999d ago.\n"
