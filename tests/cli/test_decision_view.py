"""The output of a promotion."""

from __future__ import annotations

import io

from rich.console import Console

from cli.decision_view import print_decision
from trainer.evidence.verdict import Criterion
from trainer.registry.promotion import Decision

PASSES = Criterion("trades", "40", ">= 30", True, "")
FAILS = Criterion("deflated Sharpe ratio", "0.412 [x]", ">= 0.95", False, "it is low")


def printed(decision: Decision) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_decision(console, decision)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def decision(
    *criteria: Criterion, before: str | None, moved: bool = False, forced: bool = False
) -> Decision:
    return Decision("gru-X", "champion", "2", before, list(criteria), moved, forced)


def test_each_criterion_is_a_row() -> None:
    lines = printed(decision(PASSES, FAILS, before="1")).splitlines()
    assert lines[0].strip() == "gru-X version 2, for @champion"
    rows = [line.split() for line in lines if line.strip().startswith(("passes", "fails"))]
    assert rows == [
        ["passes", "trades", "40", ">=", "30"],
        ["fails", "deflated", "Sharpe", "ratio", "0.412", "[x]", ">=", "0.95"],
    ]


def test_a_refusal_counts_criteria_and_names_the_way_out() -> None:
    text = printed(decision(PASSES, FAILS, before="1"))
    assert "Refused: 1 of 2 criteria failed; @champion of gru-X stays version 1." in text
    assert '--force --reason "..."' in text
    assert "@champion of gru-X still has no version." in printed(decision(FAILS, before=None))


def test_a_move_names_the_version_before() -> None:
    text = printed(decision(PASSES, before="1", moved=True))
    assert text.endswith("@champion of gru-X is version 2 now; it was version 1.\n")
    text = printed(decision(FAILS, before=None, moved=True, forced=True))
    assert text.endswith("@champion of gru-X is version 2 now, forced.\n")


def test_an_alias_that_points_to_the_version_already() -> None:
    assert printed(decision(before="2")) == "@champion of gru-X is version 2 already.\n"
