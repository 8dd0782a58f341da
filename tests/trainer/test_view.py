"""What a person reads at the end of a run, whatever the width of the terminal."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from trainer.config import TrainConfig
from trainer.gate import Criterion, Verdict
from trainer.outcome import Outcome, Task, TrainedModel
from trainer.promotion import Decision
from trainer.record import Record
from trainer.run import Result, Summary
from trainer.view import print_decision, print_summary

FIGURES = {
    "wf_net_sharpe": -0.25,
    "wf_gross_sharpe": 1.5,
    "wf_buy_hold_sharpe": 1.04,
    "wf_net_return": -0.125,
    "wf_n_trades": 1510,
    "wf_turnover": 3021,
}
DATA = {
    "symbol": "BTCUSDT",
    "understood": "BTCUSDT_1h.parquet",
    "rows": 10,
    "bars": 12,
    "dropped": {"warmup": 2},
    "gaps": {"gaps": 1, "missing_bars": 2, "longest": 2},
}


NOTHING = np.zeros(0)
RECORD = Record(NOTHING.astype(np.int64), NOTHING, NOTHING, NOTHING, NOTHING)
MODEL = TrainedModel(Path(), FIGURES, [], [], [], {}, RECORD, {}, DATA, {}, (), "")
PASSES = Criterion("trades", "40", ">= 30", True, "")
FAILS = Criterion("deflated Sharpe ratio", "0.412", ">= 0.95", False, "it is low")
PROVEN, UNPROVEN = Verdict("proven", "", []), Verdict("unproven", "it lost", [])


def summary(*models: tuple[str, Verdict | None]) -> Summary:
    results = [
        Result(
            Outcome(
                Task("BTCUSDT", name), 0.0, 12.34, MODEL if verdict else None,
                "" if verdict else "no such [bars]",
            ),
            "3" if verdict else None,
            verdict,
            {},
        )
        for name, verdict in models
    ]  # fmt: skip
    return Summary(results, "sqlite:///mlflow.db", "http://127.0.0.1:5000/#/x")


def printed(width: int, what: Summary, terminal: bool = True) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    config = TrainConfig.parse({"symbols": "BTCUSDT", "source": "sample"})
    print_summary(console, what, config)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("width", "there", "left_out"),
    [
        (120, ["-0.25", "1510", "-12.5%", "1.50", "1.04", "3021", "12.3"], []),
        (80, ["-0.25", "1510", "-12.5%", "1.50"], ["3021", "12.3"]),
        (60, ["-0.25", "1510"], ["3021", "12.3", "1.50"]),
    ],
)
def test_names_and_status_are_whole_and_figures_are_as_many_as_fit(
    width: int, there: list[str], left_out: list[str]
) -> None:
    shown = printed(width, summary(("lightgbm", UNPROVEN)))
    table = shown.partition("BTCUSDT: ")[0]
    for text in ("lightgbm-BTCUSDT", "unproven", *there):
        assert text in table
    for text in (*left_out, "\u2026"):
        assert text not in table
    assert max(len(line) for line in table.splitlines()) <= width


def test_the_next_step_is_a_model_that_trades_if_there_is_one() -> None:
    what = summary(
        ("gru", Verdict("flat", "why", [])),
        ("ppo", UNPROVEN),
        ("lightgbm", PROVEN),
    )
    shown = printed(100, what)
    assert "--model models:/lightgbm-BTCUSDT@latest --source sample" in shown
    assert "gru-BTCUSDT is flat: why; it will not trade (earlier blocks" in shown
    assert "ppo-BTCUSDT is unproven: it lost." in shown


def test_reasons_of_failures_are_shown_as_they_are_and_in_a_pipe_on_one_line() -> None:
    shown = printed(60, summary(("gru", None)))
    assert "gru-BTCUSDT: no such [bars]" in shown
    assert "Next:" not in shown
    long = Summary(
        [Result(Outcome(Task("X", "gru"), 0, 1, None, "word " * 60), None, None, {})],
        "sqlite:///x",
        "",
    )
    assert "gru-X: " + ("word " * 60).rstrip() in printed(80, long, terminal=False)


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        (
            Decision("gru-X", "champion", "3", "2", [PASSES, FAILS], False, False),
            "Refused: 1 of 2 criteria failed; @champion of gru-X stays version 2. --force --reason "
            '"..." overrules',
        ),
        (
            Decision("gru-X", "champion", "3", None, [FAILS], False, False),
            "@champion of gru-X is still nobody",
        ),
        (
            Decision("gru-X", "champion", "3", "2", [PASSES], True, False),
            "@champion of gru-X is version 3 now; it was version 2.",
        ),
        (
            Decision("gru-X", "champion", "3", None, [FAILS], True, True),
            "@champion of gru-X is version 3 now, forced.",
        ),
        (
            Decision("gru-X", "champion", "3", "3", [], False, False),
            "@champion of gru-X is version 3 already.",
        ),
    ],
)
def test_a_decision_says_every_figure_and_where_the_alias_is(decision: Decision, said: str) -> None:
    console = Console(file=io.StringIO(), width=160, color_system=None)
    print_decision(console, decision)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert said in " ".join(shown.split())
    for criterion in decision.criteria:
        assert criterion.figure in shown
    assert ("fails" in shown) == (FAILS in decision.criteria)
