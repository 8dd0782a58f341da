"""`barwright train` on real bars: the logged runs, the registered versions, the output."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.service.conftest import QUICK
from trainer.config import TrainConfig
from trainer.flavor import data_folder
from trainer.job import Job
from trainer.jobs.unchanged import settings_digest
from trainer.run_file import read_run_file


def test_a_verified_version_is_registered_and_latest_points_to_it(trained) -> None:
    version = trained.client.get_model_version_by_alias("lightgbm-EURUSD", "latest")
    assert str(version.version) == "1"
    assert version.source.startswith("models:/m-")
    assert version.tags["status"] in ("proven", "flat", "unproven")
    assert bool(version.tags["status_reason"]) == (version.tags["status"] != "proven")
    assert "walk-forward" in version.description
    # Every criterion of the gate with its value, and the number of trials.
    assert "Trials of this symbol in the experiment: 1." in version.description
    assert ">= 30" in version.description


def test_the_run_tree_is_one_parent_and_one_child_a_model(trained) -> None:
    runs = {run.data.tags["kind"]: run for run in trained.runs()}
    assert sorted(run.info.status for run in trained.runs()) == ["FINISHED", "FINISHED"]
    child, parent = runs["candidate"], runs["command"]
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    changed = "fee_bps=0 horizon=3 n_splits=2"
    assert child.info.run_name == f"lightgbm-EURUSD {changed} slippage_bps=0 wf_splits=2"
    assert parent.info.run_name == f"train EURUSD models=lightgbm {changed} +2 more"
    files = [item.path for item in trained.client.list_artifacts(parent.info.run_id)]
    assert files == ["run.yaml"]
    assert child.info.end_time > child.info.start_time
    assert parent.data.params["symbols"] == "('EURUSD',)"


def test_the_prefix_of_a_metric_names_the_rows_that_it_was_measured_on(trained) -> None:
    (child,) = (run for run in trained.runs() if run.data.tags["kind"] == "candidate")
    names = set(child.data.metrics)
    assert {"wf_net_return", "wf_turnover", "wf_log_loss", "wf_buy_hold_sharpe"} <= names
    assert {"wf_trials", "wf_cpcv_net_sharpe_min", "wf_brier", "wf_ece"} <= names
    assert {"val_log_loss_mean", "val_log_loss_std", "val_log_loss_min"} <= names
    prefixes = ("wf_", "val_", "fold/", "seconds/")
    assert [name for name in names if not name.startswith(prefixes)] == []
    steps = trained.client.get_metric_history(child.info.run_id, "fold/log_loss")
    assert [metric.step for metric in steps] == [0, 1]


def test_data_notes_and_tables_are_in_the_run(trained) -> None:
    (child,) = (run for run in trained.runs() if run.data.tags["kind"] == "candidate")
    (data_input,) = child.inputs.dataset_inputs
    assert data_input.dataset.name == "EURUSD_1h"
    assert "dropped" in child.data.tags["mlflow.note.content"]
    files = {item.path for item in trained.client.list_artifacts(child.info.run_id)}
    assert {"walk_forward.json", "threshold_curve.json", "facts.json", "regimes.json"} <= files
    report = {item.path for item in trained.client.list_artifacts(child.info.run_id, "report")}
    assert "report/report.html" in report
    assert len([path for path in report if path.endswith(".png")]) == 7
    status = trained.client.get_model_version("lightgbm-EURUSD", "1").tags["status"]
    assert child.data.tags["status"] == status
    assert len(child.data.params["fold_plan"]) == 64


def test_the_model_consists_of_the_named_files_and_no_pickle(trained) -> None:
    folder = trained.download("models:/lightgbm-EURUSD@latest")
    data = data_folder(folder)
    assert {path.name for path in data.iterdir()} == {
        "model.bin",
        "calibrator.json",
        "metrics.json",
        "features.json",
        "config_snapshot.json",
        "manifest.json",
        "evidence.json",
    }
    assert not [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pickle", ".joblib")]
    requirements = (folder / "requirements.txt").read_text().split()
    assert all("==" in line for line in requirements)
    assert not any(line.startswith("barwright") for line in requirements)


def test_the_output_ends_with_versions_and_the_next_steps(workspace) -> None:
    done = workspace.train(
        "--symbols",
        "GOOGL",
        "--interval",
        "1d",
        "--source",
        "sample",
        "--n-splits",
        "2",
        "--wf-splits",
        "2",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith("lightgbm-GOOGL: version 1 after ")
    assert "barwright trade --model models:/lightgbm-GOOGL@latest --source sample" in done.stdout
    assert "compareRunsMode=CHART" in done.stdout
    traded = workspace.trade("--model", "models:/lightgbm-GOOGL@latest", "--source", "sample")
    assert traded.returncode == 0, traded.stderr
    assert "2018-08-29" in traded.stdout


def test_facts_json_counts_dropped_rows_by_reason(trained, tmp_path) -> None:
    (child,) = (run for run in trained.runs() if run.data.tags["kind"] == "candidate")
    facts = json.loads(
        Path(
            trained.client.download_artifacts(child.info.run_id, "facts.json", str(tmp_path))
        ).read_text()
    )["data"]
    assert facts["rows"] + sum(facts["dropped"].values()) == facts["bars"] == 6225


@pytest.mark.slow
def test_only_what_has_changed_is_trained_again(workspace, two_symbols, tmp_path) -> None:
    """New bars of one symbol: the other one keeps its version, and so do both after that."""
    bars = tmp_path / "bars"
    shutil.copytree(two_symbols, bars)
    arguments = ("--symbols", "FIRST,SECOND", "--source", str(bars), *QUICK)
    assert workspace.train(*arguments).returncode == 0
    before = len(workspace.runs())

    rows = (bars / "SECOND_1h.csv").read_text().splitlines()
    (bars / "SECOND_1h.csv").write_text("\n".join(rows[:-1]) + "\n")
    second = workspace.train(*arguments)
    assert "lightgbm-FIRST: version 1 is unchanged" in second.stdout, second.stderr
    assert "lightgbm-SECOND: version 2 after" in second.stdout
    assert "1 of 2 models are unchanged" in second.stdout

    third = workspace.train(*arguments)
    assert third.returncode == 0
    assert "2 of 2 models are unchanged" in third.stdout
    assert "seconds" in third.stdout, "the table has the results of both"
    # One run of a command each, and one candidate.
    assert len(workspace.runs()) == before + 3
    assert [run.info.status for run in workspace.runs()] == ["FINISHED"] * (before + 3)
    unchanged = [run.data.tags.get("unchanged") for run in workspace.runs()]
    assert sorted(filter(None, unchanged)) == ["1", "2"]

    again = workspace.train(*arguments, "--unchanged", "train")
    assert "lightgbm-FIRST: version 2 after" in again.stdout
    assert "18 of 18 fits read from the cache." in again.stdout
    assert workspace.versions("lightgbm-SECOND") == ["1", "2", "3"]


def test_the_run_file_of_a_run_trains_it_again(trained, tmp_path) -> None:
    """Its job was trained with the options that it lists: so nothing has changed."""
    (child,) = (run for run in trained.runs() if run.data.tags["kind"] == "candidate")
    file = trained.client.download_artifacts(child.info.run_id, "run.yaml", str(tmp_path))
    options = read_run_file(file)
    assert (options["symbols"], options["models"]) == (["EURUSD"], ["lightgbm"])
    assert "scheduler" not in options
    tags = trained.client.get_model_version("lightgbm-EURUSD", "1").tags
    job = Job("EURUSD", "lightgbm")
    assert settings_digest(job, TrainConfig.parse(options)) == tags["settings_digest"]
