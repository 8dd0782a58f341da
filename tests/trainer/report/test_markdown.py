"""The description of a candidate for each status."""

from __future__ import annotations

import math

import pytest

from tests.trainer.made import trained_model
from trainer.evidence.verdict import Criterion, Verdict
from trainer.report.markdown import describe

NAMES = (
    "net_sharpe", "gross_sharpe", "buy_hold_sharpe", "net_return", "gross_return",
    "buy_hold_return", "n_trades", "turnover", "log_loss", "base_rate_log_loss",
    "net_sharpe_lower", "net_sharpe_upper", "psr", "break_even_bps",
)  # fmt: skip
METRICS = {name: float(place) for place, name in enumerate(NAMES)}
MODEL = trained_model(METRICS)
CRITERIA = [
    Criterion("trades", "12", ">= 30", False, "it made 12 trades"),
    Criterion("log-loss", "0.69", "< 0.70 (base rate)", True, ""),
]


@pytest.mark.parametrize(
    ("verdict", "start"),
    [
        (Verdict("proven", "", CRITERIA), "**Proven**: it passes"),
        (Verdict("unproven", "it lost", CRITERIA), "**Unproven**: it trades, but it lost."),
        (Verdict("flat", "no threshold paid", CRITERIA), "**Flat**: no threshold paid. This model"),
    ],
)
def test_it_begins_with_the_verdict_and_lists_every_criterion(verdict: Verdict, start: str) -> None:
    text = describe(MODEL, verdict, {"trials": 7.0, "dsr": 0.4, "pbo": 0.1})
    assert text.startswith(start)
    assert "| **fails** | trades | 12 | >= 30 |" in text
    assert "| passes | log-loss | 0.69 | < 0.70 (base rate) |" in text
    assert "Trials of this symbol in the experiment: 7. Criteria:" in text
    assert "95 % confidence interval of the net Sharpe ratio" in text
    assert "10.00 to 11.00" in text
    assert "10 rows of 12 bars from a to b; dropped: 2 warmup." in text


def test_without_the_metrics_of_the_trials_no_criterion_is_listed() -> None:
    text = describe(MODEL, Verdict.of("", []))
    assert text.startswith("**Unproven**: it trades, but its evidence is not gathered yet.")
    assert "Criteria:" not in text


def test_what_is_undefined_is_a_dash_and_an_undefined_interval_is_left_out() -> None:
    metrics = {**METRICS, "net_sharpe": math.nan, "net_sharpe_lower": math.nan}
    text = describe(trained_model(metrics), Verdict.of("", []))
    assert "| Sharpe (annual) | - |" in text
    assert "interval" not in text


def test_break_even_costs_are_written_unless_there_are_none() -> None:
    def text(bps: float) -> str:
        model = trained_model({**METRICS, "break_even_bps": bps})
        return describe(model, Verdict.of("", []))

    assert "; it broke even at 12.1 basis points a side.\n" in text(12.1)
    assert "; it lost before costs.\n" in text(-12.1)


def test_null_runs_are_written_if_there_were_some() -> None:
    some = trained_model({**METRICS, "null_percentile": 95.0})
    assert "It beats 95 % of the null runs." in describe(some, Verdict.of("", []))
    assert "null runs" not in describe(MODEL, Verdict.of("", []))
