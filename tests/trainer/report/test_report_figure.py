"""Cells and lists of values as text."""

from __future__ import annotations

import math

from trainer.evidence.evidence import CostRow
from trainer.evidence.headline import Block
from trainer.report.report_figure import Column, list_values

BLOCK = Block(
    block=0,
    first="2023-01-01",
    last="2023-02-01",
    train_rows=10,
    test_rows=5,
    threshold=None,
    metrics={"share": 0.12345, "none": math.nan, "infinite": math.inf},
)


def test_a_cell_as_text() -> None:
    assert Column("share", "", "+.1%").cell(BLOCK) == "+12.3%"
    assert Column("none", "", ".2f").cell(BLOCK) == "undefined"
    assert Column("missing", "", ".2f").cell(BLOCK) == "undefined"
    assert Column("infinite", "", ".0f").cell(BLOCK) == "undefined"
    assert Column("threshold", "", ".2f", undefined="do not trade").cell(BLOCK) == "do not trade"
    assert Column("first", "", "s").cell(BLOCK) == "2023-01-01"


def test_values_are_listed_with_their_keys() -> None:
    rows = [CostRow(1, 1.5, 0.5, 0.02), CostRow(2, 3.0, math.nan, 0.0)]
    assert list_values(rows, "multiple", "net_sharpe") == "1: 0.50, 2: undefined"
    assert list_values(rows, "bps_per_side", "net_return", ".2g") == "1.5: 0.02, 3: 0"
    assert list_values([BLOCK], "first", "share") == "2023-01-01: 0.12"
    assert list_values([], "multiple", "net_sharpe") == "none"
