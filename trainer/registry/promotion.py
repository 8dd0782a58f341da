"""Changes of the version that consumers load: a promotion behind the gate, or a rollback."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd
from mlflow import MlflowClient

from barwright import BarwrightError
from features.errors import InputError
from trainer.dataset import read_bars
from trainer.errors import TrainerError, UsageError
from trainer.evidence.verdict import Criterion, judge, passed
from trainer.registry import alias as aliases
from trainer.registry.alias import Move
from trainer.registry.criteria import (
    model_trades,
    no_present_version,
    not_comparable,
    not_worse,
    same_contract,
)
from trainer.registry.paired import compare_tracks, track
from trainer.registry.register import register_verified
from trainer.registry.verify import Verifier
from trainer.registry.version_tags import rollback_tags
from trainer.registry.versions import LoadedVersion, load, trial_metrics
from trainer.tracking.model_uri import LATEST, find_version

_LONGEST_REASON = 1_000
#: Value of `against` for the baseline that the training of the version named.
TRAINED = "trained"
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Decision:
    """The result of a request to promote.

    Attributes
    ----------
    name, alias, version : str
        Registered model, alias, and the version that was to be promoted.
    before : str or None
        Version that the alias pointed to.
    criteria : list of Criterion
        Empty if the alias pointed to the version already.
    moved : bool
        Whether the alias was moved.
    forced : bool
        Whether it was moved although a criterion failed.
    """

    name: str
    alias: str
    version: str
    before: str | None
    criteria: list[Criterion]
    moved: bool
    forced: bool

    def to_json(self) -> dict[str, Any]:
        """Return the decision as JSON values."""
        criteria = [criterion.to_json() for criterion in self.criteria]
        return {**vars(self), "criteria": criteria}


def promote(
    client: MlflowClient,
    name: str,
    *,
    version: str = "",
    alias: str = "champion",
    source: str = "",
    against: str = TRAINED,
    force: bool = False,
    reason: str = "",
    on_progress: Callable[[str], None] = lambda phase: None,
) -> Decision:
    """Move an alias to a version if the version passes the gate.

    Parameters
    ----------
    client : mlflow.MlflowClient
    name : str
        Registered model, ``gru-BTCUSDT``.
    version : str, optional
        The newest one by default.
    alias : str
    source : str, optional
        Bars on which both versions are compared after their training; by default the source that
        the version was trained from.
    against : {"trained", "none", "hold", "momentum"}
        Baseline that the version must beat; ``trained`` is the one that its training named.
    force, reason : bool, str
        Move the alias whatever the gate decides; the reason is recorded.
    on_progress : callable
        Called with the name of each phase.

    Raises
    ------
    UsageError
        If an argument breaks its rule.
    TrainerError
        If a version cannot be loaded or has no evidence, or another process moved the alias
        meanwhile.
    """
    check_alias(alias)
    _check_reason(force, reason)
    wanted = find_version(client, name, version)
    before = aliases.holder(client, name, alias)
    if before == str(wanted.version):
        # A command that was killed may have moved it, and not have completed the record.
        aliases.settle(client, name, alias)
        return Decision(name, alias, before, before, [], moved=False, forced=False)
    on_progress(f"loading version {wanted.version}")
    challenger = load(client, wanted)
    on_progress("counting trials")
    criteria = [
        model_trades(challenger.evidence.flat_because),
        *judge(
            {**challenger.headline.metrics, **trial_metrics(client, challenger)},
            challenger.against if against == TRAINED else against,
        ),
    ]
    if before is None:
        criteria.append(no_present_version(alias))
    else:
        on_progress(f"loading version {before}, the present @{alias}")
        criteria += _against_present(challenger, client, before, alias, source, force=force)
    moved = passed(criteria) or force
    forced = moved and not passed(criteria)
    if moved:
        evidence = [criterion.to_json() for criterion in criteria]
        aliases.move(
            client,
            Move(name, alias, challenger.number, before, forced, reason.strip(), evidence),
        )
    return Decision(name, alias, challenger.number, before, criteria, moved, forced)


def check_alias(alias: str) -> None:
    """Raise `UsageError` for a name that no alias can have."""
    if alias.lower() == LATEST:
        raise UsageError(
            "`--alias` latest is the newest version and moves by itself; use `barwright rollback` "
            "to serve an older one, or another alias"
        )
    if not _ALIAS.fullmatch(alias) or re.fullmatch(r"[vV]\d+", alias):
        raise UsageError(
            "`--alias` must be letters, digits, '-' or '_', begin with a letter and not read like "
            f"a version (v1), got {alias!r}; use champion"
        )


def _check_reason(force: bool, reason: str) -> None:
    if force and not reason.strip():
        raise UsageError(
            "`--force` overrules the gate and needs a `--reason`; say why in a few words"
        )
    if not reason.isprintable():
        raise UsageError(
            f"`--reason` must be printable text on one line, got {reason!r:.60}; write it in the "
            "encoding of your terminal"
        )
    if len(reason) > _LONGEST_REASON:
        raise UsageError(
            f"`--reason` must be at most {_LONGEST_REASON:,} characters, got {len(reason):,}; "
            "say it in short, and name where more is written"
        )


def _against_present(
    challenger: LoadedVersion,
    client: MlflowClient,
    before: str,
    alias: str,
    source: str,
    *,
    force: bool,
) -> list[Criterion]:
    """Return the criteria that compare a version with the alias's present one, on equal bars."""
    try:
        present = load(client, find_version(client, challenger.name, before))
    except BarwrightError as error:
        # A present version that cannot be loaded must not block its place: a failed criterion can
        # be overruled by force, an error cannot.
        return [not_comparable(alias, before, str(error))]
    contract = challenger.model.contract
    try:
        bars = read_bars(
            source or challenger.source,
            contract.symbol,
            contract.interval,
            calendar=contract.calendar,
            allow_jumps=contract.allow_jumps,
        )
    except InputError as error:
        if not force:
            raise
        return [not_comparable(alias, before, str(error))]
    frame = bars.to_frame()
    first, second = (
        track(v.model, v.record, pd.Timestamp(v.evidence.last), frame)
        for v in (challenger, present)
    )
    compared = compare_tracks(first, second, challenger.terms)
    return [
        not_worse(alias, before, compared),
        same_contract(contract, present.model.contract),
    ]


