"""The GRU adapter: windows, standardiser, early stopping, devices. All rows are synthetic."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from adapters.base import AdapterError, Batch
from adapters.gru import GRUAdapter

SMALL = {"lookback": 4, "chunk": 16, "hidden": 8, "learning_rate": 0.02, "max_epochs": 6}


def rows(n: int, seed: int = 0, delay: int = 0, start: int = 0) -> Batch:
    """Return rows with the sign of the first feature `delay` rows ago, plus noise, as the class."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)).astype(np.float32)
    driver = np.concatenate([np.zeros(delay), X[: n - delay, 0]])
    y = (driver + 0.3 * rng.normal(size=n) > 0).astype(float)
    return Batch(X, y, np.ones(n), np.arange(start, start + n))


def small(**more: object) -> GRUAdapter:
    return GRUAdapter(task="classification", params={**SMALL, **more})  # type: ignore[dict-item]


@pytest.mark.slow
def test_the_model_learns_from_rows_within_the_window_and_not_from_rows_before_it() -> None:
    for delay, learnable in ((3, True), (4, False)):
        model = small(max_epochs=12, lookback=4, chunk=4).fit(rows(1_500, 1, delay))
        test = rows(600, 2, delay)
        scores = model.predict(test.X)[10:]
        hit = np.corrcoef(scores, test.y[10:])[0, 1]
        assert (hit > 0.4) if learnable else (abs(hit) < 0.15), delay


@pytest.mark.slow
def test_scores_of_ten_thousand_bars_equal_the_scores_bar_by_bar() -> None:
    model = small(lookback=8, chunk=32).fit(rows(2_000), rows(400, 1))
    X = rows(10_000, 3).X
    whole = model.predict(X)
    windows = [model.predict(X[end - 7 : end + 1])[-1] for end in range(7, 10_000)]
    np.testing.assert_allclose(windows, whole[7:], rtol=0, atol=1e-6)
    for threshold in (0.45, 0.5, 0.55):
        np.testing.assert_array_equal(np.array(windows) > threshold, whole[7:] > threshold)


def test_only_training_rows_determine_the_standardiser() -> None:
    train = rows(300)
    far = dataclasses.replace(rows(100, 1), X=rows(100, 1).X * 1_000 + 50)
    for valid in (None, far):
        model = small().fit(train, valid)
        np.testing.assert_allclose(model._standardiser.center, train.X.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(model._standardiser.scale, train.X.std(axis=0), atol=1e-6)


def test_the_weights_with_the_lowest_loss_are_kept_and_the_base_rate_is_a_candidate() -> None:
    train = rows(600)
    wrong = dataclasses.replace(rows(300, 1), y=1 - rows(300, 1).y)
    kept = small().fit(train, wrong)
    assert kept.get_artifacts()["best_update"] == 0
    assert np.nanstd(kept.predict(train.X)) < 1e-6
    artifacts = small().fit(train, rows(300, 1)).get_artifacts()
    assert artifacts["best_update"] > 0
    assert min(artifacts["valid_curve"]) < artifacts["valid_curve"][0]
    assert len(artifacts["train_curve"]) == len(artifacts["valid_curve"]) - 1


def test_patience_ends_a_fit_early() -> None:
    train = rows(600)
    wrong = dataclasses.replace(rows(300, 1), y=1 - rows(300, 1).y)
    texts: list[str] = []
    model = small(patience=2, max_epochs=50, checks_per_epoch=2)
    model.on_progress = texts.append
    model.fit(train, wrong)
    assert len(texts) == 2
    assert texts[0].startswith("epoch 1/50, loss ")


def test_too_few_consecutive_rows_are_refused() -> None:
    batch = rows(60)
    scattered = dataclasses.replace(batch, position=batch.position * 2)
    text = (
        "gru needs 4 consecutive bars, and the 60 training rows contain no such window; give more"
    )
    with pytest.raises(AdapterError, match=text):
        small().fit(scattered)
    # Validation rows without a window are not used.
    assert small().fit(batch, dataclasses.replace(rows(9), position=np.arange(9) * 2))


def test_values_beyond_the_rules_are_refused() -> None:
    with pytest.raises(AdapterError, match="'lookback' of gru must be from 2 to 1000, got 1"):
        small(lookback=1)
    with pytest.raises(AdapterError, match=r"'dropout' of gru must be from 0 to 1, got 1\.5"):
        small(dropout=1.5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="tests a machine without a GPU")
def test_cuda_without_a_gpu_is_refused_and_auto_takes_the_cpu() -> None:
    with pytest.raises(AdapterError, match=r"cannot run on cuda: torch .* has no usable GPU; use"):
        GRUAdapter(task="classification", device="cuda", params=SMALL).fit(rows(100))  # type: ignore[arg-type]
    fitted = GRUAdapter(task="classification", device="auto", params=SMALL).fit(rows(100))  # type: ignore[arg-type]
    assert fitted.get_artifacts()["device"] == "cpu"


def test_a_fit_restores_the_settings_of_torch() -> None:
    torch.manual_seed(5)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    small().fit(rows(100), rows(50, 1)).predict(rows(20).X)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
