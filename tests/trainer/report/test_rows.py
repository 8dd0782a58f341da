"""Values of rows by name, and NaN for each kind of undefined number."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trainer.evidence.evidence import CostRow, RegimeRow
from trainer.evidence.headline import Block
from trainer.report.rows import columns, number_of, value_of

BLOCK = Block(3, "a", "b", 10, 5, None, {"net_sharpe": 0.5, "psr": math.nan, "bars": math.inf})


def test_a_block_has_its_fields_and_its_metrics() -> None:
    assert value_of(BLOCK, "block") == 3
    assert value_of(BLOCK, "threshold") is None
    assert value_of(BLOCK, "net_sharpe") == 0.5
    assert math.isnan(value_of(BLOCK, "never_measured"))


def test_a_row_without_the_field_is_an_error() -> None:
    with pytest.raises(AttributeError):
        value_of(CostRow(1, 1.5, 0.5, 0.02), "n_trades")


def test_null_missing_and_infinite_are_not_a_number() -> None:
    for name in ("threshold", "never_measured", "psr", "bars"):
        assert math.isnan(number_of(BLOCK, name))


def test_columns_are_arrays_by_name() -> None:
    rows = [CostRow(1, 1.5, math.nan, 0.02), CostRow(2, 3.0, 3.5, 0.0)]
    multiple, ratio = columns(rows, "multiple", "net_sharpe")
    np.testing.assert_array_equal(multiple, [1, 2])
    np.testing.assert_array_equal(ratio, [np.nan, 3.5])
    assert [c.size for c in columns([], "a", "b")] == [0, 0]


def test_a_number_that_was_stored_as_null_is_nan_in_its_column() -> None:
    row = RegimeRow.from_json({"kind": "year", "name": "2023", "bars": 5, "net_sharpe": None})
    (ratio,) = columns([row], "net_sharpe")
    np.testing.assert_array_equal(ratio, [np.nan])
