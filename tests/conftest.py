"""Settings and servers that every test shares."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from scripts.object_store import ObjectStore
    from tests.registry_store import RegistryStore

# The same examples on every machine and in every run, and no time limit on a busy one.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session", autouse=True)
def session_store(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compute the sessions of exchanges anew in each run, once for all workers and commands."""
    own = tmp_path_factory.getbasetemp()
    common = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    os.environ["BARWRIGHT_CACHE"] = str(common / "calendars")


#: Fixtures that open an MLflow store or start a server.
_SERVERS = {
    "empty_store",
    "new_postgres",
    "object_store",
    "postgres",
    "postgres_store",
    "registry_store",
    "serve",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make quick` leaves out."""
    for item in items:
        in_service = "service" in item.path.parts
        if in_service or _SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.server)


#: Type of `make_once`.
MakeOnce = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """``make_once(name, make)``: a folder that one worker of pytest-xdist fills for all of them."""
    own = tmp_path_factory.getbasetemp()
    common = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def folder_of(name: str, make: Callable[[Path], None]) -> Path:
        folder, made = common / name, common / f"{name}.made"
        with (common / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                made.touch()
        return folder

    return folder_of


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL on loopback: its SQLAlchemy URL."""
    folder = tmp_path_factory.mktemp("postgres")
    script = str(Path(__file__).resolve().parents[1] / "scripts" / "postgres.sh")
    started = subprocess.run([script, "start", folder], capture_output=True, text=True, check=False)
    assert started.returncode == 0, started.stderr
    yield started.stdout.strip()
    subprocess.run([script, "stop", folder], check=True)


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A real S3 store on loopback, with an empty bucket."""
    from scripts import object_store

    with object_store.object_store(tmp_path_factory.mktemp("s3")) as store:
        yield store


def _make_tables(uri: str) -> None:
    # In a process of its own: it keeps no connection, and most tests need no MLflow.
    code = "import sys, mlflow; mlflow.MlflowClient(*sys.argv[1:] * 2).search_experiments()"
    done = subprocess.run(
        [sys.executable, "-c", code, uri], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def empty_store(make_once: MakeOnce) -> Path:
    """A database with MLflow's tables, to be copied: making them takes seconds."""
    folder = make_once("empty_store", lambda folder: _make_tables(f"sqlite:///{folder}/mlflow.db"))
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def empty_postgres(postgres: str) -> str:
    """The same in PostgreSQL: URL of a database to be copied."""
    url = _new_database(postgres, "empty")
    _make_tables(url)
    return url


@pytest.fixture
def new_postgres(postgres: str) -> str:
    """URL of a new PostgreSQL database, without tables."""
    return _new_database(postgres, f"new_{uuid4().hex}")


@pytest.fixture(scope="session")
def copy_postgres(postgres: str, empty_postgres: str) -> Callable[[], str]:
    """``copy_postgres()``: URL of a new PostgreSQL database, with MLflow's tables."""
    return lambda: _new_database(postgres, f"test_{uuid4().hex}", template="empty")


def _new_database(postgres: str, name: str, template: str = "template0") -> str:
    # PostgreSQL copies a template only while nobody is connected to it.
    _execute(postgres, f"CREATE DATABASE {name} TEMPLATE {template}")
    return f"{postgres.rsplit('/', 1)[0]}/{name}"


def _execute(url: str, statement: str) -> None:
    from sqlalchemy import create_engine, text

    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def registry_store(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RegistryStore]:
    """A real SQLite store in its own folder, and bars of SYNTH beside it."""
    from tests.registry_store import opened

    shutil.copy(empty_store, tmp_path / "mlflow.db")
    with opened(tmp_path, f"sqlite:///{tmp_path}/mlflow.db", monkeypatch) as store:
        yield store


@pytest.fixture
def postgres_store(
    tmp_path: Path, copy_postgres: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[RegistryStore]:
    """The same on a fresh PostgreSQL database."""
    from tests.registry_store import opened

    with opened(tmp_path, copy_postgres(), monkeypatch) as store:
        yield store
