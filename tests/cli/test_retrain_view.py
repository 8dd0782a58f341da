"""What `retrain` prints about stale names and what became of them."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest
from rich.console import Console

from cli.retrain_view import outcome_json, print_outcomes, print_stale
from tests.trainer.made import trained_model
from trainer.evidence.verdict import Criterion, Verdict
from trainer.job import Job, JobResult
from trainer.jobs.retrain import Retrained
from trainer.jobs.train import Registration
from trainer.registry.newest import KeptVersion
from trainer.registry.promotion import Decision
from trainer.registry.stale import StaleName

NOW = pd.Timestamp("2026-11-28T00:00:00Z")
RESULT = JobResult(Job("X", "gru"), 0.0, 1.0, trained_model({"net_sharpe": 0.5}))
VERDICT = Verdict("unproven", "it loses", [])
STALE = StaleName("gru-X", "3", "r", NOW - pd.Timedelta("9D 5h"))
TRAINED = Registration(RESULT, "4", VERDICT, run_id="r")
KEPT = Registration.of_kept(RESULT, KeptVersion("3", "r", VERDICT, {}))
CRITERIA = [
    Criterion("trades", "9", ">= 30", False, "it made 9 trades"),
    Criterion("log-loss", "1", "< 0.7", False, "no better than the base rate"),
    Criterion("bars", "9", ">= 3", True, ""),
]


def console_of() -> Console:
    return Console(file=io.StringIO(), width=120)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_stale_names_have_their_reason() -> None:
    console = console_of()
    asked = StaleName("gru-Y", "1", "r", NOW, "a [whim]")
    print_stale(console, [asked, STALE], NOW, "7d")
    rows = [line.split() for line in text_of(console).splitlines() if "gru-" in line]
    assert rows == [
        ["gru-Y", "1", "requested:", "a", "[whim]"],
        ["gru-X", "3", "its", "bars", "end", "9", "d", "5", "h", "ago"],
    ]
    console = console_of()
    print_stale(console, [], NOW, "7d")
    assert text_of(console).startswith("Nothing to train: ")


def outcome(**values: object) -> Retrained:
    return Retrained(STALE, **values)  # type: ignore[arg-type]


STAYS = Decision("gru-X", "champion", "4", "3", CRITERIA, moved=False, forced=False)
MOVED = Decision("gru-X", "champion", "4", "3", CRITERIA[2:], moved=True, forced=False)


@pytest.mark.parametrize(
    ("one", "row", "count"),
    [
        (outcome(registration=TRAINED), "3 4 unproven", "1 trained"),
        (
            outcome(registration=TRAINED, decision=STAYS),
            "3 4 unproven stays 3: it made 9 trades, and 1 more",
            "1 trained",
        ),
        (
            outcome(registration=TRAINED, decision=MOVED),
            "3 4 unproven moved from 3",
            "1 trained, 1 made @champion",
        ),
        (outcome(registration=KEPT), "3 no newer bars unproven", "1 without newer bars"),
        (outcome(error="it is taken", busy=True), "3 - busy", "1 left to another command"),
        (outcome(error="no [bars]"), "3 - failed", "1 failed"),
        (
            outcome(registration=TRAINED, error="the store is gone"),
            "3 4 failed",
            "1 trained, 1 failed",
        ),
    ],
)
def test_each_end_is_a_row_and_is_counted(one: Retrained, row: str, count: str) -> None:
    console = console_of()
    print_outcomes(console, [one], "champion")
    text = text_of(console)
    (printed,) = (line for line in text.splitlines() if line.startswith("  gru-X"))
    assert " ".join(printed.split()[1:]) == row
    assert text.splitlines()[-1] == f"1 stale: {count}."
    assert (f"gru-X: {one.error}" in text) == bool(one.error)


def test_json_says_the_same() -> None:
    told = outcome_json(outcome(registration=TRAINED, decision=STAYS))
    assert json.loads(json.dumps(told)) == told
    assert (told["before"], told["failed"], told["job"]["version"]) == ("3", False, "4")
    assert told["decision"]["moved"] is False
    assert outcome_json(outcome(error="x", busy=True))["busy"] is True
