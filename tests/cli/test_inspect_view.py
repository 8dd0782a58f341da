from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from cli.inspect_view import print_inspections
from features.inspection import Inspection

GOOD = Inspection(
    "A_1d.csv",
    "A",
    "1d",
    understood="A_1d.csv: 500 rows, times in UTC",
    rows=500,
    bars=500,
    first="2022-01-03T00:00:00+00:00",
    last="2023-12-29T00:00:00+00:00",
    calendar="XNYS",
    bars_per_year=251.6,
    gaps={"gaps": 1, "missing_bars": 3, "longest": 3},
    jumps=("2022-06-06 (-95%)",),
    notes=("calendar XNYS, inferred",),
)
BAD = Inspection("[b]_1d.csv", "[b]", "1d", error="line 7: `close` is 'x'")


def _printed(width: int, files: tuple[Inspection, ...] = (GOOD, BAD)) -> str:
    console = Console(width=width, record=True, force_terminal=False)
    print_inspections(console, files, ("notes.txt", "[x].xlsx"))
    return console.export_text()


def test_the_facts_of_each_file_are_in_the_table() -> None:
    text = _printed(140)
    row = next(line for line in text.splitlines() if line.strip().startswith("A_1d.csv"))
    assert row.split() == [
        "A_1d.csv", "500", "1d", "XNYS", "252", "2022-01-03", "2023-12-29", "00:00", "3", "3", "1",
    ]  # fmt: skip
    assert "A_1d.csv: moves that look like unadjusted splits: 2022-06-06 (-95%); adjust" in text
    assert "A_1d.csv: 500 rows, times in UTC; calendar XNYS, inferred" in text


def test_a_refused_file_is_printed_as_it_is_named() -> None:
    assert "[b]_1d.csv: line 7: `close` is 'x'" in _printed(140)


def test_a_narrow_terminal_keeps_file_and_bars() -> None:
    text = _printed(40)
    assert "A_1d.csv" in text
    assert "500" in text
    assert "longest" not in text


def test_one_file_is_one_file() -> None:
    assert "\n2 files, 1 refused.\n" in _printed(80)
    assert "\n1 file, 0 refused.\n" in _printed(80, (GOOD,))


def test_files_of_other_kinds_are_named() -> None:
    text = " ".join(_printed(200).split())
    assert "Not read, by their endings: notes.txt, [x].xlsx. Files of bars end in .parquet" in text


def test_daily_bars_have_the_dates_of_their_sessions() -> None:
    """The bar of 4 January in Tokyo is stamped 15:00 UTC of the day before."""
    tokyo = replace(GOOD, sessions=("2022-01-04", "2023-12-30"))
    row = next(line for line in _printed(140, (tokyo,)).splitlines() if "A_1d.csv  " in line)
    assert row.split()[5:7] == ["2022-01-04", "2023-12-30"]
