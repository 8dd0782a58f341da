"""Shared parts of the torch adapters: device, determinism, standardiser, model file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from adapters.base import AdapterError
from adapters.torch_tools import (
    Standardiser,
    deterministic,
    device_name,
    fit_on_device,
    load_tensors,
    one_thread,
    save_tensors,
)


@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError, torch.AcceleratorError])
def test_a_gpu_that_fails_during_the_fit(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    tried: list[str] = []
    texts: list[str] = []

    def fit(device: torch.device) -> None:
        tried.append(device.type)
        if device.type == "cuda":
            raise error("CUDA error: device lost\nmore")

    fit_on_device("gru", "auto", fit, texts.append)
    assert tried == ["cuda", "cpu"]
    assert texts == ["the GPU failed (CUDA error: device lost); the fit is repeated on the CPU"]
    with pytest.raises(AdapterError, match="the GPU failed while gru was fitted: CUDA error: dev"):
        fit_on_device("gru", "cuda", fit, texts.append)


def test_device_name_is_the_device_of_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [device_name(device) for device in ("cpu", "auto", "cuda")] == ["cpu", "cpu", "cuda"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    assert [device_name(device) for device in ("cpu", "auto", "cuda")] == ["cpu", "a GPU", "a GPU"]


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("fails", [False, True])
def test_deterministic_seeds_torch_and_restores_its_settings(fails: bool) -> None:
    state = torch.get_rng_state()
    with suppress(ZeroDivisionError), deterministic(7):
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
        drawn = torch.rand(5)
        if fails:
            raise ZeroDivisionError
    assert torch.equal(drawn, torch.rand(5, generator=torch.Generator().manual_seed(7)))
    assert torch.get_num_threads() == 3
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.usefixtures("three_threads")
def test_one_thread_restores_the_number_of_threads() -> None:
    with one_thread():
        assert torch.get_num_threads() == 1
        assert torch.is_inference_mode_enabled()
    assert torch.get_num_threads() == 3


def test_the_standardiser_centres_scales_and_clips() -> None:
    X = np.random.default_rng(0).normal(3, 2, size=(500, 3)).astype(np.float32)
    X[:, 2] = 9.0
    standardise = Standardiser.of(X)
    rows = standardise(X).numpy()
    np.testing.assert_allclose(rows[:, :2].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(rows[:, :2].std(axis=0), 1, atol=1e-3)
    np.testing.assert_array_equal(rows[:, 2], 0)
    extreme = standardise(np.array([[1e6, -1e6, 9.5]], dtype=np.float32)).numpy()
    np.testing.assert_array_equal(extreme, [[5.0, -5.0, 0.5]])


def test_tensors_and_header_survive_the_file_and_other_models_refuse_it(tmp_path: Path) -> None:
    standardiser = Standardiser.of(np.arange(12, dtype=np.float32).reshape(4, 3))
    tensors = {"weight": torch.arange(6.0).reshape(2, 3).T, **standardiser.tensors()}
    path = tmp_path / "model.bin"
    save_tensors(path, "gru", tensors, {"task": "regression", "size": 0.1})
    loaded, header = load_tensors("gru", path)
    assert header == {"task": "regression", "size": 0.1}
    assert torch.equal(loaded["weight"], tensors["weight"])
    restored = Standardiser.pop_from(loaded)
    assert list(loaded) == ["weight"]
    assert torch.equal(restored.center, standardiser.center)
    assert torch.equal(restored.scale, standardiser.scale)
    with pytest.raises(AdapterError, match=r"model\.bin is not a ppo model: .*; download or train"):
        load_tensors("ppo", path)
