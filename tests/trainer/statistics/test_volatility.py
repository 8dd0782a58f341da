import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.statistics.volatility import move_size


def test_by_hand():
    close = np.exp([0.0, 0.03, -0.01, 0.01])
    size = move_size(close, 2)
    assert np.isnan(size[:2]).all()
    assert size[2:] == pytest.approx(
        [np.sqrt((0.0009 + 0.0016) / 2), np.sqrt((0.0016 + 0.0004) / 2)]
    )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fewer_closes_than_returns_give_nothing(count):
    assert np.isnan(move_size(np.full(count, 100.0), 3)).all()


@given(
    st.lists(st.floats(-0.1, 0.1), min_size=5, max_size=80), st.integers(1, 6), st.integers(0, 70)
)
def test_a_window_gives_the_bits_of_the_whole_series(moves, window, cut):
    close = 100 * np.exp(np.cumsum(moves))
    whole, part = move_size(close, window), move_size(close[cut:], window)
    assert whole[cut + window :].tobytes() == part[window:].tobytes()
