"""Moves of an alias: one mover at a time, each move recorded in a tag of its version."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, Self

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, RegisteredModel

from trainer.errors import TrainerError
from trainer.registry.claims import TagHolder, exclusive_claim, read_object, user
from trainer.tracking.model_uri import LATEST, find_version, list_versions
from trainer.tracking.store import read_all_pages

#: First parts of tag names: a claim of a mover (tag of the registered model), and a move (tag of
#: the version that the alias moves to).
_CLAIM, _MOVE = "moving.", "move."
#: Seconds to wait for another mover, which needs one or two.
_WAIT_SECONDS = 15
#: Stands for all aliases of a model in a claim; no alias can have this name.
EVERY_ALIAS = "every alias"
#: Registered models that one page of a search holds, the most that MLflow allows.
_MODELS_A_PAGE = 1_000
#: States of a move: before and after the alias is set.
_INTENDED, _DONE = "intended", "done"


@dataclass(frozen=True)
class Move:
    """An alias that moves from one version to another, with the reasons.

    Attributes
    ----------
    name, alias : str
        Registered model, and its alias; ``latest`` for a rollback.
    to : str
        Version that it moves to; empty for a rollback, whose tag is that of the new version.
    before : str or None
        Version that it pointed to.
    forced : bool
        Whether the gate was overruled.
    reason : str
        Reason that the user gave.
    evidence : list of dict
        The gate's criteria as JSON values.
    who, when : str
        User and machine; UTC, ISO 8601.
    """

    name: str
    alias: str
    to: str
    before: str | None
    forced: bool = False
    reason: str = ""
    evidence: list[dict[str, Any]] = field(default_factory=list)
    who: str = field(default_factory=user)
    when: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    @property
    def tag(self) -> str:
        """Name of the tag that records the move; names sort by time."""
        moment = datetime.fromisoformat(self.when).strftime("%Y%m%dT%H%M%S.%f")
        return f"{_MOVE}{self.alias}.{moment}"


@dataclass(frozen=True)
class MoveRecord(Move):
    """A move as it was recorded.

    Attributes
    ----------
    state : str
        ``done``, ``intended``, ``interrupted: ...`` or ``lost: ...``.
    """

    state: str = _INTENDED

    @property
    def may_have_moved(self) -> bool:
        """Whether the alias was moved, or whether that is not known yet."""
        return self.state in (_INTENDED, _DONE)

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values, with the name of its tag."""
        return {"tag": self.tag, **asdict(self)}

    @classmethod
    def from_tag(cls, text: str, version: str) -> Self | None:
        """Read a tag of a version; None for another text, since people write tags, too."""
        entry = read_object(text)
        try:
            datetime.fromisoformat(entry["when"])
            record = cls(**{name: entry[name] for name in (f.name for f in fields(cls))})
        except (KeyError, TypeError, ValueError):
            return None
        texts = (record.name, record.alias, record.to, record.who, record.reason, record.state)
        if not all(isinstance(text, str) for text in (*texts, record.before or "")):
            return None
        return record if record.to else replace(record, to=version)


def holder(client: MlflowClient, name: str, alias: str) -> str | None:
    """Return the version that an alias points to; None if it points to none."""
    return holders_of(client.get_registered_model(name)).get(alias)


def holders_of(model: RegisteredModel) -> dict[str, str]:
    """Return the version of each alias of a registered model."""
    return {alias: str(version) for alias, version in model.aliases.items()}


def all_holders(client: MlflowClient) -> dict[str, dict[str, str]]:
    """Return the version of each alias of every registered model, by model and alias.

    MLflow brings the aliases with the models: one call for a thousand of them. To ask for the
    alias of each model takes a call for each.
    """
    return {model.name: holders_of(model) for model in all_models(client)}


def all_models(client: MlflowClient) -> list[RegisteredModel]:
    """Return every registered model, with its aliases, its tags and its newest version."""
    return read_all_pages(
        lambda token: client.search_registered_models(max_results=_MODELS_A_PAGE, page_token=token)
    )


