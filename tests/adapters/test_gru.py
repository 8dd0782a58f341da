"""What is the GRU's own: windows, standardiser, stopping, devices. All rows are synthetic."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from adapters.base import AdapterError, Batch
from adapters.gru import GRUAdapter
from adapters.gru_training import Rows, Settings, train_network
from adapters.recurrent import RecurrentNetwork
from adapters.torch_tools import Standardiser, on_device

SMALL = {"lookback": 4, "chunk": 16, "hidden": 8, "learning_rate": 0.02, "max_epochs": 6}


def rows(n: int, seed: int = 0, delay: int = 0, start: int = 0) -> Batch:
    """The class says on which side of zero the first feature was `delay` rows ago."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)).astype(np.float32)
    driver = np.concatenate([np.zeros(delay), X[: n - delay, 0]])
    y = (driver + 0.3 * rng.normal(size=n) > 0).astype(float)
    return Batch(X, y, np.ones(n), np.arange(start, start + n))


def small(**more: object) -> GRUAdapter:
    return GRUAdapter(task="classification", params={**SMALL, **more})  # type: ignore[dict-item]


def test_it_learns_what_lies_within_the_window_and_not_beyond() -> None:
    for delay, learnable in ((3, True), (4, False)):
        model = small(max_epochs=12, lookback=4, chunk=4).fit(rows(1_500, 1, delay))
        test = rows(600, 2, delay)
        scores = model.predict(test.X)[10:]
        hit = np.corrcoef(scores, test.y[10:])[0, 1]
        assert (hit > 0.4) if learnable else (abs(hit) < 0.15), delay


def test_ten_thousand_bars_at_once_are_decided_as_bar_by_bar() -> None:
    model = small(lookback=8, chunk=32).fit(rows(2_000), rows(400, 1))
    X = rows(10_000, 3).X
    whole = model.predict(X)
    windows = [model.predict(X[end - 7 : end + 1])[-1] for end in range(7, 10_000)]
    np.testing.assert_allclose(windows, whole[7:], rtol=0, atol=1e-6)
    for threshold in (0.45, 0.5, 0.55):
        np.testing.assert_array_equal(np.array(windows) > threshold, whole[7:] > threshold)


def test_a_training_window_never_crosses_a_purged_hole() -> None:
    """Rows behind a hole do not know those before it: other values there change nothing."""
    batch = rows(400)
    position = batch.position + np.where(np.arange(400) >= 397, 50, 0)
    base = dataclasses.replace(batch, position=position)  # three rows: too few for a window
    changed = base.X.copy()
    changed[397:] *= -7.0
    # The standardiser sees every training row; it is held still to look at windows alone.
    keep = Standardiser.of(base.X)
    fitted = []
    for X in (base.X, changed):
        network = RecurrentNetwork(3, 8, 0.0)
        torch.manual_seed(0)
        network.load_state_dict(
            {k: torch.full_like(v, 0.1) for k, v in network.state_dict().items()}
        )
        train_network(network, _rows(keep, X, base), None, SETTINGS, lambda _: None)
        fitted.append(torch.cat([v.flatten() for v in network.state_dict().values()]))
    assert torch.equal(*fitted)


SETTINGS = Settings("classification", 4, 16, 8, 0.01, 0.0, 1.0, 3, 2, 3, 1)


def _rows(keep: Standardiser, X: np.ndarray, batch: Batch) -> Rows:
    y, weight = torch.from_numpy(batch.y).float(), torch.from_numpy(batch.weight).float()
    return Rows(keep(X), y, weight, batch.position)


@pytest.mark.parametrize("watched", [True, False])
def test_a_fit_ends_after_the_updates_it_is_given(watched: bool) -> None:
    train, valid = rows(600), rows(120, 1, start=700)
    keep = Standardiser.of(train.X)
    history = train_network(
        RecurrentNetwork(3, 8, 0.0),
        _rows(keep, train.X, train),
        _rows(keep, valid.X, valid) if watched else None,
        dataclasses.replace(SETTINGS, max_updates=3),
        lambda text: None,
    )
    assert history.updates == 3


def test_only_training_rows_shape_the_standardiser(tmp_path: Path) -> None:
    train = rows(300)
    far = dataclasses.replace(rows(100, 1), X=rows(100, 1).X * 1_000 + 50)
    for valid in (None, far):
        model = small().fit(train, valid)
        np.testing.assert_allclose(model._standardiser.center, train.X.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(model._standardiser.scale, train.X.std(axis=0), atol=1e-6)


def test_the_best_weights_are_kept_and_the_base_rate_competes() -> None:
    train = rows(600)
    wrong = dataclasses.replace(rows(300, 1), y=1 - rows(300, 1).y)
    kept = small().fit(train, wrong)
    assert kept.get_artifacts()["best_update"] == 0
    assert np.nanstd(kept.predict(train.X)) < 1e-6
    curve = small().fit(train, rows(300, 1)).get_artifacts()
    assert curve["best_update"] > 0
    assert min(curve["valid_curve"]) < curve["valid_curve"][0]
    assert len(curve["train_curve"]) == len(curve["valid_curve"]) - 1


def test_patience_ends_a_fit_early() -> None:
    train = rows(600)
    wrong = dataclasses.replace(rows(300, 1), y=1 - rows(300, 1).y)
    told: list[str] = []
    model = small(patience=2, max_epochs=50, checks_per_epoch=2)
    model.tell = told.append
    model.fit(train, wrong)
    assert len(told) == 2
    assert told[0].startswith("epoch 1/50, loss ")


def test_too_few_consecutive_rows_are_refused() -> None:
    batch = rows(60)
    scattered = dataclasses.replace(batch, position=batch.position * 2)
    with pytest.raises(AdapterError, match="no 4 consecutive bars among 60 training rows; give"):
        small().fit(scattered)
    # Too few rows to watch are not watched.
    assert small().fit(batch, dataclasses.replace(rows(9), position=np.arange(9) * 2))


def test_values_beyond_the_rules_are_refused() -> None:
    with pytest.raises(AdapterError, match="'lookback' of gru must be from 2 to 1000, got 1"):
        small(lookback=1)
    with pytest.raises(AdapterError, match=r"'dropout' of gru must be from 0 to 1, got 1\.5"):
        small(dropout=1.5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_cuda_without_a_gpu_is_refused_and_auto_takes_the_cpu() -> None:
    with pytest.raises(
        AdapterError, match=r"cannot run on cuda: torch .* finds no usable GPU; use"
    ):
        GRUAdapter(task="classification", device="cuda", params=SMALL).fit(rows(100))  # type: ignore[arg-type]
    fitted = GRUAdapter(task="classification", device="auto", params=SMALL).fit(rows(100))  # type: ignore[arg-type]
    assert fitted.get_artifacts()["device"] == "cpu"


@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError, torch.AcceleratorError])
def test_a_gpu_lost_on_the_way(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    tried: list[str] = []
    told: list[str] = []

    def fit(device: torch.device) -> None:
        tried.append(device.type)
        if device.type == "cuda":
            raise error("CUDA error: device lost\nmore")

    on_device("gru", "auto", fit, told.append)
    assert tried == ["cuda", "cpu"]
    assert told == ["the GPU failed (CUDA error: device lost): again on the CPU"]
    with pytest.raises(AdapterError, match="the GPU failed while gru was fitted: CUDA error: dev"):
        on_device("gru", "cuda", fit, told.append)


def test_fitting_leaves_torch_as_it_was() -> None:
    torch.manual_seed(5)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    small().fit(rows(100), rows(50, 1)).predict(rows(20).X)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
