"""An exclusive right, which a process claims by a tag that the processes of all machines see."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import random
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from threading import Event, Thread
from typing import Any

from mlflow import MlflowClient

from trainer.errors import TrainerError
from trainer.processes import is_alive, process_identity
from trainer.tracking.store import STORE_ERRORS

#: Seconds without a sign of life after which a claim is void: its process died on another machine.
_VOID_AFTER = 120
#: Seconds between signs of life.
_BEAT_SECONDS = 30.0


#: Claims of this process that have ended and could not be removed, because the store was down.
_ended: set[str] = set()


class ClaimedError(TrainerError):
    """Another process has the right."""


@dataclass(frozen=True)
class TagHolder:
    """What has tags in the store: a registered model, or an experiment.

    Attributes
    ----------
    read : callable
        Returns all of its tags.
    write : callable
        Writes a tag: name, value.
    remove : callable
        Removes a tag: name.
    """

    read: Callable[[], Mapping[str, str]]
    write: Callable[[str, str], object]
    remove: Callable[[str], object]

    @classmethod
    def model(cls, client: MlflowClient, name: str) -> TagHolder:
        """Return a registered model, which must exist."""
        return cls(
            lambda: client.get_registered_model(name).tags,
            partial(client.set_registered_model_tag, name),
            partial(client.delete_registered_model_tag, name),
        )

    @classmethod
    def experiment(cls, client: MlflowClient, experiment_id: str) -> TagHolder:
        """Return an experiment."""
        return cls(
            lambda: client.get_experiment(experiment_id).tags,
            partial(client.set_experiment_tag, experiment_id),
            partial(client.delete_experiment_tag, experiment_id),
        )


@contextlib.contextmanager
def exclusive_claim(
    holder: TagHolder,
    what: str,
    text: str,
    *,
    patience: float,
    excludes: Callable[[str], bool] | None = None,
) -> Iterator[None]:
    """Hold an exclusive right in the block.

    MLflow offers no lock. A process therefore writes a claim, a tag with a name of its own, and
    reads all claims after that. Without another claim it has the right. With another claim it
    removes its own, waits for a random time and tries again. Of two processes, at least one reads
    the claim of the other, so that they never both have the right.

    Parameters
    ----------
    holder : TagHolder
        Where the claims are.
    what : str
        The right; names of claims begin with it and a dot.
    text : str
        What a process with the right does, for the error: ``gru-BTC is being registered``.
    patience : float
        Longest wait for another process, in seconds.
    excludes : callable, optional
        Returns whether a right that another process claims excludes this one; by default only the
        same right does.

    Raises
    ------
    ClaimedError
        If another process has the right for longer.
    """
    own = f"{what}.{uuid.uuid4().hex}"
    excluded = excludes or what.__eq__
    deadline = time.monotonic() + patience
    try:
        while True:
            holder.write(own, _claim())
            others = _other_claims(holder, own, excluded)
            if not others:
                break
            holder.remove(own)
            if time.monotonic() > deadline:
                raise ClaimedError(f"{text} by {others[0].get('who')}; run it again when that ends")
            time.sleep(random.uniform(0.05, 0.5))
        with _signs_of_life(holder, own):
            yield
    finally:
        try:
            if own in holder.read():
                holder.remove(own)
        except STORE_ERRORS:
            _ended.add(own)


def user() -> str:
    """Return the user's name at the tracking server, or else on this machine; and the machine."""
    try:
        name = os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()
    except (KeyError, OSError):  # the account of a container may have no name
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def read_object(text: str) -> dict[str, Any]:
    """Return the JSON object of a tag; empty for any other text: people write tags, too."""
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return entry if isinstance(entry, dict) else {}


def _claim() -> str:
    claim = {
        "who": user(),
        "host": socket.gethostname(),
        "process": process_identity(os.getpid()),
        "since": time.time(),
    }
    return json.dumps(claim)


@contextlib.contextmanager
def _signs_of_life(holder: TagHolder, own: str) -> Iterator[None]:
    """Renew a claim during the block, in a thread of its own."""
    ended = Event()

    def renew() -> None:
        while not ended.wait(_BEAT_SECONDS):
            # The next one may arrive.
            with contextlib.suppress(*STORE_ERRORS):
                holder.write(own, _claim())

    thread = Thread(target=renew, name="barwright-claim", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        # A claim that is written after its removal would stay.
        thread.join()


def _other_claims(
    holder: TagHolder, own: str, excludes: Callable[[str], bool]
) -> list[dict[str, Any]]:
    """Return the valid claims of other processes; remove the void ones."""
    claims = []
    for key, text in holder.read().items():
        if key == own or not excludes(key.rpartition(".")[0]):
            continue
        claim = read_object(text)
        if key not in _ended and _is_valid(claim):
            claims.append(claim)
        else:
            # Another process may remove it at the same time.
            with contextlib.suppress(*STORE_ERRORS):
                holder.remove(key)
    return claims


def _is_valid(claim: dict[str, Any]) -> bool:
    """Return whether the process of a claim may still be alive."""
    on_this_machine = claim.get("host") == socket.gethostname()
    if on_this_machine and not is_alive(str(claim.get("process"))):
        return False
    since = claim.get("since")
    # A claim that no process wrote, or that a wrong clock dated, would hold for ever.
    return isinstance(since, int | float) and abs(time.time() - since) <= _VOID_AFTER
