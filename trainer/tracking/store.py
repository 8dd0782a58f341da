"""Access to the store behind MLflow: its address, its reachability, its errors."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import logging
import os
import re
import shlex
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import read_mlflow_creds
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from trainer.errors import TrainerError

DEFAULT_URI = "sqlite:///mlflow.db"
_CONNECT_SECONDS = 5
#: Runs that one page of a search holds.
_RUNS_A_PAGE = 1_000
#: Errors that MLflow and the stores behind it raise when a call fails.
STORE_ERRORS = (MlflowException, SQLAlchemyError, requests.RequestException, OSError)


def tracking_uri() -> str:
    """Return the address of the store: MLFLOW_TRACKING_URI, or a database in this folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def redacted(text: str) -> str:
    """Return an address, or a text with addresses, without their passwords.

    Examples
    --------
    >>> redacted("postgresql://me:secret@db:5432/mlflow")
    'postgresql://me:***@db:5432/mlflow'
    """
    return re.sub(r"(?<=://)([^:/@\s]*):[^@\s]*@", r"\1:***@", text)


def server_command(uri: str) -> str:
    """Return the shell command that starts the UI of a database; empty for a server, which has one.

    Parameters
    ----------
    uri : str
        Address, as `redacted` returns it. For an address with a password the command reads the
        environment variable that the address came from.

    Examples
    --------
    >>> server_command("sqlite:////my bars/mlflow.db")
    "mlflow server --backend-store-uri 'sqlite:////my bars/mlflow.db' --workers 1"
    >>> server_command("postgresql://me:***@db/mlflow")
    'mlflow server --backend-store-uri "$MLFLOW_TRACKING_URI" --workers 1'
    """
    if uri.startswith("http"):
        return ""
    return f"mlflow server --backend-store-uri {_shell_word(uri)} --workers 1"


def _shell_word(uri: str) -> str:
    """Return a redacted address as a word of a shell command."""
    return '"$MLFLOW_TRACKING_URI"' if ":***@" in uri else shlex.quote(uri)


def print_only_warnings() -> None:
    """Let MLflow print warnings and errors only, unless the environment asks for more.

    Its other lines say what our own output says: that a run has ended, that a file was read.
    """
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    if not os.environ.get("MLFLOW_LOGGING_LEVEL"):
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        # It prints pages of traceback for an error that it raises, too.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def sqlite_path(uri: str) -> Path | None:
    """Return the file of an SQLite address; None for every other store."""
    path = uri.removeprefix("sqlite:///")
    return None if path == uri or not path or path.startswith(":memory:") else Path(path)


def store_error(uri: str, error: Exception) -> TrainerError:
    """Return an error of MLflow as one sentence for the user."""
    return access_error(uri, error) or TrainerError(
        f"MLflow at {redacted(uri)} cannot be used: {_reason(error)}; repair it, or set "
        "MLFLOW_TRACKING_URI to another one, and run again"
    )


def access_error(uri: str, error: Exception) -> TrainerError | None:
    """Return the error of a server that refuses the account; None for any other error.

    Parameters
    ----------
    uri : str
        Address of MLflow.
    error : Exception
    """
    status = _http_status(error)
    account = urlsplit(uri).username or read_mlflow_creds().username
    server = f"the MLflow server {redacted(uri)}"
    if status == HTTPStatus.UNAUTHORIZED and not account:
        return TrainerError(
            f"{server} asks for an account; set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, and run again"
        )
    if status == HTTPStatus.UNAUTHORIZED:
        return TrainerError(
            f"{server} does not know the account {account!r} with this password; correct "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, and run again"
        )
    if status == HTTPStatus.FORBIDDEN and "Permission denied" in str(error):
        return TrainerError(
            f"{server} does not allow this to the account {account!r}; use the account that made "
            "the model or the experiment, or let an administrator of the server give permission"
        )
    return None


def _http_status(error: Exception) -> int | None:
    """Return the status with which a server refused a request."""
    if isinstance(error, MlflowException):
        return int(error.get_http_status_code())
    if isinstance(error, requests.RequestException) and error.response is not None:
        return error.response.status_code
    return None


def artifact_store_error(uri: str, location: str, error: Exception) -> TrainerError:
    """Return an error of the store of an experiment's files as one sentence for the user.

    Parameters
    ----------
    uri : str
        Address of MLflow.
    location : str
        Where the experiment keeps its files.
    error : Exception
    """
    return TrainerError(
        f"the artifact store {redacted(location)} of MLflow at {redacted(uri)} cannot be written: "
        f"{_reason(error)}; make it writable, or give an --experiment whose artifact store is, and "
        "run again"
    )


