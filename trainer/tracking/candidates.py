"""Candidates: runs with a trained model, each with the versions that were registered from it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.entities import Run

from trainer.errors import TrainerError
from trainer.evidence.metric_names import from_stored
from trainer.job import Job
from trainer.serving.contract import COMPARED_FIELDS
from trainer.tracking.model_uri import LATEST, list_versions
from trainer.tracking.store import find_runs, redacted
from trainer.tracking.tag_names import (
    CANDIDATE,
    KIND,
    MODEL,
    RUN_ID,
    STATUS,
    SYMBOL,
    TRIAL,
)

#: Order in which a ranking prints the fields of the contract: costs first.
_ORDER = ("fee_bps", "slippage_bps", "horizon", "interval", "task", "calendar")
#: Settings that must be equal as well before two Sharpe ratios may be ranked, each with the reason.
_FURTHER_SETTINGS = {
    "allow_short": "without short positions a model cannot earn on falling prices",
    "feature_signature": "a ranking compares models and their settings, on equal features",
    "data_digest": "other bars are another market or another time",
    "walk_forward_plan": "in other blocks, bars are scored by models of other training rows",
}
#: Logged settings that must be equal before two Sharpe ratios may be ranked. "Same contract" means
#: the same here as in the gate, and the further settings are added to it.
CONTRACT = (*sorted(COMPARED_FIELDS, key=_ORDER.index), *_FURTHER_SETTINGS)
#: Number of runs that `newest_symbols` reads.
_NEWEST = 100


@dataclass(frozen=True)
class CandidateVersion:
    """A version that was registered from a candidate.

    Attributes
    ----------
    number : int
    aliases : tuple of str
        Aliases that people set, by name, then ``latest`` for the newest version of its model.
    status : str
        Its status tag; empty without one.
    """

    number: int
    aliases: tuple[str, ...]
    status: str


@dataclass(frozen=True)
class Candidate:
    """A run with a trained model, and its versions.

    Attributes
    ----------
    run_id, model, symbol : str
    settings : str
        What differs from the defaults, as the run's name says it: ``position=exit horizon=3``.
    started : datetime.datetime
        UTC.
    status : str
        Status of the verdict on the run, or else on its newest version; MLflow's state of a run
        that did not finish (``killed``); empty where nothing is stored.
    metrics : dict of str to float
        Walk-forward metrics without prefix. Undefined ones, and those that an older version of
        barwright did not log, are missing.
    contract : dict of str to str
        Values of `CONTRACT`; a setting that was not logged is missing.
    versions : tuple of CandidateVersion
        Newest first.
    """

    run_id: str
    model: str
    symbol: str
    started: datetime
    status: str
    metrics: dict[str, float]
    contract: dict[str, str]
    versions: tuple[CandidateVersion, ...] = ()
    settings: str = ""

    @property
    def net_sharpe(self) -> float:
        """Net Sharpe ratio of the walk-forward, annualised; NaN if it never traded."""
        return self.metrics.get("net_sharpe", math.nan)


def find_experiment(client: MlflowClient, uri: str, name: str) -> str:
    """Return the id of an experiment.

    Raises
    ------
    TrainerError
        If no active experiment has this name; the message lists those that exist.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is not None and experiment.lifecycle_stage == "active":
        return str(experiment.experiment_id)
    names = ", ".join(sorted(e.name for e in client.search_experiments())) or "none"
    raise TrainerError(
        f"there is no experiment {name!r} in {redacted(uri)}; give one of these as --experiment: "
        f"{names}"
    )


def find_candidates(client: MlflowClient, experiment_id: str, symbol: str) -> list[Candidate]:
    """Return the candidates of a symbol, with their versions; deleted runs are left out."""
    condition = f"tags.{KIND} = '{CANDIDATE}' and tags.{SYMBOL} = '{symbol}'"
    runs = _ours(find_runs(client, experiment_id, condition))
    versions: dict[str, tuple[CandidateVersion, ...]] = {}
    for model in {run.data.tags[MODEL] for run in runs}:
        versions |= _versions_by_run(client, f"{model}-{symbol}")
    return [_candidate(run, versions) for run in runs]


def newest_symbols(client: MlflowClient, experiment_id: str) -> list[str]:
    """Return the symbols of the newest candidates of an experiment.

    All candidates would be thousands of runs, which take MLflow a minute.
    """
    condition = f"tags.{KIND} = '{CANDIDATE}'"
    runs = client.search_runs([experiment_id], condition, max_results=_NEWEST)
    return sorted({run.data.tags[SYMBOL] for run in _ours(runs)})


def count_search_trials(client: MlflowClient, experiment_id: str, symbol: str) -> int:
    """Return the number of trials of searches on a symbol.

    Deleted runs are left out, and those of trials that a killed command did not complete: the next
    command repeated them.
    """
    condition = (
        f"tags.{KIND} = '{TRIAL}' and tags.{SYMBOL} = '{symbol}' and attributes.status = 'FINISHED'"
    )
    return len(_ours(find_runs(client, experiment_id, condition)))


def _ours(runs: Iterable[Run]) -> list[Run]:
    # People may tag their own runs as candidates. Without these two tags it is not one of ours.
    return [run for run in runs if {MODEL, SYMBOL} <= run.data.tags.keys()]


def _candidate(run: Run, versions: dict[str, tuple[CandidateVersion, ...]]) -> Candidate:
    own = versions.get(run.info.run_id, ())
    status = run.data.tags.get(STATUS) or next((v.status for v in own if v.status), "")
    params = run.data.params
    model, symbol = run.data.tags[MODEL], run.data.tags[SYMBOL]
    metrics = from_stored(run.data.metrics)
    return Candidate(
        run_id=run.info.run_id,
        model=model,
        symbol=symbol,
        started=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        status=status if run.info.status == "FINISHED" else run.info.status.lower(),
        metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
        contract={name: params[name] for name in CONTRACT if name in params},
        versions=own,
        settings=Job(symbol, model).settings_in(str(run.info.run_name)),
    )


def _versions_by_run(client: MlflowClient, name: str) -> dict[str, tuple[CandidateVersion, ...]]:
    """Return the versions of a registered model by the run that logged them, newest first."""
    registered = list_versions(client, name)
    if not registered:
        return {}
    # A search returns no aliases, and MLflow's own `latest` is not among the model's aliases.
    aliases: dict[str, str] = client.get_registered_model(name).aliases
    newest = int(registered[-1].version)
    by_run: dict[str, tuple[CandidateVersion, ...]] = {}
    for version in reversed(registered):
        number = int(version.version)
        names = tuple(sorted(alias for alias, v in aliases.items() if int(v) == number))
        run_id = version.tags.get(RUN_ID) or str(version.run_id)
        by_run[run_id] = (
            *by_run.get(run_id, ()),
            CandidateVersion(
                number,
                names + (LATEST,) * (number == newest),
                version.tags.get(STATUS, ""),
            ),
        )
    return by_run
