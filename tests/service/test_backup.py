"""scripts/backup.py and prune on real versions, on SQLite and PostgreSQL.

A registry is pruned by a command that is killed, backed up, destroyed and restored.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from mlflow.cli import gc
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as ModelStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as TrackingStore
from sqlalchemy import create_engine, text

from scripts import backup
from tests import commands
from tests.commands import Death
from trainer.flavor import load_model
from trainer.registry import alias, promotion
from trainer.registry.orphans import compare_files
from trainer.tracking.store import sqlite_path

pytestmark = pytest.mark.slow


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(
        "registry_store" if request.param == "sqlite" else "postgres_store"
    )


@pytest.fixture
def save(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """``save(what)``: run the script on the store."""
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", store.uri)
    return lambda what: backup.main([what, str(tmp_path / "backup")])


def destroy(store: Any) -> None:
    """Lose the files and all tables."""
    shutil.rmtree(store.folder / "mlruns")
    path = sqlite_path(store.uri)
    if path is not None:
        path.unlink()
        for kind in (TrackingStore, ModelStore):  # MLflow keeps connections to the file
            kind._engine_map[store.uri].dispose()
        return
    engine = create_engine(store.uri)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()


def numbers(store: Any) -> list[int]:
    found = store.client.search_model_versions(f"name = '{store.name}'")
    return sorted(int(version.version) for version in found)


def test_a_destroyed_registry_is_restored_with_every_version_of_the_database(
    store: Any,
    save: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for seed in (1, 2):
        store.version(store.record(0.25, seed=seed))
    promotion.promote(store.client, store.name, version="1", force=True, reason="a drill")
    copy_files = backup.copy_files

    def train_meanwhile(*args: Any) -> None:
        store.version(store.record(0.25, seed=3))
        copy_files(*args)

    monkeypatch.setattr(backup, "copy_files", train_meanwhile)
    assert save("save") == 0
    assert (save("save"), save("restore")) == (1, 1)
    errors = capsys.readouterr().err.splitlines()
    assert errors[-2].endswith("has files; give a new one")
    assert errors[-1].endswith("exists already, and nothing is overwritten; give an empty one")

    destroy(store)
    assert save("restore") == 0
    report = compare_files(store.uri)
    assert (report.versions, report.broken) == (2, ())
    # Of the version that was registered meanwhile, run and model have files and no row.
    assert len(report.orphans) == 2
    # The evidence, the trials and the record of the move are there as well.
    decision = promotion.promote(store.client, store.name, source=store.source)
    assert (decision.before, decision.version, decision.moved) == ("1", "2", True)
    drill, _ = alias.history(store.client, store.name)
    assert (drill.reason, drill.state) == ("a drill", "done")
    assert load_model(f"models:/{store.name}@champion").contract.symbol == "SYNTH"


def test_an_incomplete_backup_is_not_restored(
    registry_store: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "backup").mkdir()
    backup.dump_database(tmp_path / "backup", registry_store.uri)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_BACKEND_STORE_URI", f"sqlite:///{tmp_path}/new.db")
        assert backup.main(["restore", str(tmp_path / "backup")]) == 1
        patch.setenv("MLFLOW_BACKEND_STORE_URI", "http://127.0.0.1:5000")
        assert backup.main(["save", str(tmp_path / "other")]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("is no complete backup: it has no backup.json")
    assert second.endswith("must be a SQLite or PostgreSQL database, got http://127.0.0.1:5000")
    assert not (tmp_path / "new.db").exists()


#: Where a command that removes version 1 is killed, and the versions that are left then.
DEATHS = [
    (Death("mlflow:MlflowClient", "delete_logged_model", "after"), [1, 2, 3]),
    (Death("mlflow:MlflowClient", "delete_model_version", "after"), [2, 3]),
]


def test_a_prune_that_is_killed_goes_on_and_gc_breaks_no_version(
    registry_store: Any, make_workspace: Any
) -> None:
    store = registry_store
    for seed in range(3):
        store.version(store.record(0.25, seed=seed))
    store.client.set_registered_model_alias(store.name, "champion", "2")
    environment = make_workspace(store.folder, store.uri).environment
    prune = ("-m", "trainer", "prune", "--keep", "1", "--older-than", "0d", "--apply")
    for death, left in DEATHS:
        killed = commands.start(store.folder, environment, prune, death=death).finished()
        assert (killed.returncode, numbers(store)) == (-9, left)
    done = commands.start(store.folder, environment, prune).finished()
    assert done.returncode == 0, done.stderr
    assert "Removed 0 versions, 0 logged models and 0 runs." in done.stdout
    assert numbers(store) == [2, 3]
    collected = CliRunner().invoke(
        gc, ["--backend-store-uri", store.uri, "--tracking-uri", store.uri]
    )
    assert collected.exit_code == 0, collected.output
    assert collected.output.count("Logged model with ID") == 1
    report = compare_files(store.uri)
    assert (report.versions, report.orphans, report.broken, report.deleted_models) == (2, (), (), 0)
    # The three runs are trials, and stay. The newest version is judged by all of them.
    decision = promotion.promote(store.client, store.name, source=store.source)
    assert (decision.before, decision.version) == ("2", "3")
    tags = store.client.get_registered_model(store.name).tags
    assert not any(tag.startswith("moving.") for tag in tags)
