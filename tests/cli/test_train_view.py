"""What a person reads at the end of a run, whatever the width of the terminal."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from cli.train_view import print_summary
from trainer.config import TrainConfig
from trainer.evidence.record import Record
from trainer.evidence.verdict import Criterion, Verdict
from trainer.job import Outcome, Task, TrainedModel
from trainer.jobs.train import Result, Summary
from trainer.serving.contract import Contract

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
    "fits_read": 0,
}


NOTHING = np.zeros(0)
RECORD = Record(NOTHING.astype(np.int64), NOTHING, NOTHING, NOTHING, NOTHING)
CONTRACT = Contract("gru", "BTCUSDT", "1h", "24/7", "direction", 12, 10.0, 5.0, 24, False)
MODEL = TrainedModel(
    Path(), FIGURES, [], [], {}, {}, RECORD, CONTRACT, {}, {}, {**DATA, "fits_read": 0}, {}, (), ""
)
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


def test_fits_that_were_read_are_counted_where_there_are_any() -> None:
    some = summary(("gru", PROVEN), ("ppo", PROVEN), ("lightgbm", None))
    read = replace(MODEL, data={**DATA, "fits_read": 30})
    first = replace(some.results[0], outcome=replace(some.results[0].outcome, trained=read))
    shown = printed(100, replace(some, results=[first, *some.results[1:]]))
    assert "30 of 72 fits read from the cache." in shown  # of two models: 6 procedures x 6 fits
    assert "from the cache" not in printed(100, summary(("gru", PROVEN)))


def test_null_runs_are_said_where_there_were_some() -> None:
    some = summary(("gru", PROVEN))
    changed = replace(
        MODEL,
        metrics={**MODEL.metrics, "wf_null_percentile": 75.0},
        evidence={"null_net_sharpe": [0.1, -0.2, None, 0.3]},
    )
    first = replace(some.results[0], outcome=replace(some.results[0].outcome, trained=changed))
    shown = printed(200, replace(some, results=[first]))
    assert "gru-BTCUSDT beats 75 % of 4 null runs" in shown
    assert "null runs" not in printed(200, some)
