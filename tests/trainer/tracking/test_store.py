"""The store behind MLflow: its address, whether it answers, its creation, its errors."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests
from alembic import command
from alembic.script import ScriptDirectory
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, get_error_code
from mlflow.store.db.utils import _get_alembic_config, _get_latest_schema_revision
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase
from sqlalchemy import create_engine, event, inspect, text

from trainer.errors import TrainerError
from trainer.tracking.mlflow_runs import open_tracking
from trainer.tracking.store import (
    DEFAULT_URI,
    access_error,
    artifact_store_error,
    check_reachable,
    exclusive_database,
    open_store,
    print_only_warnings,
    read_all_pages,
    redacted,
    server_command,
    sqlite_path,
    store_error,
    tracking_uri,
)


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("postgresql+psycopg://me:secret@db:5432/mlflow", "postgresql+psycopg://me:***@db:5432/mlflow"),
        ("https://me:sec/ret@host/path", "https://me:***@host/path"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("redis://:secret@host", "redis://:***@host"),
        (
            "GET http://me:secret@host/x failed: models:/y@latest",
            "GET http://me:***@host/x failed: models:/y@latest",
        ),
        ("http://host:5000/x, models:/y@latest", "http://host:5000/x, models:/y@latest"),
    ],
)  # fmt: skip
def test_addresses_are_printed_without_their_password(uri: str, text: str) -> None:
    assert redacted(uri) == text


def test_the_address_is_that_of_the_environment_or_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host")
    assert tracking_uri() == "http://host"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert tracking_uri() == DEFAULT_URI
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking_uri() == DEFAULT_URI


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:///mlflow.db", "mlflow.db"),
        ("sqlite:////data/mlflow.db", "/data/mlflow.db"),
        ("sqlite:///:memory:", None),
        ("sqlite:///", None),
        ("http://host", None),
    ],
)
def test_only_sqlite_addresses_have_a_file(uri: str, path: str | None) -> None:
    assert sqlite_path(uri) == (None if path is None else Path(path))


def test_an_unreachable_server_is_named_without_its_password() -> None:
    with pytest.raises(TrainerError, match=r"http://me:\*\*\*@127\.0\.0\.1:9 cannot be reached"):
        check_reachable("http://me:secret@127.0.0.1:9")


def test_an_unreachable_database_is_named_without_its_password() -> None:
    with pytest.raises(TrainerError) as error:
        check_reachable("postgresql+psycopg://me:secret@127.0.0.1:9/none")
    assert str(error.value).startswith(
        "MLflow at postgresql+psycopg://me:***@127.0.0.1:9/none cannot be used: "
    )
    assert "secret" not in str(error.value)


def test_an_error_of_the_store_is_one_line() -> None:
    error = store_error("sqlite:///x.db", MlflowException("first line\nsecond line"))
    assert str(error) == (
        "MLflow at sqlite:///x.db cannot be used: first line; repair it, or set "
        "MLFLOW_TRACKING_URI to another one, and run again"
    )
    assert "cannot be used: OSError;" in str(store_error("sqlite:///x.db", OSError()))
    # MLflow's errors of requests contain the address as it was given.
    error = store_error("http://me:secret@h", MlflowException("GET http://me:secret@h/x failed"))
    assert "cannot be used: GET http://me:***@h/x failed;" in str(error)


def refusal(status: int, text: str) -> MlflowException:
    """Return the error that MLflow raises for a refused request."""
    return MlflowException(
        f"API request to endpoint /x failed with error code {status} != 200. Response body: "
        f"'{text}'",
        error_code=get_error_code(status),
    )


@pytest.mark.parametrize(
    ("uri", "account", "error", "text"),
    [
        (
            "http://h:5000", "", refusal(401, "You are not authenticated."),
            "the MLflow server http://h:5000 asks for an account; set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, and run again",
        ),
        (
            "http://h:5000", "ada", refusal(401, "You are not authenticated."),
            "the MLflow server http://h:5000 does not know the account 'ada' with this password; "
            "correct MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, and run again",
        ),
        (
            "http://eve:secret@h", "ada", refusal(401, "You are not authenticated."),
            "the MLflow server http://eve:***@h does not know the account 'eve' with this "
            "password; correct MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, and run "
            "again",
        ),
        (
            "http://h:5000", "ada", refusal(403, "Permission denied"),
            "the MLflow server http://h:5000 does not allow this to the account 'ada'; use the "
            "account that made the model or the experiment, or let an administrator of the server "
            "give permission",
        ),
    ],
)  # fmt: skip
def test_a_refused_account_is_named_with_the_way_out(
    uri: str, account: str, error: Exception, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", account)
    assert str(access_error(uri, error)) == str(store_error(uri, error)) == text


def test_another_refusal_is_none_of_the_account() -> None:
    for error in (
        refusal(403, "Invalid Host header - possible DNS rebinding attack detected"),
        refusal(500, "Permission denied"),
        MlflowException("Permission denied"),
        OSError("Permission denied"),
        requests.ConnectionError("401"),
    ):
        assert access_error("http://h", error) is None


def test_a_file_that_is_refused_is_a_refusal_too() -> None:
    response = requests.Response()
    response.status_code = 401
    refused = access_error("http://h", requests.HTTPError("401", response=response))
    assert "asks for an account" in str(refused)


def test_an_error_of_a_database_is_told_in_its_own_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk: SQLAlchemy begins with advice for programmers, and MLflow logs a traceback."""
    print_only_warnings()
    uri = f"sqlite:///{tmp_path / 'full.db'}"
    client = MlflowClient(uri)
    client.create_experiment("before")
    with closing(sqlite3.connect(tmp_path / "full.db")) as database:
        pages = database.execute("PRAGMA page_count").fetchone()[0]

    def limit(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    event.listen(client._tracking_client.store.engine, "connect", limit)
    client._tracking_client.store.engine.dispose()
    with pytest.raises(MlflowException) as caught:
        client.create_experiment("after", tags={str(n): "x" * 5_000 for n in range(20)})
    text = str(store_error(uri, caught.value))
    assert "full.db cannot be used: database or disk is full; repair it, or set MLFLOW_" in text
    assert not caplog.records


def test_an_error_of_the_artifact_store_names_both_addresses_the_reason_and_a_way_out() -> None:
    refused = PermissionError(13, "Permission denied", "/x/1/run.yaml")
    error = artifact_store_error("http://me:secret@h", "sftp://me:secret@files/x/1", refused)
    assert str(error) == (
        "the artifact store sftp://me:***@files/x/1 of MLflow at http://me:***@h cannot be "
        "written: [Errno 13] Permission denied: '/x/1/run.yaml'; make it writable, or give an "
        "--experiment whose artifact store is, and run again"
    )


@pytest.mark.parametrize(
    ("uri", "command"),
    [
        ("sqlite:///x.db", "mlflow server --backend-store-uri sqlite:///x.db --workers 1"),
        (
            "sqlite:////it's/my db",
            """mlflow server --backend-store-uri 'sqlite:////it'"'"'s/my db' --workers 1""",
        ),
        (
            "postgresql://me:***@db/m",
            'mlflow server --backend-store-uri "$MLFLOW_TRACKING_URI" --workers 1',
        ),
        ("http://host", ""),
        ("https://me:***@host", ""),
    ],
)  # fmt: skip
def test_a_database_needs_a_server_for_its_ui(uri: str, command: str) -> None:
    assert server_command(uri) == command


@pytest.mark.parametrize(
    ("asked", "level"), [("", logging.WARNING), ("DEBUG", logging.NOTSET), (None, logging.WARNING)]
)
def test_mlflow_prints_warnings_only_unless_more_is_asked_for(
    asked: str | None, level: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {
        "MLFLOW_LOGGING_LEVEL": asked,
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": None,
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "true",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value or "")
        if value is None:
            monkeypatch.delenv(name)
    logger = logging.getLogger("mlflow")
    before = logger.level
    logger.setLevel(logging.NOTSET)
    try:
        print_only_warnings()
        assert logger.level == level
    finally:
        logger.setLevel(before)
    assert os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] == "true"
    assert os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] == "true", "a given value is kept"


