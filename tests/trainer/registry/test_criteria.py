"""Criteria that need the loaded model or the present version: each fails at its own bound."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from trainer.registry.criteria import (
    model_trades,
    no_present_version,
    not_comparable,
    not_worse,
    same_contract,
)
from trainer.registry.paired import PairedComparison
from trainer.serving.contract import COMPARED_FIELDS, Contract
from trainer.statistics.bootstrap import Difference

CONTRACT = Contract("gru", "X", "1h", "24/7", "direction", 12, 10.0, 5.0, 24, False)


@pytest.mark.parametrize(
    ("at_least", "bars", "same_prices", "passes", "why"),
    [
        (0.5, 250, True, True, ""),
        (0.499, 250, True, False, "it is worse than version 2, the present @champion"),
        (math.nan, 250, True, False, "it is worse than version 2"),
        (1.0, 249, True, False, "it has only 249 bars in common with version 2"),
        (1.0, 9_000, False, False, "it saw other prices than version 2 on the same bars"),
    ],
)
def test_a_challenger_is_not_worse_on_enough_of_the_same_bars(
    at_least: float, bars: int, same_prices: bool, passes: bool, why: str
) -> None:
    compared = PairedComparison(bars, 10, same_prices, Difference(0.1, -0.5, 0.6, at_least))
    criterion = not_worse("champion", "2", compared)
    assert criterion.passed == passes
    assert criterion.why.startswith(why)
    assert (criterion.why == "") == passes


def test_the_value_contains_the_whole_comparison() -> None:
    compared = PairedComparison(1_250, 10, False, Difference(0.1, -0.5, 0.6, 0.75))
    assert not_worse("champion", "2", compared).value == (
        "as good in 75%; Sharpe +0.10 (-0.50 to +0.60) on 1,250 bars, 10 of them after training; "
        "other prices"
    )


def test_a_present_version_that_cannot_be_judged_fails_with_its_reason() -> None:
    criterion = not_comparable("champion", "2", "it holds no evidence")
    assert not criterion.passed
    assert criterion.name == no_present_version("champion").name
    assert (
        criterion.why == "version 2, the present @champion, cannot be judged: it holds no evidence"
    )


def test_without_a_present_version_the_criterion_passes() -> None:
    assert no_present_version("champion").passed


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("interval", "4h"), ("calendar", "equity"), ("task", "triple_barrier"), ("horizon", 6),
        ("fee_bps", 5.0), ("slippage_bps", 0.0),
    ],
)  # fmt: skip
def test_every_compared_field_makes_another_contract(name: str, value: object) -> None:
    assert name in COMPARED_FIELDS
    other = same_contract(replace(CONTRACT, **{name: value}), CONTRACT)  # type: ignore[arg-type]
    assert not other.passed
    assert other.value == f"{name} {value} against {getattr(CONTRACT, name)}"
    assert other.why == f"its contract differs: {other.value}"


def test_fields_that_are_not_compared_make_no_other_contract() -> None:
    other = replace(CONTRACT, model="ppo", max_gap_bars=0, allow_jumps=True)
    criterion = same_contract(other, CONTRACT)
    assert (criterion.name, criterion.value, criterion.passed) == ("same contract", "same", True)


def test_a_flat_model_fails_with_its_reason() -> None:
    assert (model_trades("").passed, model_trades("").why) == (True, "")
    flat = model_trades("no threshold pays")
    assert (flat.passed, flat.value) == (False, "flat: no threshold pays")
    assert flat.why == "it is flat: no threshold pays"
