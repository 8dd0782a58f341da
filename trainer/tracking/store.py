"""The store behind MLflow: asked for a sign of life, made whole, its errors put in one line."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from trainer.errors import TrainerError

DEFAULT_URI = "sqlite:///mlflow.db"
_CONNECT_SECONDS = 5
#: What MLflow and the stores behind it raise when they cannot do what they are asked.
STORE_ERRORS = (MlflowException, SQLAlchemyError, requests.RequestException, OSError)


def check_reachable(uri: str) -> None:
    """Ask a tracking server or database for a sign of life, instead of minutes of silent retries.

    Raises
    ------
    TrainerError
        If there is no answer within seconds.
    """
    if not uri.startswith(("http://", "https://")):
        _check_database(uri)
        return
    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=_CONNECT_SECONDS).raise_for_status()
    except requests.RequestException as error:
        raise TrainerError(
            f"the MLflow server {shown(uri)} cannot be reached ({type(error).__name__}); start "
            "it, or set MLFLOW_TRACKING_URI to another one"
        ) from error


def open_store() -> tuple[str, MlflowClient]:
    """Open the store that commands look things up in; unlike `train`, they do not make one.

    Returns
    -------
    uri : str
        MLFLOW_TRACKING_URI, or the database of this folder.
    client : mlflow.MlflowClient

    Raises
    ------
    TrainerError
        If it is not there, or does not answer.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    check_reachable(uri)
    path = sqlite_path(uri)
    if path is not None and not path.exists():
        raise TrainerError(
            f"there is no MLflow database {str(path)!r}; run this where models were trained, or "
            "set MLFLOW_TRACKING_URI"
        )
    mlflow.set_tracking_uri(uri)
    try:
        return uri, MlflowClient()
    except (*STORE_ERRORS, ImportError) as error:
        raise store_error(uri, error) from error


def _check_database(uri: str) -> None:
    path = sqlite_path(uri)
    if "://" not in uri or (path is not None and not path.exists()):
        return  # made on first use
    try:
        engine = create_engine(uri)
        with engine.connect() as connection:
            inspect(connection).get_table_names()
        engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        raise store_error(uri, error) from error


def sqlite_path(uri: str) -> Path | None:
    """File of an SQLite URI; None for every other store."""
    path = uri.removeprefix("sqlite:///")
    return None if path == uri or not path or path.startswith(":memory:") else Path(path)


def shown(uri: str) -> str:
    """Return an address without its password."""
    return re.sub(r"(?<=://)([^:/@]+):[^@]*@", r"\1:***@", uri)


def store_error(uri: str, error: Exception) -> TrainerError:
    """Say in one line what MLflow could not do."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return TrainerError(
        f"MLflow at {shown(uri)} cannot be used: {reason}; repair it, or set MLFLOW_TRACKING_URI "
        "to another one, and run again"
    )


def every_page(search: Callable[[str | None], Any]) -> list[Any]:
    """Return what a search finds, page by page: called with a token, None for the first page."""
    page = search(None)
    found = list(page)
    while page.token:
        page = search(page.token)
        found += page
    return found


def versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    """All versions of a registered model, oldest first; none if there is no such model."""
    # MLflow's filters know no escape: a quote would end the name and go on as a condition.
    if "'" in name:
        return []
    found = every_page(
        lambda token: client.search_model_versions(f"name = '{name}'", page_token=token)
    )
    return sorted(found, key=lambda version: int(version.version))


@contextlib.contextmanager
def alone(uri: str) -> Iterator[None]:
    """Let one process at a time open a SQLite file; a new one is there whole or not at all."""
    path = sqlite_path(uri)
    if path is None:
        yield
        return
    with Path(f"{path}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            # MLflow makes its tables over a second; a kill on the way would leave half of them.
            new = path.with_name(f".{path.name}.{uuid4().hex}")
            try:
                MlflowClient(f"sqlite:///{new}", f"sqlite:///{new}")
                new.replace(path)
            finally:
                new.unlink(missing_ok=True)
        yield
