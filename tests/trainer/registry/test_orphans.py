"""Files and database compared: unknown folders, versions without files, what gc would break."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainer.errors import TrainerError, UsageError
from trainer.registry.orphans import BrokenVersion, FileReport, compare_files

NAME = "m-X"


@pytest.fixture
def root(registry_store: Any) -> Path:
    """Folder of an experiment with three runs, of which two have a model and a version."""
    client = registry_store.client
    client.create_experiment("e")
    client.create_registered_model(NAME)
    for number in range(3):
        run_id = client.create_run("1").info.run_id
        client.log_text(run_id, "x", "file.txt")
        if number < 2:
            model = client.create_logged_model("1", "m", source_run_id=run_id)
            client.finalize_logged_model(model.model_id, "READY")
            Path(model.artifact_location).mkdir(parents=True)
            (Path(model.artifact_location) / "MLmodel").touch()
            client.create_model_version(NAME, f"models:/{model.model_id}", run_id)
    return Path(client.get_experiment("1").artifact_location)


@pytest.fixture
def compared(registry_store: Any) -> Callable[[], FileReport]:
    return lambda: compare_files(registry_store.uri)


def folder_of(store: Any, number: str) -> Path:
    model = store.client.get_model_version(NAME, number).source.removeprefix("models:/")
    return Path(store.client.get_logged_model(model).artifact_location)


def test_all_that_is_known_is_no_orphan(root: Path, compared: Callable[[], FileReport]) -> None:
    assert compared() == FileReport(5, 2, (), (), 0, 0)


def test_unknown_folders_are_measured(root: Path, compared: Callable[[], FileReport]) -> None:
    lost_run, lost_model = root / ("0" * 32), root / "models" / "m-lost" / "artifacts"
    for folder, size in ((lost_run / "artifacts" / "report", 1_000), (lost_model, 20)):
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"x" * size)
        (folder / "empty").touch()
    (root / "traces" / "tr-1").mkdir(parents=True)
    (root / "models" / "m-freed").mkdir()  # as `mlflow gc` leaves it
    report = compared()
    assert (report.folders, report.broken) == (8, ())
    assert {(orphan.uri, orphan.files, orphan.size) for orphan in report.orphans} == {
        (str(lost_run), 2, 1_000),
        (str(lost_model.parent), 2, 20),
    }


def test_versions_whose_files_are_missing_are_named(
    registry_store: Any, root: Path, compared: Callable[[], FileReport]
) -> None:
    first, second = (folder_of(registry_store, number) for number in ("1", "2"))
    (first / "MLmodel").unlink()
    shutil.rmtree(second)
    why = "it has no MLmodel"
    assert compared().broken == (
        BrokenVersion(NAME, "1", str(first), why),
        BrokenVersion(NAME, "2", str(second), why),
    )
    registry_store.client.delete_model_version(NAME, "2")
    assert [version.number for version in compared().broken] == ["1"]


def test_a_version_of_a_deleted_model_is_named_before_gc_breaks_it(
    registry_store: Any, root: Path, compared: Callable[[], FileReport]
) -> None:
    store = registry_store
    model = store.client.get_model_version(NAME, "1").source.removeprefix("models:/")
    store.client.delete_logged_model(model)
    run = store.client.get_model_version(NAME, "2").run_id
    store.client.delete_run(run)
    report = compared()
    assert (report.deleted_runs, report.deleted_models, report.orphans) == (1, 1, ())
    (broken,) = report.broken
    assert (broken.number, broken.why) == (
        "1", f"its logged model {model} is deleted: `mlflow gc` would remove the files"
    )  # fmt: skip


def test_files_that_a_server_hands_out_are_looked_for_at_its_destination(
    registry_store: Any, root: Path
) -> None:
    client = registry_store.client
    client.create_experiment("served", "mlflow-artifacts:/7")
    with pytest.raises(UsageError, match="`--artifacts-destination` must be given"):
        compare_files(registry_store.uri)
    lost = registry_store.folder / "bucket" / "7" / "models" / "m-lost"
    lost.mkdir(parents=True)
    (lost / "MLmodel").touch()
    report = compare_files(registry_store.uri, f"{registry_store.folder}/bucket/")
    assert [orphan.uri for orphan in report.orphans] == [str(lost)]


@pytest.mark.parametrize("uri", ["http://127.0.0.1:5000", "mlruns"])
def test_anything_but_a_database_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match=f"must be the database of MLflow, got '{uri}'; give"):
        compare_files(uri)


def test_a_store_that_cannot_be_read_is_one_sentence(registry_store: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="there is no MLflow database"):
        compare_files(f"sqlite:///{tmp_path}/none.db")
    registry_store.client.create_experiment("far", "nowhere://bucket/7")
    with pytest.raises(TrainerError, match=r"the files at nowhere://bucket/7 cannot be listed: .*"):
        compare_files(registry_store.uri)
