from __future__ import annotations

import pandas as pd

from features.reader_table import CsvText, Table, quoted

TEXT = 'time,remark\n\n2024-01-30,"two\nlines"\n   \n2024-01-31,"a, b"\n2024-02-01\n'


def _table() -> Table:
    frame = pd.DataFrame({"time": ["x"] * 3, "remark": ["y"] * 3})
    return Table("a.csv", frame, ("time", "remark"), text=CsvText(TEXT.encode(), ",", first_line=2))


def test_records_have_the_number_of_their_first_line() -> None:
    # Blank lines are no records, and a field may span lines.
    assert list(CsvText(TEXT.encode(), ",").records()) == [
        (1, ["time", "remark"]),
        (3, ["2024-01-30", "two\nlines"]),
        (6, ["2024-01-31", "a, b"]),
        (7, ["2024-02-01"]),
    ]


def test_lines_above_the_text_count() -> None:
    text = CsvText(b"a,b\n1,2\n", ",", above=3, first_line=5)
    assert list(text.records()) == [(4, ["a", "b"]), (5, ["1", "2"])]
    assert list(text.rows()) == [(5, ["1", "2"])]


def test_a_row_of_a_text_has_a_line() -> None:
    table = _table()
    assert [table.at(row) for row in range(3)] == [f"a.csv, line {line}" for line in (3, 6, 7)]
    assert table.shown(1, "remark") == "'a, b'"
    assert table.shown(2, "remark") == "''"


def test_a_row_of_another_file_has_a_number() -> None:
    table = Table("a.parquet", pd.DataFrame({"close": [1.5, 2.5]}), ("close",))
    assert table.at(1) == "a.parquet, row 1"
    assert table.shown(1, "close") == "'2.5'"


def test_a_column_that_was_joined_shows_its_joined_value() -> None:
    assert Table("a.csv", pd.DataFrame({"timestamp": ["j"]}), text=_table().text).shown(
        0, "timestamp"
    ) == ("'j'")


def test_a_field_that_is_too_long_for_csv_has_the_number_of_its_row() -> None:
    text = CsvText(b"a,b\n" + b"x" * 200_000 + b",1\n", ",", first_line=2)
    table = Table("a.csv", pd.DataFrame({"a": ["x"]}), ("a",), text=text)
    assert table.at(0) == "a.csv, row 0"


def test_long_values_are_cut() -> None:
    assert quoted("x" * 200) == repr("x" * 60 + "...")
    assert quoted("1\u00a0234") == r"'1\xa0234'"
