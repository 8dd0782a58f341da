"""Runs on a real SQLite store: what is logged, how runs end, and runs of dead processes."""

from __future__ import annotations

import json
import math
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.artifacts import download_artifacts

from tests.trainer.made import trained_model
from trainer.errors import TrainerError
from trainer.evidence.evidence import CostRow, Evidence, FoldRow, RegimeRow, ThresholdRow
from trainer.evidence.headline import Block, Headline
from trainer.evidence.record import Record
from trainer.evidence.verdict import Verdict
from trainer.job import Job, JobResult, TrainedModel
from trainer.processes import process_identity
from trainer.tracking.mlflow_runs import Tracking, load_understood, open_tracking

# MLflow's `log_table` selects columns in a way that pandas 3 deprecates.
pytestmark = pytest.mark.filterwarnings(
    "ignore:For backward compatibility, 'str' dtypes:pandas.errors.Pandas4Warning"
)

STORED = Path(__file__).resolve().parents[2] / "data" / "model_format_2"
JOB = Job("SYNTH", "lightgbm")
PNG = b"\x89PNG"


def fold(number: int, **metrics: float) -> FoldRow:
    values = dict.fromkeys(("log_loss", "brier", "roc_auc", "net_sharpe"), 0.5)
    return FoldRow(number, **{**values, "gross_sharpe": 1.0, "turnover": 7.0, **metrics})


def trained(record: Record, curves: list[list[float]] | None = None) -> TrainedModel:
    """Return the stored model of tests/data with synthetic results."""
    return trained_model(
        {},
        {"symbol": "SYNTH", "digest": "d" * 64},
        folder=STORED,
        headline=Headline(
            {"net_sharpe": 1.5, "psr": math.nan},
            {"val_brier_mean": 0.25},
            (
                Block(0, "2022", "2023", 100, 50, 0.52, {"net_sharpe": 1.0, "log_loss": 0.6}),
                Block(1, "2023", "2024", 150, 50, None, {"net_sharpe": math.nan, "log_loss": 0.7}),
            ),
        ),
        evidence=Evidence(
            folds=(fold(0), fold(1, net_sharpe=math.nan)),
            regimes=(RegimeRow("year", "2022", 100, 1.0, 1.5, 0.5, 0.1, 7, 0.5),),
            cost_stress=(CostRow(2, 30.0, -0.5, -0.1),),
            threshold_curve=(ThresholdRow(0.52, math.nan, 0),),
        ),
        record=record,
        figures={"equity": PNG},
        curves=[[0.7, 0.6], [0.8]] if curves is None else curves,
        params={"fee_bps": 10.0, "threshold": None},
        seconds={"data": 0.5},
        requirements=("lightgbm",),
    )


def children(tracking: Tracking) -> list[Any]:
    return list(
        tracking.client.search_runs(
            [tracking.experiment_id], f"tags.`mlflow.parentRunId` = '{tracking.parent_id}'"
        )
    )


def history(tracking: Tracking, run_id: str, name: str) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in tracking.client.get_metric_history(run_id, name)]


# --- the parent run --------------------------------------------------------------------------


def test_the_parent_run_ends_with_the_block(registry_store: Any) -> None:
    with open_tracking("e", {}) as tracking:
        pass
    run = registry_store.client.get_run(tracking.parent_id)
    assert (run.info.status, run.data.tags.get("failed_tasks")) == ("FINISHED", None)


