"""Runs in MLflow: one parent a command, one child a (model, symbol), written by one process."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Metric, Param, RunTag

from trainer import flavor
from trainer.errors import TrainerError
from trainer.evidence import dossier
from trainer.evidence.record import RECORD_FILE
from trainer.evidence.verdict import Verdict
from trainer.job import Outcome, Task, TrainedModel
from trainer.processes import is_alive, process_identity
from trainer.report.markdown import describe, report_page
from trainer.tracking.ranking import compare_link
from trainer.tracking.store import DEFAULT_URI, STORE_ERRORS, alone, check_reachable, store_error

_PARENT, _NOTE = "mlflow.parentRunId", "mlflow.note.content"
_HOST, _PROCESS = "barwright.host", "barwright.process"
#: What MLflow takes at once.
_BATCH = 1_000
#: Parts of the evidence that are shown as tables.
_TABLES = ("threshold_curve", "regimes", "cost_stress")


@dataclass(frozen=True)
class Tracking:
    """An open experiment and the parent run of this command."""

    client: MlflowClient
    uri: str
    experiment_id: str
    parent_id: str

    def fail(self) -> None:
        """Say in the parent run that some tasks failed."""
        self.client.set_tag(self.parent_id, "failed_tasks", "yes")

    @contextlib.contextmanager
    def child(self, outcome: Outcome) -> Iterator[str]:
        """Open the run of a task, with the times it really had; yields its id.

        It ends FINISHED only if the task has a model and the block raises nothing; a
        `TrainerError` is written into its note and passed on.
        """
        run = self.client.create_run(
            self.experiment_id,
            start_time=int(outcome.started * 1000),
            tags={
                _PARENT: self.parent_id,
                "kind": "candidate" if outcome.trained else "failure",
                "model": outcome.task.model,
                "symbol": outcome.task.symbol,
            },
            run_name=outcome.task.name,
        )
        run_id, status = run.info.run_id, "FAILED"
        try:
            if outcome.error:
                self.client.set_tag(run_id, _NOTE, outcome.error)
            yield run_id
            status = "FINISHED" if outcome.trained else "FAILED"
        except TrainerError as error:
            self.client.set_tag(run_id, "kind", "failure")
            self.client.set_tag(run_id, _NOTE, str(error))
            raise
        finally:
            self.client.set_terminated(run_id, status, end_time=int(outcome.ended * 1000))

    def log(self, run_id: str, task: Task, trained: TrainedModel, verdict: Verdict) -> str:
        """Log metrics, settings, data and the candidate itself; returns its ``models:/m-...``."""
        now = int(time.time() * 1000)
        metrics = [
            Metric(name, value, now, 0)
            for name, value in trained.metrics.items()
            if math.isfinite(value)
        ]
        metrics += [
            Metric(f"fold/{name}", value, now, fold)
            for fold, row in enumerate(trained.fold_metrics)
            for name, value in row.items()
            if math.isfinite(value)
        ]
        metrics += [
            Metric(f"fold/{fold}/stopping_curve", value, now, step)
            for fold, curve in enumerate(trained.curves)
            for step, value in enumerate(curve)
            if math.isfinite(value)
        ]
        metrics += [Metric(f"seconds/{k}", v, now, 0) for k, v in trained.seconds.items()]
        params = [Param(name, str(value)) for name, value in trained.params.items()]
        tags = [RunTag(_NOTE, describe(trained, verdict)), RunTag("status", verdict.status)]
        self.client.log_batch(run_id, params=params, tags=tags)
        for begin in range(0, len(metrics), _BATCH):
            self.client.log_batch(run_id, metrics=metrics[begin : begin + _BATCH])
        data = trained.data
        source = CodeDatasetSource(tags={"understood": data["understood"]})
        name = f"{data['symbol']}_{data['interval']}"
        # The class declares an abstract `profile` that it does not need.
        dataset = MetaDataset(  # type: ignore[abstract]
            source, name=name, digest=data["digest"][:32]
        )
        with mlflow.start_run(run_id=run_id, nested=True):
            mlflow.log_input(dataset, context="training")
            for table, rows in {
                "walk_forward": trained.told["blocks"],
                **{name: trained.evidence[name] for name in _TABLES},
            }.items():
                if rows:
                    columns = {key: [row[key] for row in rows] for key in rows[0]}
                    mlflow.log_table(columns, f"{table}.json")
            mlflow.log_dict({"data": data}, "facts.json")
            with TemporaryDirectory(prefix="barwright-") as folder:
                trained.record.write(Path(folder) / RECORD_FILE)
                mlflow.log_artifact(str(Path(folder) / RECORD_FILE))
            with TemporaryDirectory(prefix="barwright-") as folder:
                for figure, png in trained.figures.items():
                    (Path(folder) / f"{figure}.png").write_bytes(png)
                mlflow.log_artifacts(folder, "report")
            info = flavor.log_model(trained.folder, task.name, requirements=trained.requirements)
        return str(info.model_uri)

    def conclude(
        self,
        run_id: str,
        task: Task,
        version: str,
        trained: TrainedModel,
        verdict: Verdict,
        figures: Mapping[str, float],
    ) -> None:
        """Write what the whole campaign says of a candidate to its run and its version."""
        now = int(time.time() * 1000)
        note = describe(trained, verdict, figures)
        self.client.log_batch(
            run_id,
            metrics=[
                Metric(f"wf_{name}", value, now, 0)
                for name, value in figures.items()
                if math.isfinite(value)
            ],
            tags=[RunTag(_NOTE, note), RunTag("status", verdict.status)],
        )
        page = dossier.page(trained.contract, trained.told, trained.evidence, verdict.status)
        about = {"version": f"{task.name} version {version}", "run": run_id}
        text = report_page(page, trained.figures, verdict, figures, about)
        self.client.log_text(run_id, text, "report/report.html")
        # The status last: a version is not called proven before its reasons are there.
        self.client.update_model_version(task.name, version, note)
        self.client.set_model_version_tag(task.name, version, "status_reason", verdict.reason)
        self.client.set_model_version_tag(task.name, version, "status", verdict.status)

    def compare_link(self) -> str:
        """Address in the MLflow UI that ranks this experiment's candidates."""
        return compare_link(self.uri, self.experiment_id)