def move(client: MlflowClient, wanted: Move) -> None:
    """Point an alias to a version, unless it was moved since the caller read it.

    The move is recorded as intended, the alias is set by one call, and the move is recorded as
    done. If the process dies in between, the alias points to one of the two versions, and `settle`
    completes the record.

    Parameters
    ----------
    client : mlflow.MlflowClient
    wanted : Move

    Raises
    ------
    TrainerError
        If the alias no longer points to `wanted.before`, which is recorded as well, another mover
        is moving it, or the version was deleted meanwhile.
    """
    with exclusive_move(client, wanted.name, wanted.alias):
        find_version(client, wanted.name, wanted.to)
        _settle(client, wanted.name, wanted.alias)
        present = holder(client, wanted.name, wanted.alias)
        if present != wanted.before:
            _record(client, wanted, f"lost: version {present} was made @{wanted.alias} meanwhile")
            raise TrainerError(
                f"@{wanted.alias} of {wanted.name} moved from {_version_text(wanted.before)} to "
                f"{_version_text(present)} while version {wanted.to} was judged; run it again to "
                "compare it with the new one"
            )
        _record(client, wanted, _INTENDED)
        client.set_registered_model_alias(wanted.name, wanted.alias, wanted.to)
        _record(client, wanted, _DONE)


def settle(client: MlflowClient, name: str, alias: str) -> None:
    """Complete the records of moves that were interrupted: done, or not done.

    Raises
    ------
    TrainerError
        If another mover is moving the alias.
    """
    with exclusive_move(client, name, alias):
        _settle(client, name, alias)


def rollback_record(name: str, before: str) -> dict[str, str]:
    """Return the tag that records a rollback: MLflow itself moves ``@latest`` to the new version.

    The tag is registered together with the new version, in one call, so that a version without its
    record cannot exist.

    Parameters
    ----------
    name : str
        Registered model.
    before : str
        Newest version before the rollback.
    """
    done = Move(name, LATEST, "", before)
    return {done.tag: _entry(done, _DONE)}


def history(client: MlflowClient, name: str) -> list[MoveRecord]:
    """Return every recorded move of a registered model's aliases, oldest first.

    Raises
    ------
    TrainerError
        If there is no such model, or it has no version.
    """
    # An unknown model is an error, not an empty history.
    find_version(client, name)
    records = [record for version in list_versions(client, name) for record in records_of(version)]
    return sorted(records, key=lambda record: record.when)


def records_of(version: ModelVersion) -> list[MoveRecord]:
    """Return the moves of aliases to a version, as its tags record them."""
    read = (
        MoveRecord.from_tag(text, str(version.version))
        for key, text in version.tags.items()
        if key.startswith(_MOVE)
    )
    return [record for record in read if record is not None]


def exclusive_move(client: MlflowClient, name: str, alias: str) -> AbstractContextManager[None]:
    """Return the exclusive right to move an alias; that of `EVERY_ALIAS` to delete versions, too.

    MLflow sets an alias without looking.
    """

    def excludes(claimed: str) -> bool:
        if not claimed.startswith(_CLAIM):
            return False
        other = claimed.removeprefix(_CLAIM)
        return other == alias or EVERY_ALIAS in (other, alias)

    moved = "an alias" if alias == EVERY_ALIAS else f"@{alias}"
    return exclusive_claim(
        TagHolder.model(client, name),
        f"{_CLAIM}{alias}",
        f"{moved} of {name} is being moved",
        patience=_WAIT_SECONDS,
        excludes=excludes,
    )


def _settle(client: MlflowClient, name: str, alias: str) -> None:
    """Complete the records of interrupted moves; the caller holds the claim."""
    present = holder(client, name, alias)
    for version in list_versions(client, name):
        for key, text in version.tags.items():
            entry = read_object(text) if key.startswith(f"{_MOVE}{alias}.") else {}
            if entry.get("state") != _INTENDED:
                continue
            done = entry.get("to") == present
            entry["state"] = _DONE if done else "interrupted: the alias was not moved"
            client.set_model_version_tag(name, version.version, key, json.dumps(entry))


def _record(client: MlflowClient, moved: Move, state: str) -> None:
    client.set_model_version_tag(moved.name, moved.to, moved.tag, _entry(moved, state))


def _entry(moved: Move, state: str) -> str:
    return json.dumps({**asdict(moved), "state": state})


def _version_text(version: str | None) -> str:
    return "no version" if version is None else f"version {version}"
