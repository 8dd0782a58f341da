"""A fit cache in a bucket that machines share, and a store that fails while they train."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from scripts.object_store import ObjectStore
from tests.faulty_store import faulty_store
from trainer.procedure.fit_cache import FitCache

pytestmark = pytest.mark.slow
ADDRESS = "s3://barwright/shared/fits"
N_FITS = 9


def model_of(workspace) -> dict[str, bytes]:
    """The files of the model that a workspace registered first."""
    folder = workspace.download("models:/lightgbm-EURUSD/1")
    (files,) = [path.parent for path in folder.rglob("model.bin")]
    return {path.name: path.read_bytes() for path in files.iterdir()}


@pytest.fixture
def machine(make_workspace, empty_store: Path, tmp_path: Path):
    """``machine(name)``: a workspace of its own, with a database that holds no run yet."""

    def make(name: str):
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(empty_store, folder / "mlflow.db")
        return make_workspace(folder, f"sqlite:///{folder}/mlflow.db")

    return make


def test_machines_share_their_fits_and_a_failing_store_stops_none_of_them(
    machine, trained, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(workspace, **changes: str):
        done = workspace.train(
            *("--symbols", "EURUSD", "--source", "sample", "--n-splits", "2", "--wf-splits", "2"),
            *("--horizon", "3", "--fee-bps", "0", "--slippage-bps", "0"),
            *("--fit-cache-folder", ADDRESS),
            **{**object_store.environment, **changes},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert not (workspace.folder / "data" / "fits").exists()
        return done

    # The store of the first machine fails after two fits.
    first, second = machine("first"), machine("second")
    with faulty_store(object_store.endpoint) as store:
        store.after_puts = 2
        done = train(first, AWS_ENDPOINT_URL_S3=store.endpoint)
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Warning: the fit cache '{ADDRESS}' cannot be used: ")
    assert line.endswith("The run goes on without it.")
    assert 1 <= len(object_store.keys("shared/fits/")) <= 2

    # The second machine makes no fit, when the bucket has those that were made in a folder.
    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, value)
    folder = FitCache.at(trained.folder / "data" / "fits").place
    names = [file.name for file in folder.files()]
    FitCache.at(ADDRESS).place.write(folder.read(names))
    done = train(second)
    assert f"{N_FITS} of {N_FITS} fits read from the cache" in done.stdout
    assert done.stderr == ""
    assert set(object_store.keys("shared/fits/")) == {f"shared/fits/{name}" for name in names}

    # A folder, a bucket, none at all: the models are the same.
    assert model_of(first) == model_of(second) == model_of(trained)


def test_a_missing_bucket_is_one_line_before_anything_is_done(
    workspace, object_store: ObjectStore
) -> None:
    done = workspace.train(
        "--symbols", "EURUSD", "--source", "sample", "--fit-cache-folder", "s3://nobody/fits",
        **object_store.environment,
    )  # fmt: skip
    assert (done.returncode, done.stdout, workspace.runs()) == (1, "", [])
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: the fit cache 's3://nobody/fits' cannot be used: there is no bu")
