"""The gate: each criterion fails alone, at its own bound, and NaN fails every one."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from trainer.evidence.verdict import Criterion, Verdict, judge, passed
from trainer.registry.criteria import same_contract, trades, unknown, versus
from trainer.registry.paired import Compared
from trainer.serving.contract import Contract
from trainer.statistics.bootstrap import Difference

GOOD = {
    "net_sharpe_lower": 0.01,
    "dsr": 0.95,
    "n_bars": 5_000.0,
    "min_track_record": 5_000.0,
    "n_trades": 30.0,
    "pbo": 0.49,
    "net_sharpe_cost2x": 0.01,
    "log_loss": 0.69,
    "base_rate_log_loss": 0.6901,
}


def test_what_is_just_good_enough_passes_everything() -> None:
    criteria = judge(GOOD)
    assert passed(criteria)
    assert len(criteria) == 7
    assert Verdict.of("", criteria) == Verdict("proven", "", criteria)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"net_sharpe_lower": 0.0}, "net Sharpe ratio, lower end"),
        ({"dsr": 0.9499}, "deflated Sharpe ratio"),
        ({"n_bars": 4_999.0}, "bars of walk-forward"),
        ({"min_track_record": math.inf}, "bars of walk-forward"),
        ({"n_trades": 29.0}, "trades"),
        ({"pbo": 0.5}, "probability of backtest overfitting"),
        ({"net_sharpe_cost2x": 0.0}, "net Sharpe ratio at twice the costs"),
        ({"log_loss": 0.6901}, "log-loss"),
    ],
)
def test_each_criterion_fails_alone_at_its_bound(change: dict[str, float], name: str) -> None:
    criteria = judge({**GOOD, **change})
    failed = [criterion for criterion in criteria if not criterion.passed]
    assert len(failed) == 1
    assert failed[0].name.startswith(name)
    verdict = Verdict.of("", criteria)
    assert (verdict.status, verdict.reason) == ("unproven", failed[0].why)


@pytest.mark.parametrize("value", [math.nan, None, "missing"])
@pytest.mark.parametrize("name", GOOD)
def test_what_is_undefined_or_missing_fails(name: str, value: float | str | None) -> None:
    metrics: dict[str, float | None] = {**GOOD}
    if isinstance(value, str):
        del metrics[name]
    else:
        metrics[name] = value
    assert not passed(judge(metrics))


def test_nothing_to_judge_by_is_not_enough() -> None:
    assert not passed([])
    verdict = Verdict.of("", [])
    assert (verdict.status, verdict.reason) == ("unproven", "its evidence is not gathered yet")


def test_a_flat_model_is_flat_whatever_its_walk_forward_earned() -> None:
    assert Verdict.of("no threshold paid", judge(GOOD)).status == "flat"


def test_one_that_never_traded_is_told_so_once() -> None:
    criteria = judge({**GOOD, "n_trades": 0.0, "net_sharpe_lower": math.nan})
    assert Verdict.of("", criteria).reason == "its walk-forward never traded"


def test_a_sentence_names_two_reasons_and_counts_the_others() -> None:
    bad = {**GOOD, "net_sharpe_lower": -2.0, "dsr": 0.1, "pbo": 0.7, "net_sharpe_cost2x": -1.0}
    assert Verdict.of("", judge(bad)).reason == (
        "the 95 % interval of its net Sharpe ratio begins at -2.00, its deflated Sharpe ratio is "
        "0.100, and 2 more criteria fail"
    )


@pytest.mark.parametrize(
    ("at_least", "bars", "same_prices", "fine", "why"),
    [
        (0.5, 250, True, True, ""),
        (0.499, 250, True, False, "it is worse than version 2, the present @champion"),
        (math.nan, 250, True, False, "it is worse than version 2"),
        (1.0, 249, True, False, "it has only 249 bars in common with version 2"),
        (1.0, 9_000, False, False, "it saw other prices than version 2 on the same bars"),
    ],
)
def test_a_challenger_is_not_worse_on_enough_of_the_same_bars(
    at_least: float, bars: int, same_prices: bool, fine: bool, why: str
) -> None:
    compared = Compared(bars, 10, same_prices, Difference(0.1, -0.5, 0.6, at_least))
    criterion = versus("champion", "2", compared)
    assert criterion.passed == fine
    if not fine:
        assert criterion.why.startswith(why)


def test_what_cannot_be_compared_fails_with_its_reason() -> None:
    criterion = unknown("champion", "2", "it holds no evidence")
    assert not criterion.passed
    assert criterion.name == versus("champion", None, None).name
    assert (
        criterion.why == "version 2, the present @champion, cannot be judged: it holds no evidence"
    )


def test_the_first_champion_has_nobody_to_beat() -> None:
    assert versus("champion", None, None).passed


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("interval", "4h"), ("task", "triple_barrier"), ("horizon", 6), ("fee_bps", 5.0),
        ("slippage_bps", 0.0),
    ],
)  # fmt: skip
def test_other_rules_are_another_contract(name: str, value: object) -> None:
    contract = Contract("gru", "X", "1h", "24/7", "direction", 12, 10.0, 5.0, 24, False)
    assert same_contract(contract, contract).passed
    other = same_contract(replace(contract, **{name: value}), contract)  # type: ignore[arg-type]
    assert not other.passed
    assert f"{name} {value} against" in other.figure


def test_a_criterion_is_plain_values() -> None:
    assert Criterion("a", "b", "c", False, "d").plain() == {
        "name": "a", "figure": "b", "rule": "c", "passed": False, "why": "d",
    }  # fmt: skip


def test_what_passed_has_no_reason_why_it_did_not() -> None:
    for criterion in (trades(""), *judge(GOOD)):
        assert (criterion.passed, criterion.why) == (True, "")
    assert trades("no threshold pays").why == "it is flat: no threshold pays"