def test_the_parent_run_has_the_settings_and_fails_with_a_job(registry_store: Any) -> None:
    with open_tracking("e", {"seed": 7, "models": ["gru"]}) as tracking:
        assert tracking.client.get_run(tracking.parent_id).info.status == "RUNNING"
        assert tracking.compare_link().startswith("http://127.0.0.1:5000/#/experiments/")
        tracking.fail()
    run = registry_store.client.get_run(tracking.parent_id)
    assert (run.info.run_name, run.info.status) == ("train", "FAILED")
    assert run.data.params == {"seed": "7", "models": "['gru']"}
    assert run.data.tags["kind"] == "command"
    assert run.data.tags["failed_tasks"] == "yes"
    assert run.data.tags["barwright.host"] == socket.gethostname()
    assert run.data.tags["barwright.process"] == process_identity(os.getpid())
    experiment = registry_store.client.get_experiment_by_name("e")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_the_settings_are_a_file_of_the_parent_run_at_once(registry_store: Any) -> None:
    with open_tracking("e", {"seed": 7}, "train X seed=7", "seed: 7\n") as tracking:
        file = download_artifacts(run_id=tracking.parent_id, artifact_path="run.yaml")
        assert Path(file).read_text() == "seed: 7\n"
        assert tracking.client.get_run(tracking.parent_id).info.run_name == "train X seed=7"


class _LibraryError(Exception):
    """An error that is none of MLflow's, as those of boto3."""


