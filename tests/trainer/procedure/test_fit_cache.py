"""Fits are read back bit for bit, and only if everything that they follow from is equal."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adapters
from adapters.base import Batch, ModelAdapter, Value
from adapters.lgbm import LightGBMAdapter
from trainer.config import TrainConfig
from trainer.errors import TrainerError
from trainer.job import Job, TrainedModel
from trainer.jobs.run_job import run_job
from trainer.procedure import fit_cache
from trainer.procedure.fit_cache import FitCache, fit_key

ROOT = Path(__file__).resolve().parents[3]
COLUMNS = 4
#: Small and quick; no value is the default, which a loaded model could have by mistake.
QUICK: Mapping[str, Mapping[str, Value]] = {
    "gru": {"lookback": 4, "chunk": 16, "hidden": 8, "max_epochs": 3},
    "lightgbm": {"num_boost_round": 9, "min_data_in_leaf": 5},
    "ppo": {"timesteps": 2_048, "n_envs": 32, "n_steps": 16, "hidden": 8, "n_seeds": 2},
}
each_model = pytest.mark.parametrize("name", list(QUICK))


def batch(n: int = 300, seed: int = 0) -> Batch:
    """Synthetic rows with a jump in their positions; the first feature drives the outcome."""
    rng = np.random.default_rng(seed)
    X = np.asfortranarray(rng.normal(size=(n, COLUMNS)).astype(np.float32))
    moved = X[:, 0].astype(float) + rng.normal(size=n)
    position = np.arange(n) + 7 * (np.arange(n) >= n // 2)
    y = (moved > 0).astype(float)
    return Batch(X, y, rng.uniform(0.5, 1.5, n), position, 0.01 * moved, 0.0001)


TRAIN, TAIL = batch(), batch(80, seed=1)


def make(name: str = "lightgbm", seed: int = 5, **params: Value) -> ModelAdapter:
    return adapters.find(name)(
        task="classification", seed=seed, params={**QUICK.get(name, {}), **params}
    )


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
def cache(tmp_path: Path) -> FitCache:
    """A cache that holds the fit of `make()` to `TRAIN` and `TAIL`."""
    made = FitCache(tmp_path / "data" / "fits")
    assert refitted(made)
    return made


def entry(cache: FitCache) -> tuple[Path, Path]:
    """The model and its facts of a cache with one entry."""
    (model,), (facts,) = cache.folder.glob("*.bin"), cache.folder.glob("*.json")
    assert model.stem == facts.stem
    assert model.stem.startswith("lightgbm_")
    assert len(list(cache.folder.iterdir())) == 2
    return model, facts


# --- what is read is what was fitted ----------------------------------------------------------


@each_model
def test_a_fit_that_is_read_has_all_results_of_the_fitted_one(name: str, tmp_path: Path) -> None:
    cache, progress = FitCache(tmp_path / "fits"), []
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
    cache = FitCache(tmp_path / "fits")
    fitted = {name: cache.fetch(make(name), TRAIN, TAIL) for name in QUICK}
    code = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "import test_fit_cache as t; from pathlib import Path\n"
        "folder = Path(sys.argv[3]); cache = t.FitCache(folder / 'fits')\n"
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


# --- the key ----------------------------------------------------------------------------------


def changed(field: str, value: Any = None) -> Batch:
    """`TRAIN` with the smallest change of one value, in its middle."""
    array = getattr(TRAIN, field).copy(order="K")
    at = (150, 2) if array.ndim == 2 else 150
    if value is None:
        value = np.nextafter(array[at], array.dtype.type(9)) if array.dtype.kind == "f" else 155
    array[at] = value
    return replace(TRAIN, **{field: array})


#: A changed key, and the models for which the change means another fit.
OTHERS: dict[str, tuple[Callable[[str], str], set[str]]] = {
    "X": (lambda n: fit_key(make(n), changed("X"), TAIL), set(QUICK)),
    "y": (lambda n: fit_key(make(n), changed("y"), TAIL), set(QUICK)),
    "weight": (lambda n: fit_key(make(n), changed("weight"), TAIL), set(QUICK)),
    "position": (lambda n: fit_key(make(n), changed("position", 156), TAIL), set(QUICK)),
    "a value of the tail": (lambda n: fit_key(make(n), TRAIN, batch(80, seed=3)), set(QUICK)),
    "tail and rows swapped": (lambda n: fit_key(make(n), TAIL, TRAIN), set(QUICK)),
    "seed": (lambda n: fit_key(make(n, seed=6), TRAIN, TAIL), set(QUICK)),
    "forward_return": (lambda n: fit_key(make(n), changed("forward_return"), TAIL), {"ppo"}),
    "cost": (lambda n: fit_key(make(n), replace(TRAIN, cost=0.0002), TAIL), {"ppo"}),
    "cost of the tail": (lambda n: fit_key(make(n), TRAIN, replace(TAIL, cost=0.1)), {"ppo"}),
    "layout": (
        lambda n: fit_key(make(n), replace(TRAIN, X=np.ascontiguousarray(TRAIN.X)), TAIL),
        set(),
    ),
    "shape": (
        lambda n: fit_key(make(n), replace(TRAIN, X=TRAIN.X.reshape((600, 2), order="F")), TAIL),
        set(QUICK),
    ),
}


@each_model
@pytest.mark.parametrize("change", OTHERS)
def test_rows_of_the_key(name: str, change: str) -> None:
    key, models = OTHERS[change]
    assert (key(name) != fit_key(make(name), TRAIN, TAIL)) == (name in models)


@each_model
def test_every_hyperparameter_is_in_the_key(name: str) -> None:
    keys = {fit_key(make(name), TRAIN, TAIL)}
    for known, (least, _) in adapters.find(name).rules.items():
        kind = type(adapters.find(name).defaults[known])
        keys.add(fit_key(make(name, **{known: kind(least)}), TRAIN, TAIL))
    assert len(keys) == 1 + len(adapters.find(name).rules)


def test_the_task_is_in_the_key() -> None:
    asked = LightGBMAdapter(task="regression", seed=5, params=QUICK["lightgbm"])
    assert fit_key(asked, TRAIN, TAIL) != fit_key(make(), TRAIN, TAIL)


def test_the_device_in_the_key_is_the_one_that_is_used() -> None:
    """Without a GPU, `auto` is the CPU, and `cuda` must be refused and not be read."""
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("a GPU is available")
    gru = adapters.find("gru")
    keys = [
        fit_key(gru(task="classification", device=device), TRAIN, TAIL)
        for device in ("cpu", "auto", "cuda")
    ]
    assert keys[0] == keys[1] != keys[2]


KEY = """
import sys
sys.path[:0] = sys.argv[1:]
import adapters, numpy as np
from adapters.base import Batch
from trainer.procedure.fit_cache import fit_key
rows = Batch(np.zeros((3, 2), np.float32), np.zeros(3), np.ones(3), np.arange(3))
for name in ("lightgbm", "acme"):
    print(fit_key(adapters.find(name)(task="classification"), rows, rows))