def test_a_command_that_reads_creates_no_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(TrainerError, match=r"there is no MLflow database '.*none\.db'; run this"):
        open_store()
    assert list(tmp_path.iterdir()) == []


def test_an_existing_store_is_opened(registry_store: Any) -> None:
    uri, client = open_store()
    assert uri == registry_store.uri == mlflow.get_tracking_uri()
    assert [experiment.name for experiment in client.search_experiments()] == ["Default"]


def test_a_new_database_is_created_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    for ending in ("", "-journal"):  # of a command that was killed
        (tmp_path / f".mlflow.db.{'0a' * 16}{ending}").touch()
    with exclusive_database(f"sqlite:///{path}"):
        engine = create_engine(f"sqlite:///{path}")
        assert "registered_models" in inspect(engine).get_table_names()
        engine.dispose()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mlflow.db", "mlflow.db.lock"]
    content = path.read_bytes()
    with exclusive_database(f"sqlite:///{path}"):
        assert path.read_bytes() == content


def test_a_database_that_cannot_be_created_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(uri: str, *_: str) -> None:
        Path(uri.removeprefix("sqlite:///")).touch()
        raise MlflowException("disk full")

    monkeypatch.setattr("trainer.tracking.store.MlflowClient", fail)
    with (
        pytest.raises(MlflowException, match="disk full"),
        exclusive_database(f"sqlite:///{tmp_path}/mlflow.db"),
    ):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["mlflow.db.lock"]