def _reason(error: Exception) -> str:
    """Return the first line of an error, without passwords; of a database its own words."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DBAPIError) and cause.orig is not None:
            error = cause.orig  # SQLAlchemy's text begins with advice for programmers
            break
        cause = cause.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return redacted(lines[0].rstrip(".:;")) if lines else type(error).__name__


def check_reachable(uri: str) -> None:
    """Check that a tracking server or database answers; MLflow itself would retry for minutes.

    Raises
    ------
    TrainerError
        If it does not answer within seconds.
    """
    if not uri.startswith(("http://", "https://")):
        _check_database(uri)
        return
    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=_CONNECT_SECONDS).raise_for_status()
    except requests.RequestException as error:
        raise TrainerError(
            f"the MLflow server {redacted(uri)} cannot be reached ({type(error).__name__}); start "
            "it, or set MLFLOW_TRACKING_URI to another one"
        ) from error


def _check_database(uri: str) -> None:
    path = sqlite_path(uri)
    if "://" not in uri or (path is not None and not path.exists()):
        return  # it is created at its first use
    try:
        engine = create_engine(uri)
        try:
            with engine.connect() as connection:
                _check_schema(uri, connection)
        finally:
            engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        raise store_error(uri, error) from error


def _check_schema(uri: str, connection: Connection) -> None:
    """Raise unless MLflow's tables are those of the installed MLflow; there may be none yet.

    MLflow itself upgrades the tables of some older versions wherever it opens them: without a
    backup, and below the commands that use them.
    """
    tables = inspect(connection).get_table_names()
    if "experiments" not in tables:
        return
    present = (
        connection.scalar(text("SELECT version_num FROM alembic_version"))
        if "alembic_version" in tables
        else None
    )
    # Imported here: a client of a server needs none of it.
    from alembic.script import ScriptDirectory

    revisions = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    wanted = revisions.get_current_head()
    if present == wanted:
        return
    known = {revision.revision for revision in revisions.walk_revisions()}
    what = f"its tables are of revision {present}, and MLflow {mlflow.__version__} needs {wanted}"
    if present is None or present in known:
        raise TrainerError(
            f"the database {redacted(uri)} is of an older MLflow: {what}; stop all that uses it, "
            f"back it up, run `mlflow db upgrade {_shell_word(redacted(uri))}`, and run this again"
        )
    raise TrainerError(
        f"the database {redacted(uri)} is of a newer MLflow: {what}; install the MLflow that "
        "upgraded it, or restore the backup from before the upgrade"
    )


def open_store() -> tuple[str, MlflowClient]:
    """Open the store for a command that only reads runs and versions; `train` also creates it.

    Returns
    -------
    uri : str
        Address, as `tracking_uri` returns it.
    client : mlflow.MlflowClient

    Raises
    ------
    TrainerError
        If the store does not exist or does not answer.
    """
    print_only_warnings()
    uri = tracking_uri()
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


@contextlib.contextmanager
def exclusive_database(uri: str) -> Iterator[None]:
    """Allow one process at a time to open an SQLite file; create a missing file as a whole.

    Several processes that open an empty database at once leave it unusable.
    """
    path = sqlite_path(uri)
    if path is None:
        yield
        return
    with Path(f"{path}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Files of a command that was killed here: whoever writes one holds the lock.
        for left in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 32}*"):
            left.unlink()
        if not path.exists():
            # MLflow creates its tables over a second. A process that is killed meanwhile would
            # leave only a part of them.
            new = path.with_name(f".{path.name}.{uuid4().hex}")
            try:
                MlflowClient(f"sqlite:///{new}", f"sqlite:///{new}")
                new.replace(path)
            finally:
                new.unlink(missing_ok=True)
        yield


def find_run(client: MlflowClient, run_id: str) -> Run | None:
    """Return a run; None if there is none of this id."""
    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def find_runs(
    client: MlflowClient,
    experiment_id: str,
    condition: str,
    view: int = ViewType.ACTIVE_ONLY,
) -> list[Run]:
    """Return all runs of an experiment that satisfy a condition of MLflow's search.

    Parameters
    ----------
    client : mlflow.MlflowClient
    experiment_id, condition : str
    view : int
        ``ViewType.ALL`` for deleted runs, too.
    """
    return read_all_pages(
        lambda token: client.search_runs(
            [experiment_id], condition, view, max_results=_RUNS_A_PAGE, page_token=token
        )
    )


def read_all_pages(search: Callable[[str | None], Any]) -> list[Any]:
    """Return all results of a search that MLflow answers page by page.

    Parameters
    ----------
    search : callable
        Returns one page for a page token; None is the token of the first page.
    """
    return [result for page in each_page(search) for result in page]


def each_page(search: Callable[[str | None], Any]) -> Iterator[Any]:
    """Yield each page of a search, so that no more than one of them is in memory."""
    page = search(None)
    yield page
    while page.token:
        page = search(page.token)
        yield page