def rollback(client: MlflowClient, name: str, to: str, verifier: Verifier) -> str:
    """Register the model of an older version again, as the newest version, which is `@latest`.

    Parameters
    ----------
    client : mlflow.MlflowClient
    name : str
        Registered model.
    to : str
        The older version.
    verifier : Verifier
        The model is verified again before it is registered.

    Returns
    -------
    str
        The new version; its tag ``rollback_of`` contains the older one.

    Raises
    ------
    UsageError
        If `to` is empty.
    TrainerError
        If there is no such version, it is the newest one already, or its model does not pass
        verification.
    """
    if not to:
        raise UsageError("`--to` must be a version, got ''; give its number")
    old, newest = find_version(client, name, to), find_version(client, name)
    if old.version == newest.version:
        raise TrainerError(
            f"version {to} of {name} is the newest already, @latest serves it; give an older one"
        )
    if old.source is None:
        raise TrainerError(f"version {to} of {name} names no model; give another one")
    version = register_verified(
        client,
        old.source,
        name,
        tags={
            **rollback_tags(old.tags, str(old.version)),
            **aliases.rollback_record(name, str(newest.version)),
        },
        description=f"Rolled back to version {old.version}.\n\n{old.description or ''}",
        verifier=verifier,
        guard=_not_deleted(client, name, str(old.version)),
    )
    return str(version.version)


@contextmanager
def _not_deleted(client: MlflowClient, name: str, number: str) -> Iterator[None]:
    """Keep a version from being deleted while the block registers its model again.

    Both versions have the same files, and a clean-up would find no second version of them yet.
    """
    with aliases.exclusive_move(client, name, LATEST):
        find_version(client, name, number)
        yield
