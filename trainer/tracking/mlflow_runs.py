"""Runs in MLflow: one parent run for each command, one child run for each job.

One process writes all of them: the workers return plain values.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.utils import name_utils
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_LOGGED_ARTIFACTS

from trainer import flavor
from trainer.errors import TrainerError
from trainer.evidence.metric_names import to_stored
from trainer.evidence.record import RECORD_FILE
from trainer.evidence.verdict import Verdict
from trainer.job import DataFacts, Job, JobResult, TrainedModel
from trainer.processes import is_alive, process_identity
from trainer.scratch import scratch_folder
from trainer.serving.manifest import DAMAGED
from trainer.tracking.ranking import compare_link
from trainer.tracking.store import (
    STORE_ERRORS,
    artifact_store_error,
    check_reachable,
    exclusive_database,
    print_only_warnings,
    store_error,
    tracking_uri,
)
from trainer.tracking.tag_names import (
    CANDIDATE,
    COMMAND,
    FAILURE,
    KIND,
    MODEL,
    NOTE,
    PARENT_RUN,
    STATUS,
    STATUS_REASON,
    SYMBOL,
    UNCHANGED,
)

#: Tags of a parent run: the machine and the process that write it.
_HOST, _PROCESS = "barwright.host", "barwright.process"
#: Points of a curve that are logged: each takes as long as any other metric.
_CURVE_POINTS = 25
#: Metrics that MLflow accepts in one call.
_BATCH = 1_000
#: File of a run with all options of its command, or those that train its job again.
RUN_FILE = "run.yaml"
#: File of a run with the facts on its training data.
_FACTS_FILE = "facts.json"
#: Folder of a run with its report and the figures of it.
_REPORT_FOLDER = "report"


@dataclass(frozen=True)
class Tracking:
    """An open experiment and the parent run of this command."""

    client: MlflowClient
    uri: str
    experiment_id: str
    parent_id: str
    #: Runs of jobs that could not be ended, because the store was down.
    _broken: list[str] = field(default_factory=list)

    def end_broken_runs(self) -> None:
        """End the runs that an outage of the store has left open: they have no whole result."""
        for run_id in self._broken:
            self.client.set_tag(run_id, KIND, FAILURE)
            self.client.set_terminated(run_id, "FAILED")
        self._broken.clear()

    def finish(self, run_id: str) -> None:
        """End a run of a killed command as FINISHED: its version has been completed."""
        self.client.set_terminated(run_id, "FINISHED")

    def fail(self) -> None:
        """End the parent run as FAILED: at least one job has no registered version."""
        self.client.set_tag(self.parent_id, "failed_tasks", "yes")
        mlflow.end_run("FAILED")

    @contextlib.contextmanager
    def child(self, result: JobResult, name: str = "") -> Iterator[str]:
        """Open the run of a job, with the job's own start and end time; yield the run's id.

        The run ends FINISHED only if the job has a model and the block raises nothing. A
        `TrainerError` of the block is written into the run's note and raised again.

        Parameters
        ----------
        result : JobResult
        name : str
            Name of the run, for people; the name of the job by default. Programs read the tags.
        """
        run = self.client.create_run(
            self.experiment_id,
            start_time=int(result.started * 1000),
            tags={
                PARENT_RUN: self.parent_id,
                KIND: CANDIDATE if result.trained else FAILURE,
                MODEL: result.job.model,
                SYMBOL: result.job.symbol,
            },
            run_name=name or result.job.name,
        )
        run_id, state = run.info.run_id, "FAILED"
        try:
            if result.error:
                self.client.set_tag(run_id, NOTE, result.error)
            yield run_id
            state = "FINISHED" if result.trained else "FAILED"
        except TrainerError as error:
            self.client.set_tag(run_id, KIND, FAILURE)
            self.client.set_tag(run_id, NOTE, str(error))
            raise
        finally:
            try:
                self.client.set_terminated(run_id, state, end_time=int(result.ended * 1000))
            except STORE_ERRORS:
                self._broken.append(run_id)
                raise

    def log(
        self,
        run_id: str,
        job: Job,
        trained: TrainedModel,
        note: str,
        status: str,
        run_file: str = "",
    ) -> str:
        """Log settings, metrics, tables, files and the model of a candidate.

        Parameters
        ----------
        run_id : str
            Open run of the job.
        job : Job
        trained : TrainedModel
        note : str
            Markdown about the candidate, for MLflow's UI.
        status : str
            Status of its verdict.
        run_file : str
            Text of a run file that trains the job again.

        Returns
        -------
        str
            ``models:/m-...`` of the logged model; it is not registered.
        """
        tables = _tables(trained)
        shown = [{"path": f"{table}.json", "type": "table"} for table in tables]
        self.client.log_batch(
            run_id,
            params=[Param(name, str(value)) for name, value in trained.params.items()],
            tags=[
                RunTag(NOTE, note),
                RunTag(STATUS, status),
                RunTag(MLFLOW_LOGGED_ARTIFACTS, json.dumps(shown)),
            ],
        )
        self.client.log_inputs(run_id, [_training_data(trained.data)])
        with scratch_folder() as folder:
            _write_files(folder, trained, tables, run_file)
            # In one call: each call takes as long as the upload of a file.
            self.client.log_artifacts(run_id, str(folder))
        info = flavor.log_model(
            trained.folder, job.name, requirements=trained.requirements, run_id=run_id
        )
        # After the model: else MLflow would read each metric back to copy it to the model.
        metrics = _metrics(trained, info.model_id)
        for begin in range(0, len(metrics), _BATCH):
            self.client.log_batch(run_id, metrics=metrics[begin : begin + _BATCH])
        return str(info.model_uri)

    def conclude(
        self,
        run_id: str,
        job: Job,
        version: str,
        *,
        metrics: Mapping[str, float],
        note: str,
        report_html: str,
        verdict: Verdict,
    ) -> None:
        """Write a verdict that takes all trials into account to a run and to its version.

        Parameters
        ----------
        run_id : str
        job : Job
        version : str
            Registered version.
        metrics : mapping of str to float
            Metrics that depend on all trials, without prefix.
        note : str
            Markdown about the candidate, which replaces that of `log`.
        report_html : str
            Report of the candidate.
        verdict : Verdict
        """
        self.client.log_text(run_id, report_html, f"{_REPORT_FOLDER}/report.html")
        # After the report: a run with these metrics has all of its evidence.
        self.client.log_batch(
            run_id,
            metrics=_finite_metrics(to_stored(metrics).items(), _now(), 0),
            tags=[RunTag(NOTE, note), RunTag(STATUS, verdict.status)],
        )
        # The status is written last: a version is not called proven before its reasons are stored.
        self.client.update_model_version(job.name, version, note)
        self.client.set_model_version_tag(job.name, version, STATUS_REASON, verdict.reason)
        self.client.set_model_version_tag(job.name, version, STATUS, verdict.status)

    def count_unchanged(self, count: int) -> None:
        """Note in the parent run how many jobs kept their newest version."""
        self.client.set_tag(self.parent_id, UNCHANGED, str(count))

    def compare_link(self) -> str:
        """Return the address in MLflow's UI that ranks the candidates of this experiment."""
        return compare_link(self.uri, self.experiment_id)


