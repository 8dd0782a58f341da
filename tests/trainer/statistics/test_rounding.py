"""Values that are constant up to rounding: the tolerance from both sides."""

import numpy as np
import pytest

from trainer.statistics.rounding import TOLERANCE, is_constant


@pytest.mark.parametrize("value", [0.0, 1e-4, -0.1, 0.3, 1e9])
def test_equal_values_are_constant(value):
    assert is_constant([value] * 7)
    assert is_constant([value])


def test_no_values_are_constant():
    assert is_constant([])
    assert is_constant(np.empty((0, 3)))


@pytest.mark.parametrize("rate", [0.0, 1e-3, -1e-3, 0.07])
def test_returns_of_an_exponential_price_are_constant(rate):
    price = 100 * (1 + rate) ** np.arange(500)
    returns = price[1:] / price[:-1] - 1
    assert is_constant(returns)


@pytest.mark.parametrize(("level", "scale"), [(0.0, 1.0), (0.5, 1.0), (1e4, 1e4)])
def test_the_tolerance_is_relative_to_the_largest_value_and_to_1(level, scale):
    assert is_constant([level, level + 0.9 * TOLERANCE * scale])
    assert not is_constant([level, level + 1.5 * TOLERANCE * scale])


def test_the_smallest_returns_of_a_market_are_not_constant():
    # A bond of 1e-6 a bar, whose price is rounded to 1e-8.
    price = np.round(100 * 1.000001 ** np.arange(50), 8)
    assert not is_constant(price[1:] / price[:-1] - 1)
    assert not is_constant([0.0, 1e-9])
