"""Promotion and rollback: what a version must show, against whom, and how it is then moved."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from mlflow import MlflowClient

from adapters.base import AdapterError
from features.dataset import DatasetBuilder
from features.errors import InputError
from features.interval import Interval
from features.sources import open_source
from trainer.errors import TrainerError, UsageError
from trainer.evidence.verdict import Criterion, judge, passed
from trainer.registry import alias as aliases
from trainer.registry.alias import Move
from trainer.registry.criteria import same_contract, trades, unknown, versus
from trainer.registry.paired import compare, track
from trainer.registry.register import register_verified
from trainer.registry.verify import Verifier
from trainer.registry.versions import Version, campaign_figures, find, load
from trainer.serving.manifest import MANIFEST_TAG
from trainer.statistics.costs import Terms

_LONGEST_REASON = 1_000
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
#: Tags that describe a model; a version that repeats it takes them over.
_OWN_TAGS = (
    "run_id", MANIFEST_TAG, "data_digest", "feature_signature", "status", "status_reason",
    "wf_net_sharpe", "wf_gross_sharpe",
)  # fmt: skip


@dataclass(frozen=True)
class Decision:
    """What became of a request to promote.

    Attributes
    ----------
    name, alias, version : str
    before : str or None
        Version that the alias pointed to.
    criteria : list of Criterion
        Empty if it pointed there already.
    moved, forced : bool
    """

    name: str
    alias: str
    version: str
    before: str | None
    criteria: list[Criterion]
    moved: bool
    forced: bool


def promote(
    client: MlflowClient,
    name: str,
    *,
    version: str = "",
    alias: str = "champion",
    source: str = "",
    force: bool = False,
    reason: str = "",
    tell: Callable[[str], None] = lambda text: None,
) -> Decision:
    """Move an alias to a version if its evidence passes the gate.

    Parameters
    ----------
    client : mlflow.MlflowClient
    name : str
        Registered model, ``gru-BTCUSDT``.
    version : str, optional
        The newest one by default.
    alias : str
    source : str, optional
        Bars that both versions are scored on after their training; where the version was trained
        from by default.
    force, reason : bool, str
        Move it whatever the gate says; the reason is written down.
    tell : callable
        Told what is being done.

    Raises
    ------
    UsageError
        If an argument breaks its rule.
    TrainerError
        If a version cannot be loaded or has no evidence, or somebody
        else moved the alias meanwhile.
    """
    _check_alias(alias)
    if force and not reason.strip():
        raise UsageError(
            "`--force` overrules the gate and needs a `--reason`; say why in a few words"
        )
    if len(reason) > _LONGEST_REASON:
        raise UsageError(
            f"`--reason` must be at most {_LONGEST_REASON:,} characters, got {len(reason):,}; "
            "say it in short, and name where more is written"
        )
    wanted = find(client, name, version)
    before = aliases.holder(client, name, alias)
    if before == str(wanted.version):
        # It may have been moved by a command that was killed before it could say so.
        aliases.settle(client, name, alias)
        return Decision(name, alias, before, before, [], moved=False, forced=False)
    tell(f"loading version {wanted.version}")
    challenger = load(client, wanted)
    tell("counting trials")
    criteria = judge({**challenger.metrics, **campaign_figures(client, challenger)})
    criteria.insert(0, trades(str(challenger.evidence["flat_because"])))
    if before is not None:
        tell(f"loading version {before}, the present @{alias}")
        criteria += _against(challenger, client, before, alias, source, force=force)
    else:
        criteria.append(versus(alias, None, None))
    if passed(criteria) or force:
        forced = not passed(criteria)
        aliases.move(
            client,
            Move(
                name, alias, challenger.number, before, forced, reason.strip(),
                [criterion.plain() for criterion in criteria],
            ),
        )  # fmt: skip
        return Decision(name, alias, challenger.number, before, criteria, True, forced)
    return Decision(name, alias, challenger.number, before, criteria, False, False)


def rollback(client: MlflowClient, name: str, to: str, verifier: Verifier) -> str:
    """Register an older version's model again, as the newest: `@latest` serves it from then on.

    Parameters
    ----------
    client : mlflow.MlflowClient
    name : str
        Registered model.
    to : str
        The older version.
    verifier : Verifier
        The model is proven again before it is registered.

    Returns
    -------
    str
        The new version; its tag ``rollback_of`` names the old one.

    Raises
    ------
    TrainerError
        If there is no such version, it is the newest already, or its model does not verify.
    """
    if not to:
        raise UsageError("`--to` must be a version, got ''; give its number")
    old = find(client, name, to)
    newest = find(client, name, "")
    if old.version == newest.version:
        raise TrainerError(
            f"version {to} of {name} is the newest already, @latest serves it; give an older one"
        )
    if old.source is None:
        raise TrainerError(f"version {to} of {name} names no model; give another one")
    tags = {key: old.tags[key] for key in _OWN_TAGS if key in old.tags}
    version = register_verified(
        client,
        old.source,
        name,
        tags={
            **tags,
            "rollback_of": str(old.version),
            **aliases.registered(name, str(newest.version)),
        },
        description=f"Rolled back to version {old.version}.\n\n{old.description or ''}",
        verifier=verifier,
    )
    return str(version.version)


def _check_alias(alias: str) -> None:
    if alias.lower() == "latest":
        raise UsageError(
            "`--alias` latest is the newest version and moves by itself; use `barwright rollback` "
            "to serve an older one, or another alias"
        )
    if not _ALIAS.fullmatch(alias) or re.fullmatch(r"[vV]\d+", alias):
        raise UsageError(
            "`--alias` must be letters, digits, '-' or '_', begin with a letter and not read like "
            f"a version (v1), got {alias!r}; use champion"
        )


def _against(
    challenger: Version,
    client: MlflowClient,
    before: str,
    alias: str,
    source: str,
    *,
    force: bool,
) -> list[Criterion]:
    """Hold a challenger against the alias's present version, on the same bars."""
    try:
        present = load(client, find(client, challenger.name, before))
    except (TrainerError, InputError, AdapterError) as error:
        # Or nothing could ever take its place, not even by force.
        return [unknown(alias, before, str(error))]
    try:
        frame = _bars(challenger, source or challenger.source)
    except InputError as error:
        if not force:
            raise
        return [unknown(alias, before, str(error))]
    tracks = [
        track(v.model, v.record, pd.Timestamp(v.evidence["last"]), frame)
        for v in (challenger, present)
    ]
    contract = challenger.model.contract
    compared = compare(
        tracks[0],
        tracks[1],
        Terms(contract.costs, challenger.evidence["periods_per_year"]),
    )
    return [versus(alias, before, compared), same_contract(contract, present.model.contract)]


def _bars(version: Version, source: str) -> pd.DataFrame:
    contract = version.model.contract
    builder = DatasetBuilder(
        open_source(source),
        Interval.parse(contract.interval),
        version.model.features,
        calendar=contract.calendar,
        allow_jumps=contract.allow_jumps,
    )
    bars, _ = builder.read(contract.symbol)
    return bars.to_frame()
