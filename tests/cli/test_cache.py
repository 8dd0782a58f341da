"""The commands for the fit cache, on a folder and on a bucket."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.cache import cache
from scripts.object_store import ObjectStore
from trainer.procedure.fit_cache import FitCache
from trainer.procedure.stored_fit import StoredFit


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cache, list(arguments))


def fit(digit: str) -> StoredFit:
    return StoredFit(digit * 64, b"m" * 10_000, {})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default folder with three fits, of which the first was used longest ago."""
    monkeypatch.chdir(tmp_path)
    place = Path("data") / "fits"
    fits = FitCache.at(place)
    fits.write("gru-A", [fit("a")])
    fits.write("lightgbm-A", [fit("b"), fit("c")])
    for used, digit in enumerate("abc"):
        (file,) = place.glob(f"*_{digit * 32}.fit")
        os.utime(file, (1_000 + used, 1_000 + used))
    return place


def test_the_list_has_a_row_for_each_model_and_the_feature_cache(folder: Path) -> None:
    (folder / f"gru_{'0' * 32}.bin").write_bytes(b"x" * 500)
    features = folder.parent / "features"
    features.mkdir()
    (features / "A_1h_0_metadata.json").write_bytes(b"{}")
    (features / "A_1h_0.parquet").write_bytes(b"x" * 998)
    done = run("ls")
    assert done.exit_code == 0, done.output
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0] == "data/fits: 3 fits, 0.03 MB"
    assert "gru-A 1 0.01 MB 1970-01-01 00:16 1970-01-01 00:16" in lines
    assert "lightgbm-A 2 0.02 MB 1970-01-01 00:16 1970-01-01 00:16" in lines
    assert any(line.startswith("of earlier formats: 1, 0.00 MB; this version") for line in lines)
    assert lines[-1] == "feature cache data/features: 1 matrices, 0.00 MB"
    values = json.loads(run("ls", "--json").stdout)
    assert [(group["name"], group["fits"]) for group in values["models"]] == [
        ("gru-A", 1), ("lightgbm-A", 2),
    ]  # fmt: skip
    assert values["features"] == {"folder": "data/features", "matrices": 1, "bytes": 1_000}
    assert [group["name"] for group in values["unused"]] == ["of earlier formats"]


def test_damaged_fits_are_named_and_removed_on_request(folder: Path) -> None:
    done = run("verify")
    assert (done.exit_code, done.stdout) == (0, "data/fits: 3 fits were read, all are intact.\n")
    cut, swapped, _ = sorted(folder.iterdir())
    cut.write_bytes(cut.read_bytes()[:-1])
    swapped.write_bytes(b"another object")
    for _ in range(2):
        done = run("verify")
        assert done.exit_code == 1
        assert done.stdout.splitlines() == [
            f"{cut.name}: its digest differs: bytes are missing or have changed",
            f"{swapped.name}: it is no fit of this format",
            "data/fits: 3 fits were read, 2 are damaged; --delete removes them.",
        ]
    done = run("verify", "--delete", "--json")
    assert done.exit_code == 0
    assert set(json.loads(done.stdout)["damaged"]) == {cut.name, swapped.name}
    assert len(list(folder.iterdir())) == 1
    assert run("verify").exit_code == 0


def test_pruning_says_what_it_frees(folder: Path) -> None:
    size = sum(path.stat().st_size for path in folder.iterdir())
    for options in (["--older-than", "1h"], ["--max-size", "0MB"]):
        done = run("prune", *options, "--dry-run")
        assert done.exit_code == 0
        assert done.stdout == (
            "data/fits: would remove 3 files, 0.03 MB (0 of them no command of this version "
            "reads); 0 files, 0.00 MB, would be left.\n"
        )
    assert len(list(folder.iterdir())) == 3
    done = run("prune", "--max-size", "0.021MB", "--json")
    values = json.loads(done.stdout)
    assert [name[:5] for name in values["removed"]] == ["gru-A"]
    assert values["freed_bytes"] + values["bytes"] == size
    assert len(list(folder.iterdir())) == values["files"] == 2
    assert run("prune", "--older-than", "100000w").exit_code == 0
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["prune"], "`--older-than` or `--max-size` must be given"),
        (["prune", "--older-than", "30"], "`--older-than` must be a number and a unit, as 12h"),
        (["prune", "--older-than", "-3d"], "`--older-than` must be a number and a unit"),
        (["prune", "--max-size", "5 GB"], "`--max-size` must be a number and a unit, as 500MB"),
        (["ls", "--fit-cache-folder", "nowhere"], "must be a folder that exists, got 'nowhere'"),
        (["ls", "--fit-cache-folder", "ftp://host/x"], "must be a folder or s3://bucket/prefix"),
        (["verify", "--fit-cache-folder", "s3://b"], "must be a folder or s3://bucket/prefix"),
    ],
)
def test_wrong_usage_is_one_line(folder: Path, arguments: list[str], text: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    (line,) = done.stderr.splitlines()
    assert text in line
    assert len(list(folder.iterdir())) == 3


def test_a_bucket_is_listed_checked_and_pruned(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, value)
    address = f"s3://{object_store.bucket}/commands"
    fits = FitCache.at(address)
    fits.write("gru-A", [fit("a"), fit("b")])
    name = fits.files()[0].name
    fits.place.write({name: b"half"})
    place = ("--fit-cache-folder", address)
    assert run("ls", *place).stdout.startswith(f"{address}: 2 fits, 0.01 MB")
    assert run("verify", *place).exit_code == 1
    assert run("verify", *place, "--delete").exit_code == 0
    assert [file.name for file in fits.files()] != [name]
    assert run("prune", *place, "--max-size", "0GB").exit_code == 0
    assert fits.files() == []
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    done = run("ls", *place)
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert "http://127.0.0.1:9 does not answer" in line
