"""The LightGBM adapter: text format, best round, one thread. Rows are synthetic."""

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


def test_lightgbm_reads_the_file_and_computes_equal_scores(tmp_path: Path) -> None:
    model = adapter().fit(rows())
    model.save(tmp_path / "model.bin")
    assert (tmp_path / "model.bin").read_text().startswith("tree\n")
    booster = lgb.Booster(model_file=str(tmp_path / "model.bin"))
    X = rows(50, 1).X
    np.testing.assert_array_equal(booster.predict(X), model.predict(X))


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_best_round_is_kept_and_the_trees_do_not_learn_from_the_validation_rows(
    task: Task,
) -> None:
    """A fit that stops at round k equals a fit of k rounds without validation rows."""
    train, valid = rows(task=task), rows(100, 1, task)
    stopped = adapter(task).fit(train, valid)
    artifacts = stopped.get_artifacts()
    best = int(np.argmin(artifacts["valid_curve"])) + 1
    assert artifacts["n_rounds"] == best
    assert best + 10 == len(artifacts["valid_curve"]) < 200
    without_valid = adapter(task, num_boost_round=best).fit(train)
    np.testing.assert_array_equal(stopped.predict(valid.X), without_valid.predict(valid.X))


def test_without_validation_rows_every_round_is_kept() -> None:
    artifacts = adapter(num_boost_round=17).fit(rows()).get_artifacts()
    assert (artifacts["n_rounds"], artifacts["valid_curve"]) == (17, [])


def test_the_informative_feature_has_the_largest_importance_before_and_after_loading(
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


def test_another_seed_gives_another_model() -> None:
    X = rows(50, 1).X
    first, second = (adapter(seed=seed).fit(rows()).predict(X) for seed in (1, 2))
    assert not np.array_equal(first, second)


def test_regression_scores_are_returns_and_the_file_contains_the_task(tmp_path: Path) -> None:
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


@pytest.mark.slow
def test_a_fit_uses_one_thread_whatever_the_environment_allows(tmp_path: Path) -> None:
    files = []
    for allowed in ("1", "4"):
        path = tmp_path / f"{allowed}.bin"
        done = subprocess.run(
            [sys.executable, "-c", ONE_THREAD, str(path)],
            env={**os.environ, "OMP_NUM_THREADS": allowed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == "0", "a parallel fit would leave the threads of OpenMP"
        files.append(path.read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize("ending", ["\nend of trees\n", "\nend of parameters\n"])
def test_a_file_cut_before_an_ending_is_refused_before_lightgbm_parses_it(
    tmp_path: Path, ending: str
) -> None:
    path = tmp_path / "model.bin"
    adapter().fit(rows()).save(path)
    path.write_text(path.read_text().partition(ending)[0])
    with pytest.raises(
        AdapterError, match=r"model\.bin is not a LightGBM model, or it is cut short or altered"
    ):
        LightGBMAdapter.load(path)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_contributions_add_up_to_the_score(task: Task) -> None:
    train = rows(task=task)
    model = adapter(task).fit(train)
    parts = model.contributions(train.X)
    assert parts.shape == (400, 4)
    scores = model.predict(train.X)
    sums = np.log(scores / (1 - scores)) if task == "classification" else scores
    np.testing.assert_allclose(parts.sum(axis=1), sums, rtol=0, atol=1e-9)
    # Only the first feature moves the label.
    assert np.abs(parts[:, 0]).mean() > 2 * np.abs(parts[:, 1:3]).mean(axis=0).max()


def test_contributions_of_other_columns_are_refused() -> None:
    with pytest.raises(AdapterError, match="X"):
        adapter().fit(rows()).contributions(np.zeros((2, 2), dtype=np.float32))
