"""The policy network and its greedy positions."""

from __future__ import annotations

import numpy as np
import torch

from adapters.policy import PolicyNetwork, greedy_positions, starts_flat


def test_greedy_positions_depend_on_the_position_held() -> None:
    best = np.array([[-1, 0, -1, 1], [1, -1, 0, 1], [1, 1, 0, 0]])  # if short, flat, long is held
    assert greedy_positions(best, np.arange(4)).tolist() == [1, 1, 0, 1]
    jumped = np.array([0, 1, 7, 8])
    assert greedy_positions(best, jumped).tolist() == [1, 1, 0, 1]
    best = np.array([[0, 0], [1, -1], [1, 1]])
    assert greedy_positions(best, np.array([0, 1])).tolist() == [1, 1]
    assert greedy_positions(best, np.array([0, 5])).tolist() == [1, -1]


def test_no_position_is_held_at_the_first_row_and_after_a_jump() -> None:
    assert starts_flat(np.array([5, 6, 8, 9, 20])).tolist() == [True, False, True, False, True]


def test_the_network_returns_probabilities_that_depend_on_the_position_held() -> None:
    torch.manual_seed(0)
    network = PolicyNetwork(4, 8)
    x = torch.randn(6, 4)
    with torch.inference_mode():
        short, long = network(x, -1.0), network(x, 1.0)
    assert short.shape == (6, 3)
    assert short.dtype == torch.float64
    torch.testing.assert_close(short.sum(dim=1), torch.ones(6, dtype=torch.float64))
    assert (short - long).abs().min() > 1e-6
