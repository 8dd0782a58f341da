"""What the description of a version says, whatever its status."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trainer.evidence.record import Record
from trainer.evidence.verdict import Criterion, Verdict
from trainer.job import TrainedModel
from trainer.report.markdown import describe
from trainer.serving.contract import Contract

NOTHING = np.zeros(0)
NAMES = (
    "net_sharpe", "gross_sharpe", "buy_hold_sharpe", "net_return", "gross_return",
    "buy_hold_return", "n_trades", "turnover", "log_loss", "base_rate_log_loss",
    "net_sharpe_lower", "net_sharpe_upper", "psr", "break_even_bps",
)  # fmt: skip
MODEL = TrainedModel(
    folder=Path(),
    metrics={f"wf_{name}": float(place) for place, name in enumerate(NAMES)},
    fold_metrics=[],
    curves=[],
    told={},
    evidence={},
    record=Record(NOTHING.astype(np.int64), NOTHING, NOTHING, NOTHING, NOTHING),
    contract=Contract("gru", "X", "1h", "24/7", "direction", 12, 10.0, 5.0, 24, False),
    figures={},
    params={},
    data={
        "understood": "X_1h.csv", "rows": 10, "bars": 12, "first": "a", "last": "b",
        "dropped": {"warmup": 2},
    },
    seconds={},
    requirements=(),
    flat_because="",
)  # fmt: skip
CRITERIA = [
    Criterion("trades", "12", ">= 30", False, "it made 12 trades"),
    Criterion("log-loss", "0.69", "< 0.70 (base rate)", True, ""),
]


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (Verdict("proven", "", CRITERIA), "**Proven**: it passes"),
        (Verdict("unproven", "it lost", CRITERIA), "**Unproven**: it trades, but it lost."),
        (Verdict("flat", "no threshold paid", CRITERIA), "**Flat**: no threshold paid. This model"),
    ],
)
def test_it_begins_with_the_verdict_and_lists_every_criterion(verdict: Verdict, said: str) -> None:
    text = describe(MODEL, verdict, {"trials": 7.0, "dsr": 0.4, "pbo": 0.1})
    assert text.startswith(said)
    assert "| **fails** | trades | 12 | >= 30 |" in text
    assert "| passes | log-loss | 0.69 | < 0.70 (base rate) |" in text
    assert "Held against 7 trials of this symbol" in text
    assert "10.00 to 11.00" in text  # the interval
    assert "10 rows of 12 bars from a to b; dropped: 2 warmup." in text


def test_before_all_trials_are_in_no_criterion_is_listed() -> None:
    text = describe(MODEL, Verdict.of("", []))
    assert text.startswith("**Unproven**: it trades, but its evidence is not gathered yet.")
    assert "Held against" not in text


def test_what_is_undefined_is_a_dash_and_an_undefined_interval_is_left_out() -> None:
    metrics = {**MODEL.metrics, "wf_net_sharpe": math.nan, "wf_net_sharpe_lower": math.nan}
    text = describe(replace(MODEL, metrics=metrics), Verdict.of("", []))
    assert "| Sharpe (annual) | - |" in text
    assert "interval" not in text


def test_costs_at_which_it_broke_even_are_said_unless_there_are_none() -> None:
    def text(bps: float) -> str:
        changed = {**MODEL.metrics, "wf_break_even_bps": bps}
        return describe(replace(MODEL, metrics=changed), Verdict.of("", []))

    assert "; it broke even at 12.1 basis points a side.\n" in text(12.1)
    assert "; it lost before costs.\n" in text(-12.1)


def test_null_runs_are_said_where_there_were_some() -> None:
    some = replace(MODEL, metrics={**MODEL.metrics, "wf_null_percentile": 95.0})
    assert "It beats 95 % of the null runs." in describe(some, Verdict.of("", []))
    assert "null runs" not in describe(MODEL, Verdict.of("", []))
