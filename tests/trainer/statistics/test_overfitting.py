"""PBO against a brute-force reading of its definition, and on markets where the answer is known."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from trainer.errors import TrainerError
from trainer.statistics.overfitting import backtest_overfitting


def by_the_definition(returns: np.ndarray, n_blocks: int) -> float:
    """One split after the other, as in the paper."""
    length = len(returns) // n_blocks
    used = returns[len(returns) - length * n_blocks :]
    rows = [np.arange(b * length, (b + 1) * length) for b in range(n_blocks)]
    logits = []
    for half in combinations(range(n_blocks), n_blocks // 2):
        inside = np.concatenate([rows[b] for b in half])
        outside = np.concatenate([rows[b] for b in range(n_blocks) if b not in half])
        ratios = [
            [used[which, t].mean() / used[which, t].std() for t in range(used.shape[1])]
            for which in (inside, outside)
        ]
        best = int(np.argmax(ratios[0]))
        rank = 1 + sum(other < ratios[1][best] for other in ratios[1])
        omega = rank / (used.shape[1] + 1)
        logits.append(math.log(omega / (1 - omega)))
    return float(np.mean(np.array(logits) <= 0))


@pytest.mark.parametrize("trials", [2, 3, 7])
@pytest.mark.parametrize("n_blocks", [2, 4, 8])
@pytest.mark.parametrize("n", [97, 240])
def test_it_is_the_definition(trials: int, n_blocks: int, n: int) -> None:
    returns = np.random.default_rng(trials * n).normal(0.001, 0.01, (n, trials))
    assert backtest_overfitting(returns, n_blocks) == by_the_definition(returns, n_blocks)


def test_noise_is_overfitted_about_half_of_the_time() -> None:
    rng = np.random.default_rng(0)
    values = [backtest_overfitting(rng.normal(size=(800, 10)), 8) for _ in range(60)]
    assert np.mean(values) == pytest.approx(0.5, abs=0.07)


def test_one_trial_that_is_truly_better_is_not_overfitted() -> None:
    returns = np.random.default_rng(1).normal(0, 0.01, (2_000, 10))
    returns[:, 3] += 0.002
    assert backtest_overfitting(returns) < 0.01


def test_trials_whose_luck_turns_are_overfitted() -> None:
    """Each trial earned in one stretch what it lost in the others."""
    returns = np.random.default_rng(2).normal(0, 0.01, (1_600, 8))
    for trial in range(8):
        returns[:, trial] -= 0.001
        returns[trial * 200 : (trial + 1) * 200, trial] += 0.008
    assert backtest_overfitting(returns, 8) > 0.9


def test_trials_that_never_traded_rank_as_zero() -> None:
    returns = np.random.default_rng(3).normal(0.002, 0.01, (800, 3))
    returns[:, 1:] = 0.0
    assert backtest_overfitting(returns, 8) < 0.1
    assert backtest_overfitting(-np.abs(returns), 8) == 0.0, "flat is the better choice each time"


@pytest.mark.parametrize(
    "returns", [np.zeros((100, 3)), np.ones((100, 1)), np.ones((20, 3)), np.empty((0, 4))]
)
def test_where_nothing_was_chosen_it_is_undefined(returns: np.ndarray) -> None:
    assert math.isnan(backtest_overfitting(returns))


def test_trials_that_differ_by_rounding_only_are_no_choice() -> None:
    returns = np.random.default_rng(4).normal(0.001, 0.01, (400, 1))
    same = returns + np.random.default_rng(5).normal(0, 1e-17, (400, 4))
    assert (same != same[:, :1]).any()
    assert math.isnan(backtest_overfitting(same, 8))


def test_trials_that_are_all_constant_up_to_rounding_are_no_choice() -> None:
    """Each has a ratio of 0: the first one would be chosen in every split, and PBO would be 1."""
    price = 100 * 1.001 ** np.arange(401)
    growth = price[1:] / price[:-1] - 1
    assert growth.min() < growth.max()
    flat = np.zeros(400)
    for trials in ([flat, growth], [growth, 2 * growth, flat], [growth, np.full(400, 0.002)]):
        assert math.isnan(backtest_overfitting(np.column_stack(trials), 8))
    moving = np.random.default_rng(6).normal(0.001, 0.01, 400)
    constant_and_moving = backtest_overfitting(np.column_stack([growth, moving]), 8)
    assert constant_and_moving == backtest_overfitting(np.column_stack([flat, moving]), 8)


def test_bad_arguments_are_refused() -> None:
    fine = np.ones((100, 2))
    with pytest.raises(TrainerError, match="`returns` must have a column a trial"):
        backtest_overfitting(np.ones(100))
    with pytest.raises(TrainerError, match="`returns` must be finite"):
        backtest_overfitting(fine * np.nan)
    for n_blocks in (3, 0, 22):
        with pytest.raises(TrainerError, match=f"`n_blocks` must be even .* got {n_blocks}"):
            backtest_overfitting(fine, n_blocks)
