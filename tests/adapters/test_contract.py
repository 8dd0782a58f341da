"""Contract tests that run for every installed model.

All rows are synthetic: the features are normal, and the first one determines the label.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import adapters
from adapters.base import AdapterError, Batch, ModelAdapter, Task, Value

#: Settings for short fits. An adapter without an entry is tested with its defaults, more slowly.
QUICK: Mapping[str, Mapping[str, Value]] = {
    "gru": {"lookback": 4, "chunk": 16, "hidden": 8, "learning_rate": 0.02, "max_epochs": 12},
    "lightgbm": {"num_boost_round": 25, "min_data_in_leaf": 5, "learning_rate": 0.1},
    "ppo": {"timesteps": 4_096, "n_envs": 32, "n_steps": 16, "batch_size": 128, "hidden": 8},
}
TASKS: tuple[Task, ...] = ("classification", "regression")
COLUMNS = 4

pytestmark = pytest.mark.parametrize("name", adapters.names())
each_task = pytest.mark.parametrize("task", TASKS)


def make(name: str, task: Task = "classification", *, seed: int = 42) -> ModelAdapter:
    return adapters.find(name)(task=task, seed=seed, params=QUICK.get(name))


@cache
def fitted(name: str) -> ModelAdapter:
    """A model for tests that only read it."""
    return make(name).fit(rows())


def rows(n: int = 300, *, task: Task = "classification", seed: int = 0, sign: float = 1.0) -> Batch:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, COLUMNS)).astype(np.float32)
    moved = sign * X[:, 0].astype(float) + rng.normal(size=n)
    y = (moved > 0).astype(float) if task == "classification" else 0.01 * moved
    return Batch(X, y, rng.uniform(0.5, 1.5, n), np.arange(n), 0.01 * moved, 0.0001)


def with_value(batch: Batch, field: str, value: float) -> Batch:
    array = getattr(batch, field).copy()
    array[len(array) // 2] = value
    return dataclasses.replace(batch, **{field: array})


def saved(model: ModelAdapter, path: Path) -> bytes:
    model.save(path)
    return path.read_bytes()


def scored(model: ModelAdapter, X: np.ndarray) -> np.ndarray:
    """Return the scores of the rows that have enough context."""
    return model.predict(X)[model.lookback - 1 :]


@each_task
def test_scores_have_one_float_a_row_in_range(name: str, task: Task) -> None:
    model = make(name, task).fit(rows(task=task), rows(80, task=task, seed=1))
    scores = model.predict(rows(120, seed=2).X)
    assert scores.shape == (120,)
    assert scores.dtype == np.float64
    assert np.isnan(scores[: model.lookback - 1]).all()
    finite = scores[model.lookback - 1 :]
    assert np.isfinite(finite).all()
    assert np.ptp(finite) > 0
    if task == "classification":
        assert finite.min() >= 0
        assert finite.max() <= 1
    else:
        assert (
            np.abs(finite).max() < 0.1
        )  # the scores are returns of a few per cent, not probabilities


@each_task
def test_scores_correlate_with_the_signal_in_the_rows(name: str, task: Task) -> None:
    X = rows(200, seed=3).X
    model = make(name, task).fit(rows(600, task=task))
    driver = X[model.lookback - 1 :, 0]
    assert np.corrcoef(driver, scored(model, X))[0, 1] > 0.5


FRESH = """
import sys
from pathlib import Path
import numpy as np
import adapters
from adapters.base import Batch
name = sys.argv[1]
for folder in map(Path, sys.argv[2:]):
    task = folder.name
    stored = np.load(folder / "rows.npz")
    loaded = adapters.find(name).load(folder / "model.bin")
    assert loaded.task == task, loaded.task
    np.save(folder / "loaded.npy", loaded.predict(stored["X"], stored["position"]))
    loaded.save(folder / "again.bin")
    names = ("X", "y", "weight", "position", "forward_return")
    train = Batch(*(stored[k] for k in names), cost=float(stored["cost"]))
    params = {k: v.item() for k, v in np.load(folder / "params.npz").items()}
    adapters.find(name)(task=task, params=params).fit(train, train).save(folder / "refit.bin")
