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
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Metric, Param, RunTag

from trainer import flavor
from trainer.compare import compare_link
from trainer.errors import TrainerError
from trainer.scratch import is_alive, process_identity
from trainer.store import DEFAULT_URI, STORE_ERRORS, alone, check_reachable, store_error
from trainer.task import Outcome, Task, TrainedModel

_PARENT, _NOTE = "mlflow.parentRunId", "mlflow.note.content"
_HOST, _PROCESS = "barwright.host", "barwright.process"
#: What MLflow takes at once.
_BATCH = 1_000


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

    def log(self, run_id: str, task: Task, trained: TrainedModel) -> str:
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
        tags = [RunTag(_NOTE, describe(trained))]
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
            for table, rows in trained.tables.items():
                if rows:
                    columns = {key: [row[key] for row in rows] for key in rows[0]}
                    mlflow.log_table(columns, f"{table}.json")
            mlflow.log_dict({"data": data, "importance_gain": trained.importance}, "facts.json")
            info = flavor.log_model(trained.folder, task.name, requirements=trained.requirements)
        return str(info.model_uri)

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


def describe(trained: TrainedModel) -> str:
    """Markdown about a candidate, for its run and its version."""
    data = trained.data
    dropped = ", ".join(f"{count:,} {why}" for why, count in data["dropped"].items()) or "none"
    verdict = {
        "trades": "The threshold trades, and the walk-forward earned after costs.",
        "unproven": f"**Unproven**: the threshold trades, but {trained.status_reason}.",
        "flat": f"**Flat**: {trained.status_reason}. This model does not trade.",
    }[trained.status]
    wf = {name: _shown_figure(name, value) for name, value in trained.metrics.items()}
    return (
        f"{verdict}\n\n"
        f"| walk-forward | net | gross | buy and hold |\n|---|---|---|---|\n"
        f"| Sharpe (annual) | {wf['wf_net_sharpe']} | {wf['wf_gross_sharpe']} "
        f"| {wf['wf_buy_hold_sharpe']} |\n"
        f"| return | {wf['wf_net_return']} | {wf['wf_gross_return']} "
        f"| {wf['wf_buy_hold_return']} |\n\n"
        f"{_interval(trained.metrics)}"
        f"{wf['wf_n_trades']} trades, turnover {wf['wf_turnover']}, "
        f"log-loss {wf['wf_log_loss']} against the base rate's "
        f"{wf['wf_base_rate_log_loss']}.\n\n"
        f"Data: {data['understood']}. {data['rows']:,} rows of {data['bars']:,} bars from "
        f"{data['first']} to {data['last']}; dropped: {dropped}."
    )


def _interval(metrics: Mapping[str, float]) -> str:
    """Sentence on how far the net Sharpe ratio may be believed; none if it never traded."""
    lower, upper, psr = (
        metrics[f"wf_{n}"] for n in ("net_sharpe_lower", "net_sharpe_upper", "psr")
    )
    if not (math.isfinite(lower) and math.isfinite(psr)):
        return ""
    return (
        f"95 % interval of the net Sharpe ratio (stationary bootstrap): {lower:.2f} to "
        f"{upper:.2f}; probability that the true one is above 0: {psr:.1%}; it broke even at "
        f"{metrics['wf_break_even_bps']:.1f} basis points a side.\n\n"
    )


def _shown_figure(name: str, value: float) -> str:
    """Write a figure for people; one that is undefined is a dash."""
    form = {"return": "+.2%", "sharpe": ".2f", "loss": ".4f"}.get(name.rpartition("_")[2], ".0f")
    return format(value, form) if math.isfinite(value) else "-"


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
