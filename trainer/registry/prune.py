"""Removal of old versions and runs that nothing needs.

MLflow marks what is removed as deleted; ``mlflow gc`` frees its files later.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from trainer.errors import TrainerError
from trainer.registry.alias import EVERY_ALIAS, all_holders, exclusive_move, holders_of
from trainer.registry.needed import needed_versions
from trainer.tracking.candidates import find_experiment
from trainer.tracking.model_uri import find_version, list_versions
from trainer.tracking.old_runs import OldRun, review_runs
from trainer.tracking.tag_names import RUN_ID

#: Source of a version that was registered from a logged model.
_LOGGED_MODEL = "models:/m-"
#: Versions that are removed under one claim, which is void after two minutes.
_VERSIONS_A_CLAIM = 10


@dataclass(frozen=True)
class Policy:
    """Which versions and runs are old.

    Attributes
    ----------
    keep : int
        Number of newest versions of each name that stay, at least 1.
    older_than : datetime.timedelta
        Versions and runs that are younger stay.
    names : tuple of str
        Registered models; all if empty.
    runs : bool
        Whether runs are removed, too.
    """

    keep: int = 5
    older_than: timedelta = timedelta(days=90)
    names: tuple[str, ...] = ()
    runs: bool = False


@dataclass(frozen=True)
class OldVersion:
    """A version that is removed.

    Attributes
    ----------
    name, number : str
    model : str
        Id of its logged model; empty for a version with another source.
    run_id : str
        Run of that model.
    """

    name: str
    number: str
    model: str
    run_id: str


@dataclass(frozen=True)
class NeededVersion:
    """A version that is old by the policy, and stays.

    Attributes
    ----------
    name, number, reason : str
    """

    name: str
    number: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """What is to be removed.

    Attributes
    ----------
    versions : tuple of OldVersion
        By name, then oldest first.
    needed : tuple of NeededVersion
        Those that stay although they are old.
    staying : int
        Number of all versions that stay.
    runs : tuple of OldRun
    lost_trials : tuple of str
        Runs that were deleted before, and that ``mlflow gc`` would take out of the trials.
    """

    versions: tuple[OldVersion, ...]
    needed: tuple[NeededVersion, ...]
    staying: int
    runs: tuple[OldRun, ...]
    lost_trials: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Removal:
    """What was removed.

    Attributes
    ----------
    versions, models, runs : int
        Numbers of removed versions, logged models and runs.
    skipped : tuple of str
        What stays because it changed after the plan was made, each with the reason.
    """

    versions: int
    models: int
    runs: int
    skipped: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON values."""
        return asdict(self)


def plan(
    client: MlflowClient,
    policy: Policy,
    *,
    uri: str = "",
    experiment: str = "barwright",
    now: datetime | None = None,
    on_progress: Callable[[str], None] = lambda phase: None,
) -> Plan:
    """Find the versions and runs that a policy removes, and change nothing.

    Parameters
    ----------
    client : mlflow.MlflowClient
    policy : Policy
    uri : str
        Address of the store, for messages.
    experiment : str, default "barwright"
        Experiment whose runs are removed.
    now : datetime.datetime, optional
        Time from which ages are counted; the present by default.
    on_progress : callable
        Called with the name of each phase.

    Raises
    ------
    TrainerError
        If a registered model of the policy or the experiment does not exist.
    """
    before = (now or datetime.now(UTC)) - policy.older_than
    before_ms = int(before.timestamp() * 1000)
    old: list[OldVersion] = []
    needed: list[NeededVersion] = []
    runs_of_versions: set[str] = set()
    staying = 0
    for name, of_aliases in _holders(client, policy.names).items():
        on_progress(f"versions of {name}")
        versions = list_versions(client, name)
        removed, stay = _of_name(versions, of_aliases, policy.keep, before_ms)
        old += removed
        needed += stay
        numbers = {version.number for version in removed}
        others = [version for version in versions if str(version.version) not in numbers]
        staying += len(others)
        runs_of_versions.update(_run_of(version) for version in others)
    if not policy.runs:
        return Plan(tuple(old), tuple(needed), staying, (), ())
    on_progress(f"runs of experiment {experiment}")
    review = review_runs(
        client,
        find_experiment(client, uri, experiment),
        before_ms=before_ms,
        names=policy.names,
        needed=runs_of_versions,
    )
    return Plan(tuple(old), tuple(needed), staying, review.old, review.lost_trials)