@contextlib.contextmanager
def open_tracking(experiment: str, params: Mapping[str, Any]) -> Iterator[Tracking]:
    """Open the experiment and the parent run; leaving with an error marks the run FAILED.

    Parameters
    ----------
    experiment : str
        Name of the MLflow experiment; made if it is not there. Under `mlflow run`, which opens the
        run itself, that run's experiment counts.
    params : mapping
        Settings of the command.

    Raises
    ------
    TrainerError
        If the tracking server or database cannot be reached.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    check_reachable(uri)
    # Its own lines about every registration would tear the progress display apart.
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    mlflow.set_tracking_uri(uri)
    try:
        with alone(uri):
            client = MlflowClient()
            # `mlflow run` has opened the run already, in an experiment of its choice.
            resumed = os.environ.get("MLFLOW_RUN_ID")
            experiment_id = (
                client.get_run(resumed).info.experiment_id
                if resumed
                else _experiment(client, experiment)
            )
        _close_orphans(client, experiment_id)
    except (*STORE_ERRORS, ImportError) as error:
        raise store_error(uri, error) from error
    try:
        with mlflow.start_run(
            run_id=resumed or None,
            experiment_id=None if resumed else experiment_id,
            run_name=None if resumed else "train",
            tags={
                "kind": "command",
                _HOST: socket.gethostname(),
                _PROCESS: process_identity(os.getpid()),
            },
        ) as run:
            known = client.get_run(run.info.run_id).data.params
            client.log_batch(
                run.info.run_id,
                params=[Param(k, str(v)) for k, v in params.items() if k not in known],
            )
            yield Tracking(client, uri, run.info.experiment_id, run.info.run_id)
    except STORE_ERRORS as error:
        raise store_error(uri, error) from error


def _experiment(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        tags = {"mlflow.experimentKind": "custom_model_development"}
        return str(client.create_experiment(name, tags=tags))
    if found.lifecycle_stage != "active":
        raise TrainerError(
            f"the experiment {name!r} is deleted; restore it or give another --experiment"
        )
    return str(found.experiment_id)


def _close_orphans(client: MlflowClient, experiment_id: str) -> None:
    """Mark runs KILLED that a dead process of this machine left RUNNING."""
    running = client.search_runs(
        [experiment_id],
        f"attributes.status = 'RUNNING' and tags.`{_HOST}` = '{socket.gethostname()}'",
    )
    for run in running:
        identity = run.data.tags.get(_PROCESS, "")
        if run.info.run_id == os.environ.get("MLFLOW_RUN_ID") or is_alive(identity):
            continue
        for child in client.search_runs(
            [experiment_id],
            f"attributes.status = 'RUNNING' and tags.`{_PARENT}` = '{run.info.run_id}'",
        ):
            client.set_terminated(child.info.run_id, "KILLED")
        client.set_terminated(run.info.run_id, "KILLED")
