"""Fits are read back bit for bit, and only if everything that they follow from is equal."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from adapters.base import ModelAdapter
from adapters.lgbm import LightGBMAdapter
from tests.trainer.procedure.fit_rows import QUICK, TAIL, TRAIN, batch, make
from trainer.config import TrainConfig
from trainer.errors import TrainerError, UsageError
from trainer.job import Job, TrainedModel
from trainer.jobs.run_job import run_job
from trainer.procedure.fit_cache import FitCache
from trainer.procedure.fit_folder import LIMIT, FitFolder
from trainer.procedure.fit_place import PlaceError
from trainer.procedure.stored_fit import StoredFit

ROOT = Path(__file__).resolve().parents[3]
each_model = pytest.mark.parametrize("name", list(QUICK))


def saved(model: ModelAdapter, path: Path) -> bytes:
    model.save(path)
    return path.read_bytes()


def refitted(cache: FitCache, name: str = "lightgbm") -> bool:
    """Fetch a model, which must be right in any case; return whether it was fitted."""
    before = cache.n_read
    model = cache.fetch(make(name), TRAIN, TAIL)
    fresh = make(name).fit(TRAIN, TAIL)
    assert model.predict(TAIL.X).tobytes() == fresh.predict(TAIL.X).tobytes()
    assert model.get_artifacts() == fresh.get_artifacts()
    return cache.n_read == before


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "fits"


@pytest.fixture
def cache(folder: Path) -> FitCache:
    """A cache that holds the fit of `make()` to `TRAIN` and `TAIL`."""
    made = FitCache.at(folder)
    assert refitted(made)
    return made


def entry(folder: Path) -> Path:
    """The file of a cache with one fit."""
    (file,) = folder.iterdir()
    assert file.name.startswith("lightgbm_")
    assert file.suffix == ".fit"
    return file


# --- what is read is what was fitted ----------------------------------------------------------


@each_model
def test_a_fit_that_is_read_has_all_results_of_the_fitted_one(name: str, tmp_path: Path) -> None:
    cache, progress = FitCache.at(tmp_path / "fits"), []
    fitted = cache.fetch(make(name), TRAIN, TAIL)
    assert cache.n_read == 0
    unfitted = make(name)
    unfitted.on_progress = progress.append
    stored = cache.fetch(unfitted, TRAIN, TAIL)
    assert (cache.n_read, progress) == (1, []), "it was fitted again"
    assert type(stored) is type(fitted)
    assert saved(stored, tmp_path / "stored") == saved(fitted, tmp_path / "fitted")
    rows = batch(200, seed=2)
    for position in (None, rows.position):
        scores = stored.predict(rows.X, position)
        assert scores.tobytes() == fitted.predict(rows.X, position).tobytes()
    own = [model.rollout(rows.X, rows.position) for model in (stored, fitted)]
    assert (own[0] is None) == (own[1] is None) == (name != "ppo")
    assert own[0] is None or own[0].tobytes() == own[1].tobytes()  # type: ignore[union-attr]
    assert stored.get_artifacts() == fitted.get_artifacts()
    assert stored.get_artifacts()["valid_curve"], "curves are not in the model's file"
    for what in ("task", "seed", "device", "params", "lookback", "trials"):
        assert getattr(stored, what) == getattr(fitted, what), what
    assert stored.on_progress == progress.append


@pytest.mark.slow
def test_fits_are_read_in_another_process(tmp_path: Path) -> None:
    cache = FitCache.at(tmp_path / "fits")
    fitted = {name: cache.fetch(make(name), TRAIN, TAIL) for name in QUICK}
    code = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "import test_fit_cache as t; from pathlib import Path\n"
        "folder = Path(sys.argv[3]); cache = t.FitCache.at(folder / 'fits')\n"
        "for name in t.QUICK:\n"
        "    cache.fetch(t.make(name), t.TRAIN, t.TAIL).save(folder / name)\n"
        "print(cache.n_read)\n"
    )
    arguments = [str(ROOT), str(Path(__file__).parent), str(tmp_path)]
    out = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert out.stdout == f"{len(QUICK)}\n", out.stderr
    for name, model in fitted.items():
        assert (tmp_path / name).read_bytes() == saved(model, tmp_path / "own"), name


def trained_job(model: str, folder: Path, **changes: Any) -> TrainedModel:
    """A whole job on the real sample bars, 9 small fits."""
    small = {
        "symbols": "EURUSD", "source": "sample", "models": model, "cache": "off",
        "n_splits": 2, "wf_splits": 2, "fee_bps": 0.1, "slippage_bps": 0.1,
        "fit_cache_folder": str(folder.parent / "fits"),
        "params": {
            "gru": "gru.hidden=4,gru.max_epochs=1,gru.lookback=8,gru.chunk=48",
            "lightgbm": "lightgbm.num_boost_round=20,lightgbm.learning_rate=0.1",
            "ppo": "ppo.timesteps=4096,ppo.n_envs=64,ppo.n_steps=16,ppo.batch_size=512",
        }[model],
    }  # fmt: skip
    config = TrainConfig.parse({**small, **changes})
    result = run_job(Job("EURUSD", model), config, folder, lambda *_: None)
    assert result.trained is not None, result.details
    return result.trained


@pytest.mark.slow
# lightgbm: tests/trainer/jobs/test_schedule.py.
@pytest.mark.parametrize("name", ["gru", "ppo"])
def test_a_job_that_reads_its_fits_returns_the_same_bytes(name: str, tmp_path: Path) -> None:
    fresh = trained_job(name, tmp_path / "fresh", fit_cache="off")
    assert not (tmp_path / "fits").exists()
    first = trained_job(name, tmp_path / "first")
    again = trained_job(name, tmp_path / "again")
    assert [model.data.fits_read for model in (fresh, first, again)] == [0, 0, 9]
    for other in (first, again):
        for path in fresh.folder.iterdir():
            assert (other.folder / path.name).read_bytes() == path.read_bytes(), path.name
        for part in ("headline", "evidence", "curves", "flat_because"):
            # By text: NaN is equal to NaN there.
            assert repr(getattr(other, part)) == repr(getattr(fresh, part)), part
        assert other.record.digest == fresh.record.digest
        assert other.figures == fresh.figures
    cheaper = trained_job(name, tmp_path / "cheaper", fee_bps=0, calibration="isotonic")
    assert cheaper.data.fits_read == (0 if name == "ppo" else 9)
    assert repr(cheaper.headline) != repr(fresh.headline)


# --- damage -----------------------------------------------------------------------------------


def assert_replaced(cache: FitCache, folder: Path) -> None:
    assert refitted(cache)
    assert not refitted(cache)
    entry(folder)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "flipped", "noise", "a list"])
def test_a_damaged_fit_is_made_again_and_replaced(
    damage: str, cache: FitCache, folder: Path
) -> None:
    path = entry(folder)
    raw = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "flipped":
        raw[int(len(raw) * 0.97)] ^= 0x01
        path.write_bytes(raw)
    else:
        other = {"empty": b"", "cut": raw[:-1], "noise": b"\xff\xfe{", "a list": b"[]\nmodel"}
        path.write_bytes(other[damage])
    assert_replaced(cache, folder)


@pytest.mark.parametrize(
    "change",
    [
        {"artifacts": {"params": {}, "valid_curve": [0.5]}},
        {"artifacts": None},
        {"falls": [0.5]},
        {"falls": None},
        {"falls_key": "x"},
        {"key": "0" * 64},
        {"seal": "0" * 64},
    ],
    ids=str,
)
def test_altered_values_are_replaced(change: dict[str, Any], cache: FitCache, folder: Path) -> None:
    path = entry(folder)
    head, _, content = path.read_bytes().partition(b"\n")
    path.write_bytes(json.dumps({**json.loads(head), **change}).encode() + b"\n" + content)
    assert_replaced(cache, folder)


def test_the_fit_of_another_key_is_replaced(cache: FitCache, folder: Path, tmp_path: Path) -> None:
    FitCache.at(tmp_path / "other").fetch(make(seed=6), TRAIN, TAIL)
    shutil.copy(entry(tmp_path / "other"), entry(folder))
    assert_replaced(cache, folder)


class Forgetful(LightGBMAdapter):
    """A model whose file loses something."""

    loses = ""

    @classmethod
    def load(cls, path: Path) -> Any:
        if cls.loses == "everything":
            raise RuntimeError("no such file format")
        loaded = super().load(path)
        loaded._loaded = True  # type: ignore[attr-defined]
        return loaded

    def predict(self, X: Any, position: Any = None) -> Any:
        lost = self.loses == "scores" and hasattr(self, "_loaded")
        return super().predict(X, position) * (0.5 if lost else 1.0)

    @property
    def trials(self) -> int:
        return 1 if hasattr(self, "_loaded") and self.loses == "trials" else 2

    def save(self, path: Path) -> None:
        super().save(path)
        if self.loses == "bytes" and hasattr(self, "_loaded"):
            path.write_bytes(path.read_bytes() + b"\n")

    def get_artifacts(self) -> dict[str, Any]:
        return {**super().get_artifacts(), "odd": (1,) if self.loses == "plain values" else 1}


@pytest.mark.parametrize(
    "loses", ["", "everything", "scores", "trials", "bytes", "plain values"], ids=repr
)
def test_a_model_that_its_file_does_not_give_back_completely_is_fitted_every_time(
    loses: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Forgetful, "loses", loses)
    cache = FitCache.at(tmp_path)
    for _ in range(2):
        model = cache.fetch(Forgetful(task="classification"), TRAIN, TAIL)
        assert model.trials == 2
    assert cache.n_read == (not loses)
    assert len(list(tmp_path.iterdir())) == (0 if loses else 1)


# --- a place that fails -----------------------------------------------------------------------


def test_a_folder_that_cannot_be_made_is_refused_before_the_first_fit(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    text = (
        r"the fit cache '.*file/fits' cannot be made: '.*file' is no folder; "
        r"give another --fit-cache-folder, or --fit-cache off"
    )
    with pytest.raises(TrainerError, match=text):
        FitCache.at(tmp_path / "file" / "fits").check()


@pytest.mark.parametrize(
    "address",
    [
        "gs://bucket/fits", "s3://", "s3:/bucket/x", "s3://x", "s3://b ucket/fits", "s3://bucket/a*b",
        "s3://bucket/x?y", "s3://key:secret@bucket/x",
    ],
)  # fmt: skip
def test_an_address_of_another_kind_is_wrong_usage(address: str) -> None:
    with pytest.raises(UsageError, match=r"must be a folder or s3://bucket/prefix, got"):
        FitCache.at(address)


def test_a_fit_that_cannot_be_stored_is_used_and_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = FitCache.at(tmp_path / "fits")
    cache.check()
    (tmp_path / "fits").touch()  # a file is in the way, as a disk that went away
    for seed in range(3):
        fitted = cache.fetch(make(seed=seed), TRAIN, TAIL)
        assert (
            fitted.predict(TAIL.X).tobytes()
            == make(seed=seed).fit(TRAIN, TAIL).predict(TAIL.X).tobytes()
        )
    (message,) = caplog.messages
    assert "cannot be written: File exists" in message
    assert message.endswith("The run goes on without it.")


def test_a_disk_without_room_leaves_no_broken_file_and_what_is_stored_is_read(
    cache: FitCache, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    large = [StoredFit(digit * 64, b"x" * 100_000, {}) for digit in "ab"]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The system itself refuses the last bytes of a file.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        for fit in large:
            cache.write("lightgbm", [fit])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not refitted(cache), "reading goes on"
    assert len(caplog.messages) == 1
    assert "cannot be written: File too large" in caplog.text
    entry(folder)


@pytest.mark.parametrize("name", list(QUICK))
def test_a_full_temporary_folder_is_no_fault_of_the_model(name: str) -> None:
    fitted = make(name).fit(TRAIN, TAIL)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(TrainerError, match=r"temporary folder '.*' cannot be written: File"):
            StoredFit.of("k", fitted, TRAIN)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Unreachable(FitFolder):
    """A folder that counts the accesses, none of which succeeds."""

    n_accesses = 0

    def read(self, names: Any) -> Any:
        self.n_accesses += 1
        raise PlaceError("the store does not answer")

    def write(self, contents: Any) -> None:
        self.read(contents)


def test_a_place_that_failed_is_left_out_for_some_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Unreachable(tmp_path)
    cache = FitCache(place)
    for _ in range(3):
        cache.fetch(make(), TRAIN, TAIL)
    assert place.n_accesses == 2, "one for reading, one for writing"
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 601)
    cache.fetch(make(), TRAIN, TAIL)
    assert place.n_accesses == 4, "it may be back"
    assert len(caplog.messages) == 1


# --- several writers --------------------------------------------------------------------------


CHILD = """
import os, sys
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
import test_fit_cache as t
folder, rounds, crash = Path(sys.argv[3]), int(sys.argv[4]), sys.argv[5]


