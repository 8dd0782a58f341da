from __future__ import annotations

from pathlib import Path

import pytest

from features.errors import InputError
from features.reader_csv import parse_csv

HEADER = "time,open,high,low,close,volume"
ROW = "2024-01-30,1.5,2.5,0.5,2,10"
NEXT = "2024-01-31,2.1,2.5,0.5,2,20"


def _lines(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def test_a_plain_file() -> None:
    table = parse_csv(_lines(HEADER, ROW, NEXT), "a.csv")
    assert (table.loaded, table.notes, table.headerless) == (tuple(HEADER.split(",")), (), False)
    assert table.frame["volume"].tolist() == [10, 20]
    assert table.at(1) == "a.csv, line 3"


def test_the_path_and_the_bytes_give_the_same(tmp_path: Path) -> None:
    data = _lines(HEADER, ROW, NEXT)
    # The ending of a file that is not compressed does not matter.
    (path := tmp_path / "a.zip").write_bytes(data)
    assert parse_csv(data, "a", path).frame.equals(parse_csv(data, "a").frame)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_separators(separator: str) -> None:
    data = _lines(HEADER, ROW).replace(b",", separator.encode())
    assert parse_csv(data, "a.csv").loaded == tuple(HEADER.split(","))


def test_decimal_commas_do_not_hide_the_separator() -> None:
    data = _lines("2024-01-30;1,5;2,5;0,5;2,0;10,0", "2024-01-31;2,5;2,5;0,5;2,0;10,0")
    assert parse_csv(data, "a.csv").frame.iloc[1].tolist()[:2] == ["2024-01-31", "2,5"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(end: str) -> None:
    table = parse_csv(_lines(HEADER, ROW, NEXT).replace(b"\n", end.encode()), "a.csv")
    assert (len(table.frame), table.at(1)) == (2, "a.csv, line 3")


@pytest.mark.parametrize(
    ("encoding", "notes"),
    [
        ("utf-8", ()),
        ("utf-8-sig", ()),
        ("utf-16", ("text in UTF-16",)),
        ("cp1252", ("text in Windows-1252",)),
    ],
)
def test_encodings(encoding: str, notes: tuple[str, ...]) -> None:
    text = _lines(f"{HEADER},Währung", f"{ROW},€").decode()
    table = parse_csv(text.encode(encoding), "a.csv")
    assert table.loaded == (*HEADER.split(","), "Währung")
    assert table.frame["Währung"].tolist() == ["€"]
    assert table.notes == notes


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "it is empty"),
        (b"\n \n\n", "it is empty"),
        (_lines(HEADER, ROW).decode().encode("utf-16-le"), "it is no text in UTF-8, UTF-16 with"),
        (b"\xff\xfe\x00", "it is no text in UTF-8, UTF-16 with"),
        (b"\x1f\x8b\x08\x00,\x90,", "it is no text in UTF-8, UTF-16 with"),
        (
            _lines(HEADER, *[ROW] * 200) + b"2024-01-31,1,1,1,1,\x001\n",
            "it is no text in UTF-8, UTF-16",
        ),
        (b"hello\n", "it has no columns separated by comma, semicolon, tab or bar"),
    ],
)
def test_what_is_no_table_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(InputError, match=rf"^a\.csv cannot be read: {problem}.*; write the file"):
        parse_csv(data, "a.csv")


def test_comments_at_the_top_are_left_out() -> None:
    # A quote in a comment must not swallow lines.
    table = parse_csv(_lines('# 5" of "text', "", '#a,"b', HEADER, ROW, "x" + ROW), "a.csv")
    assert table.notes == ("left out 2 comment lines at the top",)
    assert table.at(1) == "a.csv, line 6"
    assert parse_csv(_lines("# one", HEADER, ROW), "a").notes == (
        "left out 1 comment line at the top",
    )


def test_names_after_a_number_sign_are_no_comment() -> None:
    table = parse_csv(_lines(f"# {HEADER}", ROW), "a.csv")
    assert (table.loaded[0], table.notes) == ("# time", ())


YFINANCE = (
    "Price,Close,High,Low,Open,Volume",
    "Ticker,ABC,ABC,ABC,ABC,ABC",
    "Date,,,,,",
)


@pytest.mark.parametrize(
    ("lines", "first"),
    [
        (YFINANCE, "Date"),
        (YFINANCE[:2], ""),
        (("Ticker,ABC,ABC,ABC,ABC,ABC", "Price,Close,High,Low,Open,Volume", "Date,,,,,"), "Date"),
        ((",Close,High,Low,Open,Volume", ",ABC,ABC,ABC,ABC,ABC", "Date,,,,,"), "Date"),
    ],
)
def test_names_in_pairs(lines: tuple[str, ...], first: str) -> None:
    table = parse_csv(_lines(*lines, ROW, NEXT), "a.csv")
    assert table.loaded == (first, "Close", "High", "Low", "Open", "Volume")
    assert table.notes == ("left out the symbol ABC beside each name",)
    assert table.at(1) == f"a.csv, line {len(lines) + 2}"


