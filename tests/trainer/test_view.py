"""What a person reads at the end of a run, whatever the width of the terminal."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from trainer.config import TrainConfig
from trainer.run import Result, Summary
from trainer.task import Outcome, Task, TrainedModel
from trainer.view import print_summary

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


def trained(flat_because: str = "", doubts: tuple[str, ...] = ()) -> TrainedModel:
    return TrainedModel(
        Path(), FIGURES, [], [], {}, {}, DATA, {}, {}, (), flat_because, doubts
    )  # fmt: skip


def summary(*models: tuple[str, TrainedModel | None]) -> Summary:
    results = [
        Result(
            Outcome(Task("BTCUSDT", name), 0.0, 12.34, model, "" if model else "no such [bars]"),
            "3" if model else None,
            {},
        )
        for name, model in models
    ]
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
    shown = printed(width, summary(("lightgbm", trained(doubts=("it lost",)))))
    table = shown.partition("BTCUSDT: ")[0]
    for text in ("lightgbm-BTCUSDT", "unproven", *there):
        assert text in table
    for text in (*left_out, "\u2026"):
        assert text not in table
    assert max(len(line) for line in table.splitlines()) <= width


def test_fits_that_were_read_are_counted_where_there_are_any() -> None:
    some = replace(trained(), data={**DATA, "fits_read": 30})
    shown = printed(100, summary(("gru", some), ("ppo", trained()), ("lightgbm", None)))
    assert "30 of 72 fits read from the cache." in shown  # of two models: 6 procedures x 6 fits
    assert "from the cache" not in printed(100, summary(("gru", trained())))


def test_the_next_step_is_a_model_that_trades_if_there_is_one() -> None:
    what = summary(
        ("gru", trained(flat_because="why")),
        ("ppo", trained(doubts=("it lost",))),
        ("lightgbm", trained()),
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
        [Result(Outcome(Task("X", "gru"), 0, 1, None, "word " * 60), None, {})], "sqlite:///x", ""
    )
    assert "gru-X: " + ("word " * 60).rstrip() in printed(80, long, terminal=False)
