"""The output of an audit."""

from __future__ import annotations

import io
import json
import math

import pandas as pd
import pytest
from rich.console import Console

from cli.audit_view import Audited, print_verdicts, progress_bar, to_json
from features.audit import Breach, Finding
from features.laws import Law

CHECKED = {Law.PREFIX: 990, Law.FUTURE: 100, Law.START: 980, Law.LEVEL: 1_000}
FIRST = pd.Timestamp("2024-03-01 05:00", tz="UTC")
SOUND = Finding("ret_1", 1, {**CHECKED, Law.START: 999}, ())
AHEAD = Finding(
    "odd[bold]",
    20,
    CHECKED,
    (Breach(Law.PREFIX, FIRST, 1_234, math.inf), Breach(Law.FUTURE, FIRST, 5, 0.25)),
)
LEVEL = Finding("odd[bold]", 20, CHECKED, (Breach(Law.LEVEL, FIRST, 1_000, 3.0),))
KEPT = Finding("odd[bold]", 20, CHECKED, ())


def _printed(*audited: Audited) -> str:
    console = Console(file=io.StringIO(), width=140)
    print_verdicts(console, audited, build="barwright train --symbols A")
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def _one(symbol: str, *findings: Finding) -> Audited:
    return Audited(symbol, 1_000, f"read [{symbol}]", findings)


def test_features_that_satisfy_all_laws() -> None:
    text = _printed(_one("A", SOUND, KEPT))
    assert [line.split() for line in text.splitlines() if " ok" in line] == [
        ["ret_1", "ok"],
        ["odd[bold]", "ok"],
    ]
    assert (
        "A: read [A].\n"
        "A: of 1,000 bars, computed from their own memory at 980 to 999 (by memory), later bars "
        "left out and rewritten at 100, prices x4 and volumes x8 at 1,000.\n"
        "All 2 features satisfy all laws on A.\n"
        "Next:\n  barwright train --symbols A\n"
    ) in text


def test_a_broken_law_has_a_line_and_its_advice() -> None:
    text = _printed(_one("A", SOUND, AHEAD))
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "ret_1 ok" in rows
    assert "odd[bold] prefix: uses later bars 2024-03-01 05:00 1,234 undefined" in rows
    assert "future: changes when later bars change 2024-03-01 05:00 5 0.25" in rows
    assert "1 of 2 features breaks a law on A: odd[bold]." in text
    assert text.count("shift(-n), center=True, bfill") == 1
    assert "  odd[bold]: leave out what looks ahead" in text
    assert "satisfy all laws" not in text
    assert "barwright train" not in text


def test_several_symbols_share_a_table() -> None:
    text = _printed(_one("A", SOUND, AHEAD), _one("B", SOUND, KEPT), _one("C", SOUND, LEVEL))
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert rows.count("ret_1 ok") == 1
    assert "odd[bold] prefix: uses later bars A 2024-03-01 05:00 1,234 undefined" in rows
    assert "level: depends on the level of price or volume C 2024-03-01 05:00 1,000 3" in rows
    assert "1 of 2 features breaks a law on A, B, C: odd[bold]." in text
    assert "  odd[bold]: use ratios, log returns" in text


def test_json() -> None:
    answer = to_json([_one("A", SOUND, AHEAD), _one("B", SOUND, KEPT)], {})
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    assert answer["ok"] is False
    first, second = answer["symbols"]
    assert (first["symbol"], first["bars"], first["understood"]) == ("A", 1_000, "read [A]")
    assert [feature["ok"] for feature in first["features"]] == [True, False]
    assert first["features"][0] == {
        "feature": "ret_1",
        "memory": 1,
        "ok": True,
        "checked": {"prefix": 990, "future": 100, "start": 999, "level": 1_000},
        "broken": [],
    }
    assert first["features"][1]["broken"] == [
        {
            "law": "prefix",
            "what": "uses later bars",
            "first": "2024-03-01T05:00:00+00:00",
            "rows": 1_234,
            "largest": None,
        },
        {
            "law": "future",
            "what": "changes when later bars change",
            "first": "2024-03-01T05:00:00+00:00",
            "rows": 5,
            "largest": 0.25,
        },
    ]
    assert to_json([_one("B", SOUND, KEPT)], {})["ok"] is True
    unread = to_json([_one("B", SOUND, KEPT)], {"C": "it is empty"})
    assert (unread["ok"], unread["failed"]) == (False, {"C": "it is empty"})
    assert all(feature["ok"] for feature in second["features"])


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_drawn_on_a_terminal_only(terminal: bool) -> None:
    drawn = io.StringIO()
    with progress_bar(Console(file=drawn, force_terminal=terminal, width=100), "A") as listen:
        for done in range(101):
            listen("every bar", done, 100)
    assert ("A, every bar" in drawn.getvalue()) is terminal
    assert ("100%" in drawn.getvalue()) is terminal
