"""Chunks, windows, and the scores of the network on windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adapters.recurrent import RecurrentNetwork, plan_chunks, segments, window_ends


@st.composite
def positions(draw: st.DrawFn) -> np.ndarray:
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 1, 1, 1, 2, 7]), max_size=60))
    return 5 + np.cumsum([0, *steps])


def brute_ends(position: np.ndarray, lookback: int) -> list[int]:
    return [
        i
        for i in range(lookback - 1, len(position))
        if position[i] - position[i - lookback + 1] == lookback - 1
    ]


@given(positions(), st.integers(1, 9))
def test_a_window_needs_consecutive_bars(position: np.ndarray, lookback: int) -> None:
    assert window_ends(position, lookback).tolist() == brute_ends(position, lookback)


@given(positions(), st.integers(1, 6), st.integers(0, 8), st.integers(0, 20))
def test_every_row_with_context_counts_once_and_no_chunk_crosses_a_jump(
    position: np.ndarray, lookback: int, more: int, shift: int
) -> None:
    length = lookback + more
    chunks = plan_chunks(position, lookback, length, shift)
    counted: list[int] = []
    for start, count in zip(chunks.start.tolist(), chunks.counted.tolist(), strict=True):
        first = start + lookback - 1
        rows = np.arange(start, first + count)
        assert len(rows) <= length
        assert (np.diff(position[rows]) == 1).all()
        counted += range(first, first + count)
    assert counted == brute_ends(position, lookback)


def test_another_shift_gives_another_cut() -> None:
    starts = {tuple(plan_chunks(np.arange(200), 8, 32, shift).start) for shift in range(25)}
    assert len(starts) == 25


def test_segments_of_a_series_with_jumps() -> None:
    assert segments(np.array([3, 4, 5, 9, 11, 12])) == [(0, 3), (3, 4), (4, 6)]
    assert segments(np.empty(0, dtype=np.int64)) == []


@pytest.mark.parametrize("gaps", [False, True])
def test_scores_of_windows_equal_those_of_the_layer_of_torch(gaps: bool) -> None:
    torch.manual_seed(0)
    network = RecurrentNetwork(5, 7, 0.0).eval()
    torch.nn.init.normal_(network.head.weight)
    x = torch.randn(1_400, 5)
    ends = np.delete(np.arange(11, 1_400), [4, 5, 600]) if gaps else np.arange(11, 1_400)
    with torch.inference_mode():
        scores = network.score_windows(x, torch.from_numpy(ends), 12)
        windows = torch.stack([x[end - 11 : end + 1] for end in ends], dim=1)
        expected = network(windows)[-1]
    torch.testing.assert_close(scores, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("scale", [1.0, 200.0])
def test_a_single_window_has_the_score_of_the_layer_of_torch(scale: float) -> None:
    torch.manual_seed(0)
    network = RecurrentNetwork(5, 7, 0.0).eval()
    torch.nn.init.normal_(network.head.weight)
    x = scale * torch.randn(60, 5)
    with torch.inference_mode():
        for end in range(11, 60):
            score = network.score_windows(x, torch.tensor([end]), 12)
            expected = network(x[end - 11 : end + 1, None])[-1]
            torch.testing.assert_close(score, expected, rtol=0, atol=2e-6)


def test_a_new_network_returns_its_bias_for_all_rows() -> None:
    network = RecurrentNetwork(3, 4, 0.5).eval()
    with torch.inference_mode():
        output = network(torch.randn(9, 2, 3))
    assert (output == network.head.bias).all()
