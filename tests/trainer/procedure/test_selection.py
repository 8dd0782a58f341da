"""The luck of the best of many: its number of trials, and when a best one is above it."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.procedure.selection import effective_number, is_above_luck
from trainer.procedure.threshold_search import optimise_threshold
from trainer.serving.rules import RuleSettings
from trainer.statistics.costs import Costs, Terms
from trainer.statistics.sharpe_inference import Moments, deflated_sharpe

TERMS = Terms(Costs(0.5, 0.5), 8_760)


def test_the_effective_number_counts_groups_of_equal_columns() -> None:
    moves = np.random.default_rng(1).normal(size=(20_000, 3))
    assert effective_number(moves) == pytest.approx(3, abs=0.01)
    assert effective_number(moves[:, [0, 0, 0, 0]]) == pytest.approx(1)
    # Nyholt's number of two equal pairs: eigenvalues 2, 2, 0, 0, whose variance is 4 / 3.
    assert effective_number(moves[:, [0, 0, 1, 1]]) == pytest.approx(1 + 3 * (2 / 3), abs=0.01)
    assert effective_number(moves[:, :1]) == 1


def test_above_luck_is_a_deflated_ratio_above_one_half() -> None:
    rng = np.random.default_rng(2)
    answers = set()
    for shift in np.linspace(-0.02, 0.06, 60):
        tried = list(rng.normal(0, 1, (12, 2_000)))
        best = tried[3] = tried[3] + shift
        trials = round(effective_number(np.column_stack(tried)))
        moments = Moments.of(best)
        expected = deflated_sharpe(moments, trials, 1 / (moments.n - 1)) > 0.5
        assert is_above_luck(best, tried) == expected
        answers.add(expected)
    assert answers == {True, False}


def test_constant_returns_are_never_above_luck() -> None:
    flat = np.zeros(100)
    assert not is_above_luck(flat, [flat])
    moving = np.random.default_rng(3).normal(0.5, 1, 100)
    assert is_above_luck(moving, [flat, moving])


def drawn(edge: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and the returns that they tell of, with this correlation."""
    rng = np.random.default_rng(seed)
    signal, noise = rng.normal(size=(2, 5_000))
    moves = 0.01 * (edge * signal + np.sqrt(1 - edge**2) * noise)
    return 1 / (1 + np.exp(-0.3 * signal)), moves


@pytest.mark.parametrize("kind", ["threshold", "exit"])
def test_deflated_trades_on_a_signal_and_seldom_on_noise(kind: str) -> None:
    def traded(selection: str, edge: float) -> int:
        settings = RuleSettings(kind=kind, selection=selection)  # type: ignore[arg-type]
        searches = [
            optimise_threshold(*drawn(edge, seed), TERMS, settings=settings) for seed in range(40)
        ]
        return sum(search.threshold.value is not None for search in searches)

    assert traded("deflated", 0.1) == traded("best", 0.1) == 40
    assert traded("deflated", 0.0) <= 12 < 24 <= traded("best", 0.0)


def test_deflated_refuses_or_takes_what_best_takes() -> None:
    refused = 0
    for seed in range(30):
        case = drawn(0.02, seed)
        best = optimise_threshold(*case, TERMS, settings=RuleSettings())
        chosen = optimise_threshold(*case, TERMS, settings=RuleSettings(selection="deflated"))
        np.testing.assert_array_equal(chosen.net_sharpe, best.net_sharpe)
        assert not best.is_luck
        assert chosen.is_luck == (chosen.threshold.value is None and best.net_sharpe.max() > 0)
        refused += chosen.threshold.value is None and best.threshold.value is not None
        if chosen.threshold.value is not None:
            assert chosen.threshold == best.threshold
    assert 0 < refused < 30
