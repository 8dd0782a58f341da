"""LightGBM's own promises: its text format, the best round, one thread. Rows are synthetic."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest

from adapters.base import AdapterError, Batch, Task, Value
from adapters.lgbm import LightGBMAdapter

PARAMS: dict[str, Value] = {
    "num_boost_round": 200,
    "early_stopping_rounds": 10,
    "learning_rate": 0.1,
    "min_data_in_leaf": 5,
}


def rows(n: int = 400, seed: int = 0, task: Task = "classification") -> Batch:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)).astype(np.float32)
    moved = X[:, 0] + rng.normal(size=n)
    y = (moved > 0).astype(float) if task == "classification" else 0.01 * moved
    return Batch(X, y, np.ones(n), np.arange(n))


def adapter(task: Task = "classification", seed: int = 42, **params: Value) -> LightGBMAdapter:
    return LightGBMAdapter(task=task, seed=seed, params={**PARAMS, **params})


def test_the_file_is_text_that_bare_lightgbm_scores_alike(tmp_path: Path) -> None:
    model = adapter().fit(rows())
    model.save(tmp_path / "model.bin")
    assert (tmp_path / "model.bin").read_text().startswith("tree\n")
    bare = lgb.Booster(model_file=str(tmp_path / "model.bin"))
    X = rows(50, 1).X
    np.testing.assert_array_equal(bare.predict(X), model.predict(X))


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_best_round_is_kept_and_nothing_of_the_watched_rows_learnt(task: Task) -> None:
    """Stopped at round k is, tree for tree, the fit of k rounds that never saw those rows."""
    train, valid = rows(task=task), rows(100, 1, task)
    stopped = adapter(task).fit(train, valid)
    told = stopped.get_artifacts()
    best = int(np.argmin(told["valid_curve"])) + 1
    assert told["n_rounds"] == best
    assert best + 10 == len(told["valid_curve"]) < 200
    blind = adapter(task, num_boost_round=best).fit(train)
    np.testing.assert_array_equal(stopped.predict(valid.X), blind.predict(valid.X))


def test_without_watched_rows_every_round_is_kept() -> None:
    told = adapter(num_boost_round=17).fit(rows()).get_artifacts()
    assert (told["n_rounds"], told["valid_curve"]) == (17, [])


def test_importance_finds_the_feature_that_matters_and_nothing_is_lost_by_loading(
    tmp_path: Path,
) -> None:
    model = adapter(feature_fraction=1.0).fit(rows(), rows(100, 1))
    gain = model.get_artifacts()["importance_gain"]
    assert len(gain) == 3
    assert gain[0] > 3 * max(gain[1:])
    model.save(tmp_path / "model.bin")
    loaded = LightGBMAdapter.load(tmp_path / "model.bin").get_artifacts()
    assert loaded["importance_gain"] == gain
    assert loaded["n_rounds"] == model.get_artifacts()["n_rounds"]


def test_another_seed_is_another_model() -> None:
    X = rows(50, 1).X
    first, second = (adapter(seed=seed).fit(rows()).predict(X) for seed in (1, 2))
    assert not np.array_equal(first, second)


def test_regression_says_returns_and_remembers_its_task(tmp_path: Path) -> None:
    train = rows(task="regression")
    model = adapter("regression").fit(train)
    scores = model.predict(train.X)
    assert scores.min() < 0 < scores.max()
    assert np.corrcoef(scores, train.y)[0, 1] > 0.5
    model.save(tmp_path / "model.bin")
    assert LightGBMAdapter.load(tmp_path / "model.bin").task == "regression"


ONE_THREAD = """
import sys, threading, time
from pathlib import Path
import numpy as np
from adapters.base import Batch
from adapters.lgbm import LightGBMAdapter
def threads():
    return len(list(Path("/proc/self/task").iterdir())) if Path("/proc").is_dir() else 1
rng = np.random.default_rng(0)
X = rng.normal(size=(1_000, 20)).astype(np.float32)
batch = Batch(X, (X[:, 0] > 0).astype(float), np.ones(1_000), np.arange(1_000))
before = threads()
model = LightGBMAdapter(task="classification", params={"num_boost_round": 40}).fit(batch)
model.predict(X)
print(threads() - before)
model.save(Path(sys.argv[1]))
"""


def test_a_fit_takes_one_thread_whatever_the_environment_offers(tmp_path: Path) -> None:
    made = []
    for offered in ("1", "4"):
        path = tmp_path / f"{offered}.bin"
        done = subprocess.run(
            [sys.executable, "-c", ONE_THREAD, str(path)],
            env={**os.environ, "OMP_NUM_THREADS": offered},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == "0", "OpenMP keeps the threads of a parallel fit"
        made.append(path.read_bytes())
    assert made[0] == made[1]


@pytest.mark.parametrize("ending", ["\nend of trees\n", "\nend of parameters\n"])
def test_a_file_cut_before_an_ending_is_refused_before_lightgbm_parses_it(
    tmp_path: Path, ending: str
) -> None:
    path = tmp_path / "model.bin"
    adapter().fit(rows()).save(path)
    path.write_text(path.read_text().partition(ending)[0])
    with pytest.raises(
        AdapterError, match=r"model\.bin holds no LightGBM model, or is cut short or altered"
    ):
        LightGBMAdapter.load(path)