@pytest.mark.parametrize("kind", ["file in its place", "error of a library"])
@pytest.mark.parametrize("opened", ["by us", "by mlflow run"])
def test_an_artifact_store_that_cannot_be_written_is_found_at_once(
    registry_store: Any, kind: str, opened: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, place = registry_store.client, registry_store.folder / "files"
    experiment = client.create_experiment("e", artifact_location=str(place))
    if opened == "by mlflow run":
        monkeypatch.setenv("MLFLOW_RUN_ID", client.create_run(experiment).info.run_id)
    if kind == "file in its place":
        place.touch()
        reason = rf"\[Errno 20\] Not a directory: '{place}/"
    else:
        reason = "no credentials for http://me:\\*\\*\\*@s3"

        def refuse(*_: Any) -> None:
            raise _LibraryError("no credentials for http://me:secret@s3\nmore")

        monkeypatch.setattr("mlflow.MlflowClient.log_text", refuse)
    with (
        pytest.raises(TrainerError, match=f"^the artifact store {place} of .* written: {reason}"),
        open_tracking("e", {"seed": 7}),
    ):
        pytest.fail("the block must not run")
    (run,) = client.search_runs([experiment])
    assert run.info.status == "FAILED"
    assert run.data.params == {"seed": "7"}
    assert run.data.tags["mlflow.note.content"].startswith(f"the artifact store {place} of MLflow")
    assert "secret" not in run.data.tags["mlflow.note.content"]


def test_an_error_ends_the_parent_run_as_failed(registry_store: Any) -> None:
    with pytest.raises(KeyError), open_tracking("e", {}) as tracking:
        raise KeyError("x")
    run = registry_store.client.get_run(tracking.parent_id)
    assert run.info.status == "FAILED"
    with pytest.raises(TrainerError, match="cannot be used: disk full"), open_tracking("e", {}):
        raise OSError("disk full")


def test_a_run_that_mlflow_opened_is_resumed_in_its_experiment(
    registry_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = registry_store.client
    opened = client.create_run(client.create_experiment("of mlflow run"))
    client.log_param(opened.info.run_id, "seed", "7")
    monkeypatch.setenv("MLFLOW_RUN_ID", opened.info.run_id)
    with open_tracking("e", {"seed": 8, "horizon": 3}) as tracking:
        assert tracking.parent_id == opened.info.run_id
        assert tracking.experiment_id == opened.info.experiment_id
    run = client.get_run(opened.info.run_id)
    assert run.data.params == {"seed": "7", "horizon": "3"}, "a logged value cannot be changed"
    assert run.info.status == "FINISHED"
    assert client.get_experiment_by_name("e") is None


@pytest.mark.parametrize("name", [None, "bold-shrew-12", "gru-eurusd-1", "mine", "a-b-c"])
def test_a_run_of_mlflow_run_keeps_the_name_that_a_person_gave_it(
    registry_store: Any, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    client = registry_store.client
    run_id = client.create_run(client.create_experiment("of mlflow run"), run_name=name).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    with open_tracking("e", {}, "train X"):
        pass
    drawn = name is None or name == "bold-shrew-12"
    assert client.get_run(run_id).info.run_name == ("train X" if drawn else name)


def test_a_deleted_experiment_is_an_error(registry_store: Any) -> None:
    client = registry_store.client
    client.delete_experiment(client.create_experiment("e"))
    with (
        pytest.raises(TrainerError, match="the experiment 'e' is deleted; restore it or give"),
        open_tracking("e", {}),
    ):
        pass


def test_runs_of_dead_processes_are_closed_with_their_children(registry_store: Any) -> None:
    client = registry_store.client
    experiment = client.create_experiment("e")

    def running(host: str, process: str) -> tuple[str, str]:
        tags = {"barwright.host": host, "barwright.process": process}
        parent = client.create_run(experiment, tags=tags).info.run_id
        child = client.create_run(experiment, tags={"mlflow.parentRunId": parent}).info.run_id
        return parent, child

    here, own = socket.gethostname(), process_identity(os.getpid())
    dead = running(here, f"{os.getpid()}:1.00")  # a later process has the same number
    alive = running(here, own)
    elsewhere = running("far", "1:1.00")
    finished = client.create_run(experiment, tags={"mlflow.parentRunId": dead[0]}).info.run_id
    client.set_terminated(finished, "FINISHED")
    # Two signals at once ended a command after it had ended its own run.
    tags = {"mlflow.parentRunId": finished, "kind": "candidate"}
    left = client.create_run(experiment, tags=tags).info.run_id
    with open_tracking("e", {}):
        pass
    states = {
        run_id: client.get_run(run_id).info.status
        for run_id in (*dead, *alive, *elsewhere, finished, left)
    }
    assert [states[run_id] for run_id in dead] == ["KILLED", "KILLED"]
    assert {states[run_id] for run_id in (*alive, *elsewhere)} == {"RUNNING"}
    assert (states[finished], states[left]) == ("FINISHED", "KILLED")


# --- runs of jobs ----------------------------------------------------------------------------


def test_a_child_has_the_times_of_its_job_and_ends_as_the_job_did(registry_store: Any) -> None:
    model = trained(registry_store.record(0.1))
    with open_tracking("e", {}) as tracking:
        with tracking.child(JobResult(JOB, 1_000.5, 1_060.25, model)) as run_id:
            assert tracking.client.get_run(run_id).info.status == "RUNNING"
        with tracking.child(JobResult(JOB, 1.0, 2.0, error="no bars; give some")) as failed:
            pass
    run = registry_store.client.get_run(run_id)
    assert (run.info.start_time, run.info.end_time) == (1_000_500, 1_060_250)
    assert (run.info.run_name, run.info.status) == ("lightgbm-SYNTH", "FINISHED")
    assert {tag: run.data.tags[tag] for tag in ("kind", "model", "symbol")} == {
        "kind": "candidate", "model": "lightgbm", "symbol": "SYNTH",
    }  # fmt: skip
    assert "mlflow.note.content" not in run.data.tags
    run = registry_store.client.get_run(failed)
    assert (run.info.status, run.data.tags["kind"]) == ("FAILED", "failure")
    assert run.data.tags["mlflow.note.content"] == "no bars; give some"
    assert {r.info.run_id for r in children(tracking)} == {run_id, failed}


def test_a_child_may_have_a_name_of_its_own_and_keeps_its_tags(registry_store: Any) -> None:
    result = JobResult(JOB, 1.0, 2.0, error="no bars")
    with (
        open_tracking("e", {}) as tracking,
        tracking.child(result, "lightgbm-SYNTH fee_bps=5") as run_id,
    ):
        pass
    run = registry_store.client.get_run(run_id)
    assert run.info.run_name == "lightgbm-SYNTH fee_bps=5"
    assert (run.data.tags["model"], run.data.tags["symbol"]) == ("lightgbm", "SYNTH")


@pytest.mark.parametrize(
    ("error", "kind", "note"),
    [
        (TrainerError("it does not verify"), "failure", "it does not verify"),
        (OSError("disk full"), "candidate", None),
    ],
)
def test_a_child_whose_block_raises_is_failed(
    registry_store: Any, error: Exception, kind: str, note: str | None
) -> None:
    result = JobResult(JOB, 1.0, 2.0, trained(registry_store.record(0.1)))

    def raise_inside(tracking: Tracking) -> None:
        with tracking.child(result):
            raise error

    with open_tracking("e", {}) as tracking, pytest.raises(type(error), match=str(error)):
        raise_inside(tracking)
    (run,) = children(tracking)
    assert (run.info.status, run.data.tags["kind"]) == ("FAILED", kind)
    assert run.data.tags.get("mlflow.note.content") == note


def columns(run_id: str, table: str) -> dict[str, list[Any]]:
    """Return a logged table, column by column in its order."""
    stored = json.loads(Path(download_artifacts(run_id=run_id, artifact_path=table)).read_text())
    return {name: [row[n] for row in stored["data"]] for n, name in enumerate(stored["columns"])}


def test_everything_of_a_candidate_is_logged(registry_store: Any) -> None:
    record = registry_store.record(0.1)
    model = trained(record)
    with (
        open_tracking("e", {}) as tracking,
        tracking.child(JobResult(JOB, 1.0, 2.0, model)) as run_id,
    ):
        uri = tracking.log(run_id, JOB, model, "**flat**", "flat")
    run = registry_store.client.get_run(run_id)
    assert run.data.params == {"fee_bps": "10.0", "threshold": "None"}
    assert (run.data.tags["mlflow.note.content"], run.data.tags["status"]) == ("**flat**", "flat")
    assert run.data.metrics == {
        "wf_net_sharpe": 1.5, "val_brier_mean": 0.25, "seconds/data": 0.5,
        "fold/log_loss": 0.5, "fold/brier": 0.5, "fold/roc_auc": 0.5, "fold/net_sharpe": 0.5,
        "fold/gross_sharpe": 1.0, "fold/turnover": 7.0,
        "fold/0/stopping_curve": 0.6, "fold/1/stopping_curve": 0.8,
    }, "undefined metrics are left out"  # fmt: skip
    assert history(tracking, run_id, "fold/net_sharpe") == [(0, 0.5)]
    assert history(tracking, run_id, "fold/brier") == [(0, 0.5), (1, 0.5)]
    assert history(tracking, run_id, "fold/0/stopping_curve") == [(0, 0.7), (1, 0.6)]
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("SYNTH_1h", "d" * 32)

    walk = columns(run_id, "walk_forward.json")
    assert list(walk.items()) == [
        ("block", [0, 1]), ("train_rows", [100, 150]), ("test_rows", [50, 50]),
        ("threshold", [0.52, None]), ("net_sharpe", [1.0, None]), ("log_loss", [0.6, 0.7]),
        ("first", ["2022", "2023"]), ("last", ["2023", "2024"]),
    ]  # fmt: skip
    assert list(columns(run_id, "regimes.json")) == [
        "kind", "name", "bars", "net_sharpe", "gross_sharpe", "buy_hold_sharpe", "net_return",
        "n_trades", "exposure",
    ]  # fmt: skip
    assert columns(run_id, "cost_stress.json") == {
        "multiple": [2], "bps_per_side": [30.0], "net_sharpe": [-0.5], "net_return": [-0.1],
    }  # fmt: skip
    assert columns(run_id, "threshold_curve.json") == {
        "threshold": [0.52], "val_net_sharpe": [None], "trades": [0],
    }  # fmt: skip
    facts = Path(download_artifacts(run_id=run_id, artifact_path="facts.json"))
    assert json.loads(facts.read_text()) == {"data": model.data.to_json()}
    assert load_understood(run_id) == "BTCUSDT_1h.parquet"
    walk_forward = download_artifacts(run_id=run_id, artifact_path="walk_forward.parquet")
    assert Record.read(Path(walk_forward)).digest == record.digest
    equity = download_artifacts(run_id=run_id, artifact_path="report/equity.png")
    assert Path(equity).read_bytes() == PNG
    # The tables that the UI shows, and the metrics that it shows beside the model.
    shown = json.loads(run.data.tags["mlflow.loggedArtifacts"])
    files = {file.path for file in registry_store.client.list_artifacts(run_id)}
    assert {one["path"] for one in shown} == {path for path in files if path.endswith(".json")} - {
        "facts.json"
    }
    logged = mlflow.get_logged_model(uri.removeprefix("models:/"))
    assert logged.name == "lightgbm-SYNTH"
    assert {m.key for m in logged.metrics or ()} >= {"wf_net_sharpe", "val_brier_mean"}


def test_empty_tables_are_not_logged(registry_store: Any) -> None:
    model = trained_model({}, folder=STORED, record=registry_store.record(0.1))
    with (
        open_tracking("e", {}) as tracking,
        tracking.child(JobResult(JOB, 1.0, 2.0, model)) as run_id,
    ):
        tracking.log(run_id, JOB, model, "", "flat")
    files = {file.path for file in registry_store.client.list_artifacts(run_id)}
    assert files == {"facts.json", "walk_forward.parquet", "run.yaml", "report"}


def test_more_metrics_than_one_call_takes_are_logged_in_batches(registry_store: Any) -> None:
    curve = [1 / (1 + step) for step in range(97)]
    model = trained(registry_store.record(0.1), [curve] * 50)
    with (
        open_tracking("e", {}) as tracking,
        tracking.child(JobResult(JOB, 1.0, 2.0, model)) as run_id,
    ):
        tracking.log(run_id, JOB, model, "", "flat")
    # Of each curve every fourth point is logged: 25 of them, the first and the last included.
    logged = [(step, curve[step]) for step in range(0, 97, 4)]
    for fold in (0, 49):
        assert history(tracking, run_id, f"fold/{fold}/stopping_curve") == logged
    assert registry_store.client.get_run(run_id).data.metrics["seconds/data"] == 0.5


def test_the_conclusion_is_written_to_run_and_version_and_the_status_last(
    registry_store: Any,
) -> None:
    client = registry_store.client
    client.create_registered_model(JOB.name)
    client.create_model_version(JOB.name, str(registry_store.folder), tags={"status": "unproven"})
    metrics: Mapping[str, float] = {"dsr": 0.97, "pbo": math.nan, "trials": 3.0}
    calls = []
    with open_tracking("e", {}) as tracking:
        real = tracking.client.set_model_version_tag

        def record(name: str, version: str, key: str, value: str) -> None:
            calls.append((key, tracking.client.get_model_version(name, version).description))
            real(name, version, key, value)

        tracking.client.set_model_version_tag = record  # type: ignore[method-assign]
        with tracking.child(JobResult(JOB, 1.0, 2.0, error="x")) as run_id:
            tracking.conclude(
                run_id,
                JOB,
                "1",
                metrics=metrics,
                note="**proven**",
                report_html="<p>report</p>",
                verdict=Verdict("proven", "every criterion passes", []),
            )
    run = client.get_run(run_id)
    assert run.data.metrics == {"wf_dsr": 0.97, "wf_trials": 3.0}
    assert (run.data.tags["mlflow.note.content"], run.data.tags["status"]) == (
        "**proven**", "proven",
    )  # fmt: skip
    page = download_artifacts(run_id=run_id, artifact_path="report/report.html")
    assert Path(page).read_text() == "<p>report</p>"
    version = client.get_model_version(JOB.name, "1")
    assert version.description == "**proven**"
    assert version.tags == {"status": "proven", "status_reason": "every criterion passes"}
    assert calls == [("status_reason", "**proven**"), ("status", "**proven**")]


@pytest.mark.parametrize("content", [{}, {"data": {}}, {"data": 3}, [1]])
def test_facts_that_are_gone_or_damaged_say_nothing_on_how_bars_were_read(
    registry_store: Any, content: Any
) -> None:
    client = registry_store.client
    run_id = client.create_run(client.create_experiment("e")).info.run_id
    assert load_understood(run_id) == ""
    client.log_text(run_id, json.dumps(content), "facts.json")
    assert load_understood(run_id) == ""
