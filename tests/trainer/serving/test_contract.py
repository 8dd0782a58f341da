"""The contract: values that it refuses, and what makes two contracts the same."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import Any

import pytest

from trainer.errors import TrainerError
from trainer.serving.contract import COMPARED_FIELDS, Contract
from trainer.statistics.costs import Costs

CONTRACT = Contract("gru", "BTCUSDT", "1h", "24/7", "direction", 12, 10.0, 5.0, 24, False)
OTHER: dict[str, Any] = {
    "model": "ppo", "symbol": "ETHUSDT", "interval": "4h", "calendar": "24/5",
    "task": "triple_barrier", "horizon": 6, "fee_bps": 2.5, "slippage_bps": 0.0,
    "max_gap_bars": 0, "allow_jumps": True, "position": "exit",
}  # fmt: skip


def test_its_costs_are_its_fee_and_its_slippage() -> None:
    assert CONTRACT.costs == Costs(10.0, 5.0)


def test_equal_contracts_have_no_differences() -> None:
    assert CONTRACT.differences(replace(CONTRACT)) == {}


@pytest.mark.parametrize("field", [field.name for field in fields(Contract)])
def test_a_field_is_a_difference_if_it_is_compared(field: str) -> None:
    other = replace(CONTRACT, **{field: OTHER[field]})
    compared = {"interval", "calendar", "task", "horizon", "fee_bps", "slippage_bps"}
    assert set(COMPARED_FIELDS) == compared
    expected = {field: (getattr(CONTRACT, field), OTHER[field])} if field in compared else {}
    assert CONTRACT.differences(other) == expected
    assert other.differences(CONTRACT) == {name: pair[::-1] for name, pair in expected.items()}


def test_all_differences_are_returned_in_the_order_of_the_fields() -> None:
    assert list(CONTRACT.differences(Contract(**OTHER))) == list(COMPARED_FIELDS)


def test_every_compared_field_has_a_reason() -> None:
    assert all(len(reason.split()) > 3 for reason in COMPARED_FIELDS.values())


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("symbol", 5, "`symbol` of the contract must be str, got 5; train again"),
        ("horizon", 1.5, "`horizon` of the contract must be int, got 1.5"),
        ("fee_bps", "10", "`fee_bps` of the contract must be float, got '10'"),
        ("allow_jumps", 0, "`allow_jumps` of the contract must be bool, got 0"),
    ],
)
def test_values_of_another_type_are_refused(field: str, value: Any, text: str) -> None:
    with pytest.raises(TrainerError, match=re.escape(text)):
        replace(CONTRACT, **{field: value})


def test_whole_numbers_are_costs() -> None:
    assert replace(CONTRACT, fee_bps=10) == CONTRACT
