"""The bar axis: values of rows at the place of their bars."""

import numpy as np

from trainer.statistics.bar_axis import BarAxis


def test_only_bars_without_a_row_get_the_fill_value() -> None:
    axis = BarAxis.of(np.array([5, 6, 9]))
    np.testing.assert_array_equal(axis.place(np.array([1.0, 2, 3]), 0.0), [1, 2, 0, 0, 3])
    placed = axis.place(np.array([1.0, 2, 3]), np.nan)
    np.testing.assert_array_equal(np.isnan(placed), [False, False, True, True, False])


def test_the_axis_begins_and_ends_with_a_row() -> None:
    axis = BarAxis.of(np.array([1_000]))
    assert (axis.offset.tolist(), axis.length) == ([0], 1)
    assert BarAxis.of(np.array([7, 8, 20])).length == 14
