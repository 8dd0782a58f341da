"""Candidate runs as MLflow knows them, each with the versions that came of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.entities import Run

from trainer.errors import TrainerError
from trainer.tracking.store import every_page, shown, versions

#: What must be equal before two Sharpe ratios may be ranked: costs, question, features and bars.
CONTRACT = (
    "fee_bps",
    "slippage_bps",
    "horizon",
    "interval",
    "task",
    "calendar",
    "allow_short",
    "feature_signature",
    "data_digest",
    "walk_forward_plan",
)


@dataclass(frozen=True)
class Version:
    """A registered version of a candidate.

    Attributes
    ----------
    number : int
    aliases : tuple of str
        Those that were set, by name, and ``latest`` for the newest version of its model.
    status : str
        What its tag says; empty if it says nothing.
    """

    number: int
    aliases: tuple[str, ...]
    status: str


@dataclass(frozen=True)
class Candidate:
    """A candidate run with what became of it.

    Attributes
    ----------
    run_id, model, symbol : str
    started : datetime.datetime
        UTC.
    status : str
        Verdict on the run, or on its newest version; how the run ended if it did not finish;
        empty where nothing is known.
    metrics : dict of str to float
        As logged; what was undefined, or is not known to an older version, is missing.
    contract : dict of str to str
        Field of `CONTRACT` to its value; a field that was not logged is missing.
    versions : tuple of Version
        Newest first.
    """

    run_id: str
    model: str
    symbol: str
    started: datetime
    status: str
    metrics: dict[str, float]
    contract: dict[str, str]
    versions: tuple[Version, ...] = ()

    @property
    def net_sharpe(self) -> float:
        """Walk-forward net Sharpe ratio; NaN if it never traded."""
        return self.metrics.get("wf_net_sharpe", math.nan)


def find_experiment(client: MlflowClient, uri: str, name: str) -> str:
    """Return the id of an experiment.

    Raises
    ------
    TrainerError
        If there is none of this name; it says which there are.
    """
    found = client.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage == "active":
        return str(found.experiment_id)
    there = ", ".join(sorted(e.name for e in client.search_experiments())) or "none"
    raise TrainerError(
        f"there is no experiment {name!r} in {shown(uri)}; give one of these as --experiment: "
        f"{there}"
    )


def find_candidates(
    client: MlflowClient, experiment_id: str, symbol: str | None = None
) -> list[Candidate]:
    """Return the candidates of a symbol, with their versions; or of all symbols, without.

    Deleted runs are not among them.
    """
    condition = "tags.kind = 'candidate'"
    if symbol is None:
        return [_candidate(run, {}) for run in _runs(client, experiment_id, condition)]
    runs = _runs(client, experiment_id, f"{condition} and tags.symbol = '{symbol}'")
    registered: dict[str, tuple[Version, ...]] = {}
    for model in {run.data.tags["model"] for run in runs}:
        registered |= _versions(client, f"{model}-{symbol}")
    return [_candidate(run, registered) for run in runs]


def _runs(client: MlflowClient, experiment_id: str, condition: str) -> list[Run]:
    found = every_page(
        lambda token: client.search_runs([experiment_id], condition, page_token=token)
    )
    # People may tag runs, too; what has no model is none of ours.
    return [run for run in found if {"model", "symbol"} <= run.data.tags.keys()]


def _candidate(run: Run, versions: dict[str, tuple[Version, ...]]) -> Candidate:
    own = versions.get(run.info.run_id, ())
    verdict = run.data.tags.get("status") or next((v.status for v in own if v.status), "")
    params = run.data.params
    return Candidate(
        run.info.run_id,
        run.data.tags["model"],
        run.data.tags["symbol"],
        datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        verdict if run.info.status == "FINISHED" else run.info.status.lower(),
        {name: value for name, value in run.data.metrics.items() if math.isfinite(value)},
        {name: params[name] for name in CONTRACT if name in params},
        own,
    )


def _versions(client: MlflowClient, name: str) -> dict[str, tuple[Version, ...]]:
    """Return a model's versions by the run that they came from, newest first."""
    found = versions(client, name)
    if not found:
        return {}
    # A search tells no aliases; MLflow's own `latest` is not among those of the model either.
    aliases: dict[str, str] = client.get_registered_model(name).aliases
    latest = int(found[-1].version)
    by_run: dict[str, tuple[Version, ...]] = {}
    for version in reversed(found):
        number = int(version.version)
        named = tuple(sorted(a for a, v in aliases.items() if int(v) == number))
        run_id = version.tags.get("run_id") or str(version.run_id)
        by_run[run_id] = (
            *by_run.get(run_id, ()),
            Version(
                number,
                named + ("latest",) * (number == latest),
                version.tags.get("status", ""),
            ),
        )
    return by_run
