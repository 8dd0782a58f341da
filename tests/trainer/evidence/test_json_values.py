"""Numbers in JSON: null stands for every number that JSON does not have."""

from __future__ import annotations

import math

import pytest

from trainer.evidence.json_values import number, plain


@pytest.mark.parametrize("value", [0, 3, -1.5, 1e300])
def test_a_finite_number_stays_the_same_object(value: float) -> None:
    assert plain(value) is value
    assert number(value) is value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_undefined_number_is_null(value: float) -> None:
    assert plain(value) is None
    assert math.isnan(number(None))