"""


@pytest.mark.slow
def test_a_fresh_process_scores_and_refits_bit_for_bit(name: str, tmp_path: Path) -> None:
    folders = [tmp_path / task for task in TASKS]
    models = {}
    for task, folder in zip(TASKS, folders, strict=True):
        folder.mkdir()
        train = rows(task=task)
        models[folder] = make(name, task).fit(train, train), train
        saved(models[folder][0], folder / "model.bin")
        np.savez(folder / "rows.npz", **{f.name: getattr(train, f.name) for f in _fields()})
        np.savez(folder / "params.npz", **dict(QUICK.get(name, {})))
    subprocess.run([sys.executable, "-c", FRESH, name, *map(str, folders)], check=True)
    for folder, (model, train) in models.items():
        expected = model.predict(train.X, train.position)
        assert np.load(folder / "loaded.npy").tobytes() == expected.tobytes()
        first = (folder / "model.bin").read_bytes()
        assert (folder / "again.bin").read_bytes() == first
        assert (folder / "refit.bin").read_bytes() == first


def _fields() -> tuple[dataclasses.Field[object], ...]:
    return dataclasses.fields(Batch)


def _arrays() -> list[dataclasses.Field[object]]:
    return [field for field in _fields() if field.name != "cost"]


@each_task
def test_two_fits_are_equal_bytes(name: str, task: Task, tmp_path: Path) -> None:
    train, valid = rows(task=task), rows(80, task=task, seed=1)
    first, second = (
        saved(make(name, task).fit(train, valid), tmp_path / f"{k}.bin") for k in range(2)
    )
    assert first == second


def test_the_score_of_a_row_does_not_depend_on_the_other_rows(name: str) -> None:
    model, X = fitted(name), rows(60, seed=4).X
    whole = model.predict(X)
    single = [model.predict(X[max(0, i - model.lookback + 1) : i + 1])[-1] for i in range(len(X))]
    np.testing.assert_allclose(single, whole, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(model.predict(np.asfortranarray(X)), whole)


def test_positions_are_accepted_and_a_window_never_crosses_a_jump(name: str) -> None:
    model, X = fitted(name), rows(60, seed=4).X
    position = np.arange(60) + 1_000
    np.testing.assert_array_equal(model.predict(X, position), model.predict(X))
    position[30:] += 5
    jumped = model.predict(X, position)
    fresh = model.predict(X[30:])
    np.testing.assert_array_equal(np.isnan(jumped[30:]), np.isnan(fresh))
    np.testing.assert_allclose(jumped[30:], fresh, rtol=0, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_refused(name: str, value: float) -> None:
    good = rows()
    with pytest.raises(AdapterError, match="`X` must be finite"):
        make(name).fit(with_value(good, "X", value))
    with pytest.raises(AdapterError, match="`X` must be finite"):
        make(name).fit(good, with_value(good, "X", value))
    with pytest.raises(AdapterError, match="`X` must be finite"):
        fitted(name).predict(with_value(good, "X", value).X)


@pytest.mark.parametrize("field", ["y", "weight"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_labels_and_weights_that_are_not_finite_are_refused(
    name: str, field: str, value: float
) -> None:
    good = rows()
    bad = with_value(good, field, value)
    for train, valid in ((bad, None), (good, bad)):
        with pytest.raises(AdapterError, match="`y` and `weight` must be finite"):
            make(name).fit(train, valid)


@pytest.mark.parametrize("field", ["X", "weight", "position", "forward_return"])
def test_arrays_of_different_length_are_refused(name: str, field: str) -> None:
    good = rows()
    short = dataclasses.replace(good, **{field: getattr(good, field)[:-1]})
    with pytest.raises(AdapterError, match=f"`{field}` and `y` must have the same length"):
        make(name).fit(short)


def test_other_columns_are_refused(name: str) -> None:
    model, X = fitted(name), rows(20).X
    for other in (X[:, :-1], np.hstack([X, X[:, :1]])):
        with pytest.raises(AdapterError, match=f"the {COLUMNS} columns .*got {other.shape[1]}"):
            model.predict(other)
        wrong = dataclasses.replace(rows(20), X=other)
        with pytest.raises(AdapterError, match=f"the {COLUMNS} columns"):
            make(name).fit(rows(), wrong)
    with pytest.raises(AdapterError, match="must have rows and columns"):
        model.predict(X[0])


def test_an_unfitted_model_neither_scores_nor_saves(name: str, tmp_path: Path) -> None:
    uses: list[Callable[[ModelAdapter], object]] = [
        lambda model: model.predict(rows(20).X),
        lambda model: model.save(tmp_path / "model.bin"),
        lambda model: model.get_artifacts(),
    ]
    for use in uses:
        with pytest.raises(AdapterError, match=f"{name} is not fitted; call fit or load"):
            use(make(name))
    assert not (tmp_path / "model.bin").exists()


def test_an_empty_batch_is_refused_for_a_fit_and_gets_no_scores(name: str) -> None:
    empty = rows(0)
    for train, valid in ((empty, None), (rows(), empty)):
        with pytest.raises(AdapterError, match="there are no rows to fit on"):
            make(name).fit(train, valid)
    assert fitted(name).predict(empty.X).shape == (0,)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_gives_finite_scores_near_it(name: str, label: float) -> None:
    batch = rows()
    one = dataclasses.replace(batch, y=np.full(len(batch), label))
    scores = scored(make(name).fit(one, one), batch.X)
    if make(name).fitted_to == "labels":
        assert np.abs(scores - label).max() < 0.5
    else:
        np.testing.assert_array_equal(scores, scored(make(name).fit(batch, batch), batch.X))


@each_task
@pytest.mark.parametrize("n", [2, 3, 12])
def test_tiny_data_gives_finite_scores_with_the_default_settings(
    name: str, task: Task, n: int
) -> None:
    # For ppo, two rounds of the default size: more rounds would repeat the same code.
    model = adapters.find(name)(task=task, params={"ppo": {"timesteps": 16_384}}.get(name))
    few = rows(n + model.lookback, task=task)
    assert np.isfinite(scored(model.fit(few, few), few.X)).all()


def test_features_without_variation_give_finite_scores(name: str) -> None:
    flat = dataclasses.replace(rows(), X=np.ones((300, COLUMNS), dtype=np.float32))
    assert np.isfinite(scored(make(name).fit(flat, flat), flat.X)).all()


@each_task
def test_weights_move_scores_towards_the_rows_with_large_weights(name: str, task: Task) -> None:
    batch = rows(task=task)
    high = batch.y > np.median(batch.y) if task == "regression" else batch.y == 1
    levels = []
    for heavy in (high, ~high):
        weight = np.where(heavy, 20.0, 1.0)
        model = make(name, task).fit(dataclasses.replace(batch, weight=weight))
        levels.append(scored(model, batch.X).mean())
    if make(name).fitted_to == "labels":
        assert levels[0] > levels[1] + 0.1 * batch.y.std()
    else:
        assert levels[0] == levels[1]


@each_task
def test_returns_and_costs_matter_to_models_that_are_fitted_to_them_only(
    name: str, task: Task, tmp_path: Path
) -> None:
    """A stored fit to labels stays valid when the costs change."""
    batch = rows(task=task)
    other = dataclasses.replace(batch, forward_return=-5 * np.sign(batch.y - 0.5), cost=0.01)
    first, second = (
        saved(make(name, task).fit(b, b), tmp_path / f"{k}.bin")
        for k, b in enumerate((batch, other))
    )
    assert (first == second) == (make(name).fitted_to == "labels")


def test_early_stopping_uses_its_rows_but_does_not_learn_from_them(name: str) -> None:
    train, opposite = rows(), rows(3_000, seed=1, sign=-1.0)
    driver = train.X[make(name).lookback - 1 :, 0]
    stopped = scored(make(name).fit(train, opposite), train.X)
    assert not np.array_equal(stopped, scored(make(name).fit(train), train.X))
    # The validation rows are ten times as many and have the opposite sign: a model that learnt
    # from them would have the opposite sign too. The base rate, which may be kept, has no sign.
    assert np.ptp(stopped) < 1e-6 or np.corrcoef(driver, stopped)[0, 1] > 0


def test_an_unknown_hyperparameter_is_refused_with_the_nearest_name(name: str) -> None:
    adapter = adapters.find(name)
    assert adapter.defaults
    for known in adapter.defaults:
        with pytest.raises(AdapterError, match=f"{name} has no hyperparameter '{known}x'; did you"):
            adapter(task="classification", params={f"{known}x": 1})
    with pytest.raises(AdapterError, match="known are "):
        adapter(task="classification", params={"?": 1})


def test_a_hyperparameter_of_another_type_is_refused(name: str) -> None:
    adapter = adapters.find(name)
    for known, default in adapter.defaults.items():
        wrong = 1 if isinstance(default, str) else "abc"
        with pytest.raises(
            AdapterError,
            match=f"'{known}' of {name} must be {type(default).__name__}, got {wrong!r}",
        ):
            adapter(task="classification", params={known: wrong})
        if type(default) is int:
            with pytest.raises(AdapterError, match="must be int, got True"):
                adapter(task="classification", params={known: True})
        if type(default) is float:
            resolved = adapter(task="classification", params={known: 1}).params[known]
            assert type(resolved) is float
            # YAML reads 1e-1 as text, and an integer with any number of digits.
            assert adapter(task="classification", params={known: "1e-1"}).params[known] == 0.1
            with pytest.raises(AdapterError, match=r"must be float, got 1000+\.\.\.; its default"):
                adapter(task="classification", params={known: 10**400})


def test_an_unknown_task_is_refused(name: str) -> None:
    with pytest.raises(AdapterError, match="`task` must be classification or regression, got 'x'"):
        adapters.find(name)(task="x")  # type: ignore[arg-type]


LOAD = """
import sys
from pathlib import Path
import adapters
for path in sorted(Path(sys.argv[1]).iterdir()) + [Path(sys.argv[1]) / "missing"]:
    try:
        adapters.find(sys.argv[2]).load(path)
    except adapters.AdapterError as error:
        assert path.name in str(error), error
    else:
        print(path.name)