"""


@pytest.mark.slow
def test_code_and_installed_versions_are_in_the_key(tmp_path: Path) -> None:
    """A copy of the packages and a plug-in beside them, changed one by one."""
    for room in ("adapters", "features", "trainer"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "barwright.py", tmp_path)
    (tmp_path / "acme.py").write_text(
        "from adapters.lgbm import LightGBMAdapter\n"
        'class Acme(LightGBMAdapter):\n    name = "acme"\n'
    )
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[barwright.adapters]\nacme = acme:Acme\n")

    def keys() -> list[str]:
        command = [sys.executable, "-c", KEY, str(tmp_path)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.split()

    def comment(path: Path) -> None:
        path.write_text(path.read_text() + "# changed\n")

    first = keys()
    assert keys() == first
    comment(tmp_path / "trainer" / "procedure" / "procedure.py")
    assert keys() == first, "only adapters fit"
    comment(tmp_path / "acme.py")
    second = keys()
    assert (second[0] == first[0], second[1] == first[1]) == (True, False)
    comment(tmp_path / "adapters" / "recurrent.py")
    third = keys()
    assert third[0] != second[0]
    assert third[1] != second[1]
    info.rename(tmp_path / "acme-1.1.dist-info")
    fourth = keys()
    assert fourth[0] != third[0]
    assert fourth[1] != third[1]


# --- damage -----------------------------------------------------------------------------------


def assert_replaced(cache: FitCache) -> None:
    assert refitted(cache)
    assert not refitted(cache)
    entry(cache)


@pytest.mark.parametrize("which", [0, 1], ids=["model", "facts"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "flipped", "noise"])
def test_a_damaged_entry_is_fitted_again_and_replaced(
    which: int, damage: str, cache: FitCache
) -> None:
    path = entry(cache)[which]
    raw = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "flipped":
        raw[int(len(raw) * 0.97)] ^= 0x01
        path.write_bytes(raw)
    else:
        path.write_bytes({"empty": b"", "cut": raw[:-1], "noise": b"\xff\xfe{"}[damage])
    assert_replaced(cache)


@pytest.mark.parametrize(
    "change",
    [
        {"artifacts": {"params": {}, "valid_curve": [0.5]}},
        {"artifacts": None},
        {"falls": [0.5]},
        {"falls_key": "x"},
        {"key": "0" * 64},
        {"seal": "0" * 64},
    ],
    ids=str,
)
def test_altered_facts_are_replaced(change: dict[str, Any], cache: FitCache) -> None:
    _, facts = entry(cache)
    facts.write_text(json.dumps({**json.loads(facts.read_text()), **change}))
    assert_replaced(cache)


@pytest.mark.parametrize("content", [b"[]", b"null", b"7", b"{}"])
def test_facts_of_another_form_are_replaced(content: bytes, cache: FitCache) -> None:
    entry(cache)[1].write_bytes(content)
    assert_replaced(cache)


def test_an_entry_under_the_name_of_another_is_replaced(cache: FitCache, tmp_path: Path) -> None:
    other = FitCache(tmp_path / "other")
    other.fetch(make(seed=6), TRAIN, TAIL)
    for path, foreign in zip(entry(cache), entry(other), strict=True):
        shutil.copy(foreign, path)
    assert_replaced(cache)


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
    cache = FitCache(tmp_path)
    for _ in range(2):
        model = cache.fetch(Forgetful(task="classification"), TRAIN, TAIL)
        assert model.trials == 2
    assert cache.n_read == (not loses)
    assert len(list(tmp_path.iterdir())) == (0 if loses else 2)


# --- the folder -------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_made_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = FitCache(tmp_path / "file" / "fits")
    text = r"the fit cache '.*file/fits' cannot be written: Not a directory; give a writable"
    with pytest.raises(TrainerError, match=text):
        cache.fetch(make(), TRAIN, TAIL)


def test_a_failed_write_leaves_no_temporary_file(cache: FitCache) -> None:
    model, _ = entry(cache)
    model.unlink()
    (model / "in the way").mkdir(parents=True)
    with pytest.raises(TrainerError, match=r"cannot be written: Is a directory"):
        cache.fetch(make(), TRAIN, TAIL)
    entry(cache)


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
    model = t.FitCache(folder / str(number)).fetch(t.make(), t.TRAIN, t.TAIL)
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
        left = FitCache(tmp_path / str(number))
        entry(left)
        assert not refitted(left)


@pytest.mark.parametrize("crash", [".bin", ".json"])
def test_a_killed_writer_leaves_no_invalid_entry(crash: str, tmp_path: Path) -> None:
    assert go([child(tmp_path, 1, crash)]) == [9]
    left = FitCache(tmp_path / "0")
    assert list(left.folder.glob("*.json")) == []
    assert len(list(left.folder.glob("*.bin"))) == (crash == ".json")
    assert refitted(left)
    assert not refitted(left)


# --- pruning ----------------------------------------------------------------------------------


def aged(folder: Path) -> tuple[list[str], int]:
    """Four entries, the first one read again after the others; stems, and bytes of all."""
    cache = FitCache(folder)
    stems: list[str] = []
    for number in range(4):
        cache.fetch(make(seed=number), TRAIN, TAIL)
        (new,) = {path.stem for path in folder.glob("*.json")} - set(stems)
        stems.append(new)
        for path in folder.glob(f"{new}.*"):
            os.utime(path, (1_000 + number, 1_000 + number))
    cache.fetch(make(seed=0), TRAIN, TAIL)
    assert cache.n_read == 1
    return stems, sum(path.stat().st_size for path in folder.iterdir())


@pytest.mark.parametrize(("short_by", "left"), [(0, [0, 1, 2, 3]), (1, [0, 2, 3])])
def test_the_entries_used_longest_ago_are_removed_first(
    short_by: int, left: list[int], tmp_path: Path
) -> None:
    stems, size = aged(tmp_path)
    FitCache(tmp_path).prune(size - short_by)
    files = {f"{stems[number]}.{ending}" for number in left for ending in ("bin", "json")}
    assert {path.name for path in tmp_path.iterdir()} == files
    cache = FitCache(tmp_path)
    cache.fetch(make(seed=1), TRAIN, TAIL)
    assert cache.n_read == (1 in left)


def test_pruning_removes_files_of_a_killed_writer_and_no_other_files(tmp_path: Path) -> None:
    stems, _ = aged(tmp_path)
    (tmp_path / f".{stems[2]}.bin.{'0' * 32}").write_bytes(b"half")
    others = {"thesis.bin", "model.json", f"{stems[2]}.txt", "notes"}
    for name in others:
        (tmp_path / name).write_bytes(b"x" * 1_000)
    FitCache(tmp_path).prune(0)
    assert {path.name for path in tmp_path.iterdir()} == others


def test_pruning_a_missing_folder_does_nothing(tmp_path: Path) -> None:
    FitCache(tmp_path / "nowhere").prune()
    assert fit_cache.LIMIT == 2 * 1024**3
