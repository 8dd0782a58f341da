"""Moving an alias: one mover at a time, and every move written down where the version is."""

from __future__ import annotations

import getpass
import json
import os
import random
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from mlflow import MlflowClient

from trainer.errors import TrainerError
from trainer.processes import is_alive, process_identity
from trainer.tracking.store import versions

_INTENT, _MOVE = "moving.", "move."
#: How long a mover holds an alias at most; what is older was left by one that died elsewhere.
_HELD_SECONDS = 120
#: How long to wait for another mover, which is done within a second or two.
_WAIT_SECONDS = 15


@dataclass(frozen=True)
class Move:
    """An alias from one version to another, and why.

    Attributes
    ----------
    name, alias : str
        Registered model, and its alias; ``latest`` for a rollback.
    to : str
        Version that it points to now; empty for a rollback, whose version holds its tag.
    before : str or None
        Version that it pointed to.
    forced : bool
        Whether the gate was overruled.
    reason : str
        In the words of who moved it.
    evidence : list of dict
        The criteria with their figures.
    who, when : str
        User and machine; UTC.
    """

    name: str
    alias: str
    to: str
    before: str | None
    forced: bool = False
    reason: str = ""
    evidence: list[dict[str, Any]] = field(default_factory=list)
    who: str = field(default_factory=lambda: f"{_user()}@{socket.gethostname()}")
    when: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    @property
    def tag(self) -> str:
        """Name of the tag that holds it: moves sort by time."""
        moment = datetime.fromisoformat(self.when).strftime("%Y%m%dT%H%M%S.%f")
        return f"{_MOVE}{self.alias}.{moment}"


def holder(client: MlflowClient, name: str, alias: str) -> str | None:
    """Version that an alias points to, if any."""
    found = client.get_registered_model(name).aliases.get(alias)
    return None if found is None else str(found)


def move(client: MlflowClient, wanted: Move) -> None:
    """Point an alias to a version, if it still points to where the mover saw it.

    The move is written down as intended, the alias set by one call, and then the move is written
    down as done: whatever is interrupted, the alias points to one of the two, and what is said of
    it can be told (`history`).

    Parameters
    ----------
    client : mlflow.MlflowClient
    wanted : Move

    Raises
    ------
    TrainerError
        If somebody else moved it meanwhile, which is written down too, or is moving it.
    """
    with _alone(client, wanted.name, wanted.alias):
        _settle(client, wanted.name, wanted.alias)
        now = holder(client, wanted.name, wanted.alias)
        if now != wanted.before:
            _write(client, wanted, f"lost: version {now} was made @{wanted.alias} meanwhile")
            raise TrainerError(
                f"@{wanted.alias} of {wanted.name} moved from {_said(wanted.before)} to "
                f"{_said(now)} while version {wanted.to} was judged; run it again to be held "
                "against the new one"
            )
        _write(client, wanted, "intended")
        client.set_registered_model_alias(wanted.name, wanted.alias, wanted.to)
        _write(client, wanted, "done")


def settle(client: MlflowClient, name: str, alias: str) -> None:
    """Say of moves of an alias that were interrupted whether they came about.

    Raises
    ------
    TrainerError
        If somebody is moving it.
    """
    with _alone(client, name, alias):
        _settle(client, name, alias)


def registered(name: str, before: str) -> dict[str, str]:
    """Return the tag of a move that needs no alias: a rollback, which registers a version.

    The tag is registered with the version, in one call: nothing can come between.
    """
    done = Move(name, "latest", "", before)
    return {done.tag: _entry(done, "done")}


def history(client: MlflowClient, name: str) -> list[dict[str, Any]]:
    """Return every move of a registered model's aliases, oldest first, with its ``state``."""
    found = [
        {"tag": key, **entry, "to": entry.get("to") or str(version.version)}
        for version in versions(client, name)
        for key, text in version.tags.items()
        if key.startswith(_MOVE)
        for entry in [_read(text)]
    ]
    return sorted(found, key=lambda entry: str(entry.get("when", "")))


@contextmanager
def _alone(client: MlflowClient, name: str, alias: str) -> Iterator[None]:
    """Hold the right to move an alias.

    MLflow sets aliases without looking, and offers no lock. But tags are written one by one and
    read after: who writes that he is about to move, and then finds nobody else writing so, is
    alone; who finds somebody withdraws and tries again.
    """
    own = f"{_INTENT}{alias}.{uuid.uuid4().hex}"
    claim = {
        "who": f"{_user()}@{socket.gethostname()}",
        "host": socket.gethostname(),
        "process": process_identity(os.getpid()),
        "since": time.time(),
    }
    deadline = time.monotonic() + _WAIT_SECONDS
    try:
        while True:
            client.set_registered_model_tag(name, own, json.dumps(claim))
            others = _others(client, name, alias, own)
            if not others:
                break
            client.delete_registered_model_tag(name, own)
            if time.monotonic() > deadline:
                raise TrainerError(
                    f"@{alias} of {name} is being moved by {others[0].get('who')}; run it again "
                    "when that is done"
                )
            time.sleep(random.uniform(0.05, 0.5))
        yield
    finally:
        if own in client.get_registered_model(name).tags:
            client.delete_registered_model_tag(name, own)


def _others(client: MlflowClient, name: str, alias: str, own: str) -> list[dict[str, Any]]:
    """Claims of movers that live; those of dead ones are removed."""
    found = []
    for key, text in client.get_registered_model(name).tags.items():
        if not key.startswith(f"{_INTENT}{alias}.") or key == own:
            continue
        claim = _read(text)
        here = claim.get("host") == socket.gethostname()
        dead = here and not is_alive(str(claim.get("process")))
        since = claim.get("since")
        # What was not written by a mover, or by a clock that is far off, would hold it for ever.
        known = isinstance(since, int | float) and abs(time.time() - since) <= _HELD_SECONDS
        if dead or not known:
            client.delete_registered_model_tag(name, key)
        else:
            found.append(claim)
    return found


def _settle(client: MlflowClient, name: str, alias: str) -> None:
    """Say of moves that were interrupted whether they came about."""
    now = holder(client, name, alias)
    for version in versions(client, name):
        for key, text in version.tags.items():
            entry = _read(text) if key.startswith(f"{_MOVE}{alias}.") else {}
            if entry.get("state") != "intended":
                continue
            came = entry.get("to") == now
            entry["state"] = "done" if came else "interrupted: the alias was not moved"
            client.set_model_version_tag(name, version.version, key, json.dumps(entry))


def _write(client: MlflowClient, said: Move, state: str) -> None:
    client.set_model_version_tag(said.name, said.to, said.tag, _entry(said, state))


def _entry(said: Move, state: str) -> str:
    return json.dumps({**asdict(said), "state": state})


def _read(text: str) -> dict[str, Any]:
    """Read a tag; people may write tags, too."""
    try:
        entry = json.loads(text)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _said(version: str | None) -> str:
    return "no version" if version is None else f"version {version}"


def _user() -> str:
    """Who asks: the name given to the tracking server, else that of the machine's account."""
    try:
        return os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()
    except (KeyError, OSError):  # a container's account may have no name
        return str(os.getuid())