def _holders(client: MlflowClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the aliases of some registered models, or of all if none is named."""
    if not names:
        return all_holders(client)
    for name in names:
        find_version(client, name)  # a name that does not exist is an error
    return {name: holders_of(client.get_registered_model(name)) for name in names}


def _of_name(
    versions: list[ModelVersion], of_aliases: dict[str, str], keep: int, before_ms: int
) -> tuple[list[OldVersion], list[NeededVersion]]:
    """Return the versions of one name that are removed, and those that are old but needed."""
    if not versions:
        return [], []
    beyond = [v for v in versions[:-keep] if int(v.creation_timestamp) < before_ms]
    old = {str(version.version) for version in beyond}
    kept = {str(version.version) for version in versions} - old
    reasons = needed_versions(versions, of_aliases, kept)
    removed, needed = [], []
    for version in beyond:
        number, source = str(version.version), str(version.source)
        if number in reasons:
            needed.append(NeededVersion(version.name, number, reasons[number]))
            continue
        model = source.removeprefix("models:/") if source.startswith(_LOGGED_MODEL) else ""
        removed.append(OldVersion(version.name, number, model, str(version.run_id or "")))
    return removed, needed


def _run_of(version: ModelVersion) -> str:
    return str(version.tags.get(RUN_ID) or version.run_id)


def remove(
    client: MlflowClient,
    planned: Plan,
    *,
    on_progress: Callable[[str], None] = lambda phase: None,
) -> Removal:
    """Remove what was planned.

    Whatever an alias or a newer version needs by now stays. A command that is killed leaves the
    rest of the plan, which the next plan contains again: a version is deleted after its logged
    model, so that neither is forgotten.

    Parameters
    ----------
    client : mlflow.MlflowClient
    planned : Plan
    on_progress : callable
        Called with the name of each phase.
    """
    skipped: list[str] = []
    n_versions = n_models = n_runs = 0
    for name, group in groupby(planned.versions, lambda version: version.name):
        on_progress(f"versions of {name}")
        for version, models, refusal in _remove_versions(client, list(group)):
            if refusal:
                skipped.append(f"version {version.number} of {name}: {refusal}")
                continue
            n_versions, n_models = n_versions + 1, n_models + models
    for number, run in enumerate(planned.runs, start=1):
        on_progress(f"run {number} of {len(planned.runs)}")
        # A version may have been registered from it meanwhile.
        if _versions_of_run(client, run.run_id):
            skipped.append(f"run {run.run_id}: a version needs it now")
            continue
        n_models += sum(_delete(client.delete_logged_model, model) for model in run.models)
        n_runs += _delete(client.delete_run, run.run_id)
    return Removal(n_versions, n_models, n_runs, tuple(skipped))


def _remove_versions(
    client: MlflowClient, versions: list[OldVersion]
) -> Iterator[tuple[OldVersion, int, str]]:
    """Remove versions of one name; yield each with its removed models and why it stays."""
    for begin in range(0, len(versions), _VERSIONS_A_CLAIM):
        part = versions[begin : begin + _VERSIONS_A_CLAIM]
        with contextlib.ExitStack() as claim:
            try:
                # Promotions and rollbacks of the name wait: no alias moves to a version that goes.
                claim.enter_context(exclusive_move(client, part[0].name, EVERY_ALIAS))
            except TrainerError as error:  # a promotion or rollback goes on
                yield from ((version, 0, str(error)) for version in part)
                continue
            needed = _needed_by_now(client, versions)
            for version in part:
                refusal = needed.get(version.number) or _refusal(client, version)
                yield version, 0 if refusal else _remove_version(client, version), refusal


def _needed_by_now(client: MlflowClient, planned: list[OldVersion]) -> dict[str, str]:
    """Return the versions of one name that must stay, after moves since the plan was made."""
    name, going = planned[0].name, {version.number for version in planned}
    versions = list_versions(client, name)
    kept = {str(version.version) for version in versions} - going
    of_aliases = holders_of(client.get_registered_model(name))
    return needed_versions(versions, of_aliases, kept) if versions else {}


def _refusal(client: MlflowClient, version: OldVersion) -> str:
    """Return why a version must stay after all; empty if it may go.

    An alias that somebody sets in MLflow's UI respects no claim, so it is read before each version.
    """
    registered = client.get_registered_model(version.name)
    for alias, number in holders_of(registered).items():
        if number == version.number:
            return f"@{alias} points to it now"
    newest = max((int(latest.version) for latest in registered.latest_versions), default=0)
    return "it is the newest one now" if newest <= int(version.number) else ""


def _remove_version(client: MlflowClient, version: OldVersion) -> int:
    """Delete a version, and its logged model unless another version has the same run."""
    others = [
        other
        for other in _versions_of_run(client, version.run_id)
        if (other.name, str(other.version)) != (version.name, version.number)
    ]
    # A rollback has the same files, and so has a copy under another name.
    alone = version.model and version.run_id and not others
    models = _delete(client.delete_logged_model, version.model) if alone else 0
    _delete(client.delete_model_version, version.name, version.number)
    return models


def _versions_of_run(client: MlflowClient, run_id: str) -> list[ModelVersion]:
    return list(client.search_model_versions(f"run_id = '{run_id}'")) if run_id else []


def _delete(call: Callable[..., None], *arguments: str) -> int:
    """Delete something; return 0 if it does not exist, because another command deleted it."""
    try:
        call(*arguments)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return 0
    return 1
