"""The table of moves."""

from __future__ import annotations

import io

from rich.console import Console

from cli.history_view import print_history
from trainer.registry.alias import MoveRecord

FIRST = MoveRecord(
    name="gru-BTCUSDT", alias="champion", to="2", before=None, who="ann@host",
    when="2026-01-02T03:04:05.678901+00:00", state="done",
)  # fmt: skip
SECOND = MoveRecord(
    name="gru-BTCUSDT", alias="champion", to="1", before="2", forced=True, reason="a [drill]",
    who="bob@host", when="2026-01-03T00:00:00+00:00",
    state="lost: version 3 was made @champion meanwhile",
)  # fmt: skip


def printed(*moves: MoveRecord) -> list[str]:
    console = Console(file=io.StringIO(), width=160)
    print_history(console, "gru-BTCUSDT", moves)
    assert isinstance(console.file, io.StringIO)
    return [line.strip() for line in console.file.getvalue().splitlines() if line.strip()]


def test_a_row_for_each_move() -> None:
    title, heading, _, *rows = printed(FIRST, SECOND)
    assert title == "Moves of the aliases of gru-BTCUSDT"
    assert heading.split() == [
        "when", "(UTC)", "alias", "from", "to", "forced", "state", "who", "reason",
    ]  # fmt: skip
    assert [row.split() for row in rows] == [
        ["2026-01-02", "03:04:05", "@champion", "-", "2", "no", "done", "ann@host", "-"],
        [
            "2026-01-03", "00:00:00", "@champion", "2", "1", "yes", "lost:", "version", "3", "was",
            "made", "@champion", "meanwhile", "bob@host", "a", "[drill]",
        ],
    ]  # fmt: skip


def test_no_move_is_one_sentence() -> None:
    assert printed() == ["No alias of gru-BTCUSDT was moved, and no version rolled back."]