"""


def test_a_damaged_file_is_refused_and_named(name: str, tmp_path: Path) -> None:
    """The files are loaded in another process: a parser that crashes would end pytest too."""
    content = saved(fitted(name), tmp_path / "model.bin")
    folder = tmp_path / "damaged"
    folder.mkdir()
    for share in (0.001, 0.01, 0.1, 0.5, 0.9, 0.95):
        (folder / f"cut_{share}").write_bytes(content[: int(share * len(content))])
    (folder / "empty").write_bytes(b"")
    (folder / "text").write_text("no model\n" * 100)
    (folder / "noise").write_bytes(np.random.default_rng(0).bytes(1_000))
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(folder), name], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@each_task
def test_inputs_are_not_changed(name: str, task: Task) -> None:
    train, valid = rows(task=task), rows(80, task=task, seed=1)
    for batch in (train, valid):
        for part in _arrays():
            getattr(batch, part.name).flags.writeable = False
    model = make(name, task).fit(train, valid)
    model.predict(train.X, train.position)
    for batch, again in ((train, rows(task=task)), (valid, rows(80, task=task, seed=1))):
        for part in _fields():
            np.testing.assert_array_equal(getattr(batch, part.name), getattr(again, part.name))


def test_artifacts_are_json_values_with_the_settings(name: str) -> None:
    artifacts = make(name).fit(rows(), rows(80, seed=1)).get_artifacts()
    assert json.loads(json.dumps(artifacts, allow_nan=False)) == artifacts
    assert artifacts["params"] == {**adapters.find(name).defaults, **QUICK.get(name, {})}