def _now() -> int:
    """Return milliseconds since 1970, as MLflow counts time."""
    return int(time.time() * 1000)


def _finite_metrics(
    values: Iterable[tuple[str, float]], now: int, step: int, model_id: str | None = None
) -> list[Metric]:
    """Return metrics as MLflow takes them; undefined ones are left out."""
    finite = ((name, value) for name, value in values if math.isfinite(value))
    return [Metric(name, value, now, step, model_id) for name, value in finite]


def _metrics(trained: TrainedModel, model_id: str) -> list[Metric]:
    """Return the headline, which the logged model has too, and metrics of the run alone.

    These are the metrics of each fold, the curves of each fold, and the seconds by phase.
    """
    now = _now()
    metrics = _finite_metrics(trained.headline.stored_metrics().items(), now, 0, model_id)
    for row in trained.evidence.folds:
        values = {name: value for name, value in asdict(row).items() if name != "fold"}
        named = ((f"fold/{name}", value) for name, value in values.items())
        metrics += _finite_metrics(named, now, row.fold)
    for fold, curve in enumerate(trained.curves):
        for step in _curve_steps(len(curve)):
            metrics += _finite_metrics([(f"fold/{fold}/stopping_curve", curve[step])], now, step)
    metrics += [Metric(f"seconds/{name}", s, now, 0) for name, s in trained.seconds.items()]
    return metrics


