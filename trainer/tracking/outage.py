"""Calls of a store that may be down for a while: repeated when it answers again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import requests
from sqlalchemy.exc import DBAPIError

from trainer.errors import TrainerError
from trainer.tracking.store import STORE_ERRORS, check_reachable

Result = TypeVar("Result")

#: Longest wait for a store that is down, in seconds.
PATIENCE = 180.0
_LOOK_SECONDS = 2.0
#: Times that something is tried at most: a store that goes down again and again is not waited for.
_TRIES = 3


def through_outages(uri: str, action: Callable[[], Result]) -> Result:
    """Do something in a store; if the store goes down meanwhile, do it again when it is back.

    Parameters
    ----------
    uri : str
        Address of the store.
    action : callable
        It may have had its effect although its answer was lost.

    Raises
    ------
    Exception
        Every error of the action that is no outage; an outage only if it lasts too long.
    """
    for _ in range(_TRIES - 1):
        try:
            return action()
        except STORE_ERRORS as error:
            if not is_outage(error) or not _wait_until_back(uri):
                raise
    return action()


def is_outage(error: BaseException) -> bool:
    """Return whether an error, or one that led to it, is a connection that broke."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, requests.ConnectionError | requests.Timeout | ConnectionError):
            return True
        # The server of a database ended, or does not take connections.
        if isinstance(cause, DBAPIError) and (
            cause.connection_invalidated or "connection" in str(cause.orig).lower()
        ):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _wait_until_back(uri: str) -> bool:
    """Wait until the store answers; return False if it does not within `PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            check_reachable(uri)
            return True
        except TrainerError:
            if time.monotonic() >= deadline:
                return False
        time.sleep(_LOOK_SECONDS)