def test_every_page_of_a_search_is_read(registry_store: Any) -> None:
    client = registry_store.client
    experiment = client.create_experiment("pages")
    for _ in range(5):
        client.create_run(experiment)
    runs = read_all_pages(
        lambda token: client.search_runs([experiment], max_results=2, page_token=token)
    )
    assert len({run.info.run_id for run in runs}) == len(runs) == 5


def _make_older(uri: str, steps: int) -> str:
    """Make MLflow's tables as they were some revisions ago; return that revision."""
    config = _get_alembic_config(uri)
    scripts = ScriptDirectory.from_config(config)
    revision = [script.revision for script in scripts.walk_revisions()][steps]
    engine = create_engine(uri)
    InitialBase.metadata.create_all(engine)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    return revision


def _revision(uri: str) -> str:
    engine = create_engine(uri)
    with engine.connect() as connection:
        found = connection.scalar(text("SELECT version_num FROM alembic_version"))
    engine.dispose()
    return str(found)


@pytest.mark.parametrize(
    ("database", "steps"),
    [("sqlite", 12), pytest.param("postgresql", 1, marks=pytest.mark.postgres)],
)
def test_tables_of_an_older_mlflow_are_refused_and_upgraded_by_the_command_of_the_message(
    database: str,
    steps: int,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """MLflow itself would upgrade them unasked: after 12 revisions, tables are missing."""
    uri = (
        f"sqlite:///{tmp_path}/old.db"
        if database == "sqlite"
        else request.getfixturevalue("new_postgres")
    )
    revision = _make_older(uri, steps)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    address = '"$MLFLOW_TRACKING_URI"' if "@" in uri else uri
    for open_it in (open_store, lambda: open_tracking("e", {}).__enter__()):
        with pytest.raises(TrainerError) as raised:
            open_it()
        assert str(raised.value) == (
            f"the database {redacted(uri)} is of an older MLflow: its tables are of revision "
            f"{revision}, and MLflow {mlflow.__version__} needs {_get_latest_schema_revision()}; "
            f"stop all that uses it, back it up, run `mlflow db upgrade {address}`, and run this "
            "again"
        )
    assert _revision(uri) == revision
    # In a process of its own, which closes its connections.
    upgrade = [sys.executable, "-m", "mlflow", "db", "upgrade", uri]
    upgraded = subprocess.run(upgrade, capture_output=True, text=True, check=False)
    assert upgraded.returncode == 0, upgraded.stderr
    assert open_store()[1].search_registered_models() == []


def test_tables_of_a_newer_mlflow_and_unnumbered_ones_are_refused(
    empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(empty_store, tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'fffffffffff1'")
        connection.commit()
        with pytest.raises(TrainerError, match=r"of a newer MLflow: .* fffffffffff1, .*; install"):
            open_store()
        connection.execute("DROP TABLE alembic_version")
        connection.commit()
    with pytest.raises(TrainerError, match="of an older MLflow: its tables are of revision None"):
        open_store()


def test_a_database_without_tables_of_mlflow_is_no_older_one(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "own.db")) as connection:
        connection.execute("CREATE TABLE own (x INTEGER)")
    check_reachable(f"sqlite:///{tmp_path}/own.db")