def _curve_steps(count: int) -> list[int]:
    """Return the steps of a curve that are logged: the first, the last, and even ones between.

    >>> _curve_steps(0), _curve_steps(3), _curve_steps(1_000)[-2:]
    ([], [0, 1, 2], [957, 999])
    """
    if count <= _CURVE_POINTS:
        return list(range(count))
    return [int(step) for step in np.linspace(0, count - 1, _CURVE_POINTS).round()]


def _tables(trained: TrainedModel) -> dict[str, dict[str, list[Any]]]:
    """Return the columns of the tables that MLflow's UI shows; empty tables are left out."""
    evidence = trained.evidence
    tables = {
        "walk_forward": [row.to_json() for row in trained.headline.blocks],
        "threshold_curve": [row.to_json() for row in evidence.threshold_curve],
        "regimes": [row.to_json() for row in evidence.regimes],
        "cost_stress": [row.to_json() for row in evidence.cost_stress],
    }
    return {
        name: {key: [row[key] for row in rows] for key in rows[0]}
        for name, rows in tables.items()
        if rows
    }


def _training_data(data: DataFacts) -> DatasetInput:
    """Return the training data as MLflow's UI shows it: name, digest, how it was read."""
    source = CodeDatasetSource(tags={"understood": data.understood})
    # The class declares an abstract `profile` that it does not need.
    dataset = MetaDataset(  # type: ignore[abstract]
        source, name=f"{data.symbol}_{data.interval}", digest=data.digest[:32]
    )
    entity = dataset._to_mlflow_entity()
    return DatasetInput(entity, [InputTag(MLFLOW_DATASET_CONTEXT, "training")])


def _write_files(
    folder: Path,
    trained: TrainedModel,
    tables: Mapping[str, Mapping[str, list[Any]]],
    run_file: str,
) -> None:
    """Write the files of a candidate's run: record, facts, run file, tables, figures."""
    trained.record.write(folder / RECORD_FILE)
    facts = {"data": trained.data.to_json()}
    (folder / _FACTS_FILE).write_text(json.dumps(facts, indent=2))
    (folder / RUN_FILE).write_text(run_file)
    for name, columns in tables.items():
        # The format of tables in MLflow's UI.
        pd.DataFrame(columns).to_json(folder / f"{name}.json", orient="split", index=False)
    figures = folder / _REPORT_FOLDER
    figures.mkdir()
    for name, png in trained.figures.items():
        (figures / f"{name}.png").write_bytes(png)


def load_understood(run_id: str) -> str:
    """Return how the bars of a run were read; empty if its file of facts is gone or damaged."""
    with (
        scratch_folder() as folder,
        contextlib.suppress(*STORE_ERRORS, *DAMAGED),
    ):
        path = download_artifacts(run_id=run_id, artifact_path=_FACTS_FILE, dst_path=str(folder))
        return str(json.loads(Path(path).read_text())["data"]["understood"])
    return ""


@contextlib.contextmanager
def open_tracking(
    experiment: str, params: Mapping[str, Any], name: str = "train", run_file: str = ""
) -> Iterator[Tracking]:
    """Open the experiment and the parent run; leaving with an error marks the run FAILED.

    The run file is written to the run at once. So a store that takes no files is found before
    anything is trained.

    Parameters
    ----------
    experiment : str
        Name of the MLflow experiment, which is created if it does not exist. Under `mlflow run`
        the experiment of the run that MLflow opened is used instead.
    params : mapping
        Settings of the command.
    name : str, default "train"
        Name of the parent run. A run that `mlflow run` opened gets it in place of a name that
        MLflow drew, and keeps a name that a person gave it.
    run_file : str
        Text of the run file of the command.

    Raises
    ------
    TrainerError
        If the tracking server or database cannot be used, or the experiment's artifact store
        cannot be written.
    """
    print_only_warnings()
    uri = tracking_uri()
    check_reachable(uri)
    mlflow.set_tracking_uri(uri)
    # `mlflow run` has opened the run already, in an experiment of its choice.
    resumed = os.environ.get("MLFLOW_RUN_ID") or None
    try:
        with exclusive_database(uri):
            client = MlflowClient()
            experiment_id = (
                str(client.get_run(resumed).info.experiment_id)
                if resumed
                else _experiment(client, experiment)
            )
        _close_orphans(client, experiment_id)
    except (*STORE_ERRORS, ImportError) as error:
        raise store_error(uri, error) from error
    try:
        with _parent_run(experiment_id, resumed, name) as active:
            run = client.get_run(active.info.run_id)
            _log_settings(client, uri, run, params, run_file)
            if resumed and _is_drawn(str(run.info.run_name)):
                client.update_run(resumed, name=name)
            tracking = Tracking(client, uri, run.info.experiment_id, run.info.run_id)
            yield tracking
            tracking.end_broken_runs()
    except STORE_ERRORS as error:
        raise store_error(uri, error) from error


