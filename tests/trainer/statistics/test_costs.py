"""Costs per side: their sum, their share of the notional, and values that are refused."""

import math
import re

import pytest

from trainer.errors import TrainerError
from trainer.statistics.costs import Costs


def test_the_share_is_the_sum_in_basis_points():
    costs = Costs(fee_bps=10, slippage_bps=5)
    assert costs.bps == 15
    assert costs.share == (10 + 5) * 1e-4
    assert Costs(0, 0).share == 0


def test_a_multiple_multiplies_both():
    assert Costs(10, 5).times(3) == Costs(30, 15)
    assert Costs(10, 5).times(0) == Costs(0, 0)


@pytest.mark.parametrize("bps", [-1, math.nan, math.inf])
@pytest.mark.parametrize("name", ["fee_bps", "slippage_bps"])
def test_costs_that_are_no_costs_are_refused(name, bps):
    text = f"`{name}` must be >= 0 basis points, got {bps}; use 0 for none"
    with pytest.raises(TrainerError, match=re.escape(text)):
        Costs(**{"fee_bps": 1.0, "slippage_bps": 1.0, name: bps})