@pytest.mark.parametrize("second", [ROW, ",USD,USD,USD,USD,shares", "Ticker,ABC,ABC,,ABC,ABC"])
def test_other_second_lines_are_rows(second: str) -> None:
    assert len(parse_csv(_lines(HEADER, second), "a.csv").frame) == 1


@pytest.mark.parametrize(
    ("row", "names"),
    [
        (ROW, "timestamp, open, high, low, close, volume"),
        ("2024.01.30,09:30,1.5,2.5,0.5,2,10", "date, time, open, high, low, close, volume"),
        (
            "1706572800000,1.5,2.5,0.5,2,10,1706576399999,1,1,1,1,0",
            "open_time, open, high, low, close, volume, close_time, quote_volume, count, "
            "taker_buy_volume, taker_buy_quote_volume, ignore",
        ),
    ],
)
def test_well_known_orders_without_names(row: str, names: str) -> None:
    table = parse_csv(_lines(row, row), "a.csv")
    assert table.headerless
    assert len(table.frame) == 2
    assert table.loaded == tuple(names.split(", "))
    assert table.notes == (f"no names in the file, read in the order {names}",)
    assert table.at(1) == "a.csv, line 2"


@pytest.mark.parametrize(
    "row", ["2024-01-30,1.5,2.5,0.5,2", "1706572800,1.5,2.5,0.5,2,10,7", ",0,1,2,3,4"]
)
def test_other_files_without_names_are_refused(row: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_csv(_lines("# x", row, row), "a.csv")
    assert str(caught.value) == (
        f"a.csv, line 2 has no names of columns: '{row}'; begin the file with the line "
        "timestamp,open,high,low,close,volume, in the order of the columns"
    )


@pytest.mark.parametrize("first_wide", [True, False])
@pytest.mark.parametrize("header", [HEADER, ""], ids=["names", "no names"])
def test_wide_rows_are_refused(first_wide: bool, header: str) -> None:
    rows = [f"{ROW},7", NEXT] if first_wide else [ROW, NEXT, f"{ROW},7"]
    lines = [header, *rows] if header else [ROW, *rows]
    with pytest.raises(InputError) as caught:
        parse_csv(_lines(*lines), "a.csv")
    assert str(caught.value) == (
        f"a.csv, line {2 if first_wide else 4} has 7 fields, the file has 6 columns: '{ROW},7'; "
        "remove the additional fields, or write numbers without separators inside"
    )


@pytest.mark.parametrize(
    "rows",
    [[f"{ROW},", f"{NEXT},"], [ROW, f"{NEXT},"], [f"{ROW},", NEXT], [f"{ROW},,  ,", NEXT]],
)
@pytest.mark.parametrize("header", [HEADER, YFINANCE[0]])
def test_empty_fields_at_the_ends_of_rows_are_left_out(header: str, rows: list[str]) -> None:
    table = parse_csv(_lines(header, *rows), "a.csv")
    assert table.frame.iloc[1].tolist() == ["2024-01-31", 2.1, 2.5, 0.5, 2, 20]
    assert table.notes == ("left out empty fields at the ends of rows",)


@pytest.mark.parametrize("line", ["Total rows: 2", "# generated by x", "2024-02-01,1.5,2.5,0.5,2"])
def test_narrow_rows_are_refused(line: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_csv(_lines(HEADER, ROW, "", NEXT, line), "a.csv")
    count = line.count(",") + 1
    assert str(caught.value) == (
        f"a.csv, line 5 has {count} field{'s' if count > 1 else ''}, the file has 6 columns: "
        f"'{line}'; remove or repair the line"
    )


def test_separators_in_quotes_and_absent_values_make_no_row_narrow() -> None:
    rows = [f'{ROW},"Apple, Inc."', f"{NEXT},"]
    assert parse_csv(_lines(f"{HEADER},name", *rows), "a.csv").frame["name"].isna().sum() == 1


def test_names_may_end_with_a_separator() -> None:
    assert len(parse_csv(_lines(f"{HEADER},", ROW, NEXT), "a.csv").frame) == 2


def test_lines_before_the_names_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        parse_csv(_lines("https://example.com/data", HEADER, ROW), "a.csv")
    assert str(caught.value) == (
        "a.csv, line 2 has 6 fields, but line 1, read as the names of the columns, has 1; remove "
        "the lines before the names"
    )


def test_a_late_text_leaves_the_values_of_its_column_as_they_stand() -> None:
    # pandas types long files in parts: the numbers of the first part must not become floats.
    rows = ["1,1.5,2,0,2,10"] * 300_000
    table = parse_csv(_lines(HEADER, *rows, "1,x,2,0,2,10"), "a.csv")
    assert table.frame["open"].iloc[[0, -2, -1]].tolist() == ["1.5", "1.5", "x"]
