"""The store behind MLflow: its address, whether it answers, its creation, its errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from sqlalchemy import create_engine, inspect

from trainer.errors import TrainerError
from trainer.tracking.store import (
    DEFAULT_URI,
    check_reachable,
    exclusive_database,
    open_store,
    read_all_pages,
    redacted,
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