def end_here(event, arguments):
    # Killed right before the file gets its name.
    if event == "os.rename" and str(arguments[1]).endswith(crash):
        os._exit(9)


if crash != "no":
    sys.addaudithook(end_here)
print("ready", flush=True)
sys.stdin.readline()
for number in range(rounds):
    model = t.FitCache.at(folder / str(number)).fetch(t.make(), t.TRAIN, t.TAIL)
    print(t.saved(model, folder / f"{number}.{os.getpid()}").__hash__() != 0, flush=True)
"""


def child(folder: Path, rounds: int, crash: str = "no") -> subprocess.Popen[str]:
    arguments = [str(ROOT), str(Path(__file__).parent), str(folder), str(rounds), crash]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def go(children: list[subprocess.Popen[str]]) -> list[int]:
    for process in children:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
    for process in children:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [process.wait(60) for process in children if process.communicate(timeout=60)]


@pytest.mark.slow
def test_processes_with_one_key_leave_one_valid_entry(tmp_path: Path) -> None:
    rounds = 15
    assert go([child(tmp_path, rounds) for _ in range(2)]) == [0, 0]
    models = {path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert models == {saved(make().fit(TRAIN, TAIL), tmp_path / "own")}
    for number in range(rounds):
        entry(tmp_path / str(number))
        assert not refitted(FitCache.at(tmp_path / str(number)))


def test_a_killed_writer_leaves_no_fit_that_is_read(tmp_path: Path) -> None:
    assert go([child(tmp_path, 1, ".fit")]) == [9]
    left = FitCache.at(tmp_path / "0")
    assert [file.kind for file in left.files()] == ["unfinished"]
    assert refitted(left)
    assert not refitted(left)


# --- pruning ----------------------------------------------------------------------------------


def aged(folder: Path) -> tuple[list[str], int]:
    """Four fits, the first one read again after the others; names, and bytes of all."""
    cache = FitCache.at(folder)
    names: list[str] = []
    for number in range(4):
        cache.fetch(make(seed=number), TRAIN, TAIL)
        (new,) = {path.name for path in folder.iterdir()} - set(names)
        names.append(new)
        os.utime(folder / new, (1_000 + number, 1_000 + number))
    cache.fetch(make(seed=0), TRAIN, TAIL)
    assert cache.n_read == 1
    return names, sum(path.stat().st_size for path in folder.iterdir())


@pytest.mark.parametrize(("short_by", "left"), [(0, [0, 1, 2, 3]), (1, [0, 2, 3])])
def test_the_fits_used_longest_ago_are_removed_first(
    short_by: int, left: list[int], tmp_path: Path
) -> None:
    names, size = aged(tmp_path)
    removed, kept = FitCache.at(tmp_path).prune(max_size=size - short_by, dry_run=True)
    assert len(list(tmp_path.iterdir())) == 4, "a dry run removes nothing"
    assert FitCache.at(tmp_path).prune(max_size=size - short_by) == (removed, kept)
    assert {path.name for path in tmp_path.iterdir()} == {names[number] for number in left}
    assert {file.name for file in kept} == {names[number] for number in left}
    cache = FitCache.at(tmp_path)
    cache.fetch(make(seed=1), TRAIN, TAIL)
    assert cache.n_read == (1 in left)


def test_a_check_is_no_use(tmp_path: Path) -> None:
    names, _ = aged(tmp_path)
    cache = FitCache.at(tmp_path)
    assert [why for _, why in cache.check_files(cache.files())] == [""] * 4
    assert (tmp_path / names[1]).stat().st_mtime == 1_001


def test_no_foreign_file_is_removed(tmp_path: Path) -> None:
    names, _ = aged(tmp_path)
    left = tmp_path / f".{names[2]}.{'0' * 32}"
    left.write_bytes(b"half")
    os.utime(left, (1_000, 1_000))
    others = {"thesis.fit", "model.json", f"{names[2]}.txt", "notes"}
    for name in others:
        (tmp_path / name).write_bytes(b"x" * 1_000)
    (tmp_path / names[3]).unlink()
    (tmp_path / names[3]).mkdir()
    FitCache.at(tmp_path).prune(max_size=0)
    assert {path.name for path in tmp_path.iterdir()} == {*others, names[3]}


def test_a_command_leaves_two_gibibytes_in_a_folder(tmp_path: Path) -> None:
    FitCache.at(tmp_path / "nowhere").tidy()
    aged(tmp_path)
    cache = FitCache.at(tmp_path)
    cache.tidy()
    assert (len(cache.files()), LIMIT) == (4, 2 * 1024**3)
    cache.place.limit = 0
    cache.tidy()
    assert cache.files() == []
