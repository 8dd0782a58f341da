"""The gate: each criterion fails at its own bound without the others, and NaN fails each."""

from __future__ import annotations

import math

import pytest

from trainer.evidence.verdict import (
    STATUSES,
    Criterion,
    Verdict,
    judge,
    passed,
    rules_table,
)

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


def test_metrics_that_are_just_good_enough_pass_every_criterion() -> None:
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
def test_only_one_criterion_fails_at_its_bound(change: dict[str, float], name: str) -> None:
    criteria = judge({**GOOD, **change})
    failed = [criterion for criterion in criteria if not criterion.passed]
    assert len(failed) == 1
    assert failed[0].name.startswith(name)
    verdict = Verdict.of("", criteria)
    assert (verdict.status, verdict.reason) == ("unproven", failed[0].why)


@pytest.mark.parametrize("value", [math.nan, None, "missing"])
@pytest.mark.parametrize("name", GOOD)
def test_a_metric_that_is_undefined_or_missing_fails(name: str, value: float | str | None) -> None:
    metrics: dict[str, float | None] = {**GOOD}
    if isinstance(value, str):
        del metrics[name]
    else:
        metrics[name] = value
    assert not passed(judge(metrics))


@pytest.mark.parametrize("against", ["hold", "momentum"])
def test_a_baseline_adds_one_criterion_that_fails_alone(against: str) -> None:
    metric = f"less_{against}_lower"
    others = {"less_hold_lower": -9.0, "less_momentum_lower": -9.0}
    assert passed(judge({**GOOD, **others}))
    assert passed(judge({**GOOD, **others, metric: 0.01}, against))
    for value in (0.0, math.nan, None):
        criteria = judge({**GOOD, **others, metric: value}, against)
        assert [criterion.passed for criterion in criteria] == [True] * 7 + [False]
    assert "is not shown to be above that of" in criteria[-1].why
    assert not passed(judge(GOOD, against))


def test_no_criteria_are_not_enough() -> None:
    assert not passed([])
    verdict = Verdict.of("", [])
    assert (verdict.status, verdict.reason) == ("unproven", "its evidence is not gathered yet")


def test_a_flat_model_is_flat_whatever_its_walk_forward_shows() -> None:
    assert Verdict.of("no threshold paid", judge(GOOD)).status == "flat"


def test_every_status_is_listed_best_first() -> None:
    verdicts = [Verdict.of("", judge(GOOD)), Verdict.of("", []), Verdict.of("flat", [])]
    assert tuple(verdict.status for verdict in verdicts) == STATUSES


def test_a_walk_forward_without_a_trade_has_one_reason() -> None:
    criteria = judge({**GOOD, "n_trades": 0.0, "net_sharpe_lower": math.nan})
    assert Verdict.of("", criteria).reason == "its walk-forward never traded"


def test_a_reason_names_two_criteria_and_counts_the_others() -> None:
    bad = {**GOOD, "net_sharpe_lower": -2.0, "dsr": 0.1, "pbo": 0.7, "net_sharpe_cost2x": -1.0}
    assert Verdict.of("", judge(bad)).reason == (
        "the 95 % interval of its net Sharpe ratio begins at -2.00, its deflated Sharpe ratio is "
        "0.100, and 2 more criteria fail"
    )


def test_a_criterion_is_stored_under_the_keys_of_existing_tags() -> None:
    assert Criterion("a", "b", "c", False, "d").to_json() == {
        "name": "a", "figure": "b", "rule": "c", "passed": False, "why": "d",
    }  # fmt: skip


def test_a_criterion_that_passed_has_no_reason() -> None:
    for criterion in judge(GOOD):
        assert (criterion.passed, criterion.why) == (True, "")


def test_the_table_of_rules_has_the_names_and_the_order_of_the_criteria() -> None:
    table = rules_table()
    assert [name for name, _, _ in table] == [criterion.name for criterion in judge(GOOD)]
    assert [rule for _, rule, _ in table] == [
        "> 0", ">= 0.95", ">= MinTRL", ">= 30", "< 0.5", "> 0", "< base rate",
    ]  # fmt: skip
    assert {metric for _, _, metric in table} < set(GOOD)


def test_texts_are_those_that_versions_and_tags_have() -> None:
    bad = {
        "net_sharpe_lower": -2.0, "dsr": 0.1, "n_bars": 4_999.0, "min_track_record": 12_345.6,
        "n_trades": 29.0, "pbo": math.nan, "net_sharpe_cost2x": None, "log_loss": 0.7,
        "base_rate_log_loss": 0.69,
    }  # fmt: skip
    assert [(c.name, c.value, c.rule, c.passed, c.why) for c in judge(bad)] == [
        ("net Sharpe ratio, lower end of its 95 % interval", "-2.00", "> 0", False,
         "the 95 % interval of its net Sharpe ratio begins at -2.00"),
        ("deflated Sharpe ratio", "0.100", ">= 0.95", False,
         "its deflated Sharpe ratio is 0.100"),
        ("bars of walk-forward", "4,999", ">= 12,346 (MinTRL)", False,
         "it would need 12,346 bars to be believed"),
        ("trades", "29", ">= 30", False, "it made 29 trades"),
        ("probability of backtest overfitting", "undefined", "< 0.5", False,
         "its probability of backtest overfitting is undefined"),
        ("net Sharpe ratio at twice the costs", "undefined", "> 0", False,
         "it loses at twice the costs"),
        ("log-loss", "0.7000", "< 0.6900 (base rate)", False,
         "its probabilities were no better than the base rate's"),
    ]  # fmt: skip
    without_bound = judge({**bad, "min_track_record": None})[2]
    assert without_bound.rule == ">= infinitely many (MinTRL)"