def _parent_run(experiment_id: str, resumed: str | None, name: str) -> mlflow.ActiveRun:
    """Start the parent run, or resume the one that `mlflow run` opened."""
    return mlflow.start_run(
        run_id=resumed,
        experiment_id=None if resumed else experiment_id,
        run_name=None if resumed else name,
        tags={
            KIND: COMMAND,
            _HOST: socket.gethostname(),
            _PROCESS: process_identity(os.getpid()),
        },
    )


def _log_settings(
    client: MlflowClient, uri: str, run: Run, params: Mapping[str, Any], run_file: str
) -> None:
    """Write the settings of the command to the parent run: as parameters, and as a file.

    Raises
    ------
    TrainerError
        If the file cannot be written; the reason stands in the run's note, too.
    """
    run_id = run.info.run_id
    new = [Param(key, str(value)) for key, value in params.items() if key not in run.data.params]
    client.log_batch(run_id, params=new)
    try:
        client.log_text(run_id, run_file, RUN_FILE)
    except Exception as error:  # every kind of store raises its own: those of S3 are boto3's
        location = str(run.info.artifact_uri).removesuffix(f"/{run_id}/artifacts")
        failure = artifact_store_error(uri, location, error)
        client.set_tag(run_id, NOTE, str(failure))
        raise failure from error


def _is_drawn(name: str) -> bool:
    """Return whether MLflow drew the name of a run, as ``bold-shrew-12``."""
    predicate, _, rest = name.partition("-")
    noun, _, number = rest.partition("-")
    # MLflow's own lists; should a later MLflow lack them, every name is taken for a person's.
    predicates = getattr(name_utils, "_GENERATOR_PREDICATES", ())
    nouns = getattr(name_utils, "_GENERATOR_NOUNS", ())
    return number.isdigit() and predicate in predicates and noun in nouns


def _experiment(client: MlflowClient, name: str) -> str:
    """Return the id of an experiment, which is created if it does not exist."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        tags = {"mlflow.experimentKind": "custom_model_development"}
        return str(client.create_experiment(name, tags=tags))
    if experiment.lifecycle_stage != "active":
        raise TrainerError(
            f"the experiment {name!r} is deleted; restore it or give another --experiment"
        )
    return str(experiment.experiment_id)


def _close_orphans(client: MlflowClient, experiment_id: str) -> None:
    """End runs as KILLED whose command ended without them.

    It was a process of this machine and is dead, or it ended its own run and not those of its jobs.
    """
    running = client.search_runs([experiment_id], "attributes.status = 'RUNNING'")
    ids = {run.info.run_id for run in running}
    dead = {run.info.run_id for run in running if _is_dead(run)}
    for run in running:
        parent = run.data.tags.get(PARENT_RUN, "")
        if parent in dead or (parent and parent not in ids and KIND in run.data.tags):
            client.set_terminated(run.info.run_id, "KILLED")
    for run_id in dead:
        client.set_terminated(run_id, "KILLED")


def _is_dead(run: Run) -> bool:
    """Return whether a run is that of a dead process of this machine."""
    here = run.data.tags.get(_HOST) == socket.gethostname()
    resumed = run.info.run_id == os.environ.get("MLFLOW_RUN_ID")
    return here and not resumed and not is_alive(run.data.tags.get(_PROCESS, ""))
