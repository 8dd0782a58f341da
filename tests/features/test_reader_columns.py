from __future__ import annotations

import pandas as pd
import pytest

from features.errors import InputError
from features.reader_columns import (
    check_series,
    check_symbols,
    has_prices,
    join_date_and_clock,
    match_columns,
    plain_names,
    renaming,
    standard_names,
)
from features.reader_table import Table

NAMES = ("Close", "High", "Low", "Open", "Volume")
VALUES = dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0)


def _table(**columns: object) -> Table:
    frame = pd.DataFrame(columns)
    return Table("a.csv", frame, tuple(frame.columns))


def test_standard_names() -> None:
    assert standard_names(["Open Time", "<VOL>", "trades", "#close.1"]) == {
        *("timestamp", "volume", "close")
    }
    assert has_prices(["o", "h", "l", "c"])
    assert not has_prices(["o", "h", "l", "v"])


@pytest.mark.parametrize("order", [1, -1], ids=["(price, symbol)", "(symbol, price)"])
@pytest.mark.parametrize("text", [False, True], ids=["tuples", "text"])
def test_pairs_of_price_and_symbol(order: int, text: bool) -> None:
    pairs: list[object] = [("Date", ""), *((name, "ABC")[::order] for name in NAMES)]
    names, notes = plain_names([str(pair) if text else pair for pair in pairs], "a.parquet")
    assert names == ["Date", *NAMES]
    assert notes == ("left out the symbol ABC beside each name",)


@pytest.mark.parametrize(
    ("traded", "used"),
    [([0, 0], "<TICKVOL>"), (["0", "0.0"], "<TICKVOL>"), ([0, 5], "<VOL>"), (["?", 0], "<VOL>")],
)
@pytest.mark.parametrize("order", [1, -1])
def test_the_ticks_are_the_volume_if_no_volume_was_traded(
    traded: list[object], used: str, order: int
) -> None:
    prices = {name: ["1", "2"] for name in ("<DATE>", "<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>")}
    volumes = [("<TICKVOL>", [7, 8]), ("<VOL>", traded)][::order]
    assert match_columns(_table(**prices, **dict(volumes)))["volume"] == used
    volumes = [("tick_volume", [7, 8]), ("real_volume", traded)][::order]
    expected = {"<TICKVOL>": "tick_volume", "<VOL>": "real_volume"}[used]
    assert match_columns(_table(**prices, **dict(volumes)))["volume"] == expected


@pytest.mark.parametrize("pair", [("v", "<VOL>"), ("tickvol", "tick_volume"), ("volume", "qty")])
def test_two_volumes_of_one_meaning_are_refused(pair: tuple[str, str]) -> None:
    names = ("time", "open", "high", "low", "close", *pair)
    text = rf"^a\.csv: both '{pair[0]}' and '{pair[1]}' look like the volume; rename or remove"
    with pytest.raises(InputError, match=text):
        match_columns(_table(**{name: [0] for name in names}))


def test_symbols_that_are_named_like_columns_are_no_prices() -> None:
    names, notes = plain_names([("Date", ""), *((name, "V") for name in NAMES)], "a.csv")
    assert names == ["Date", *NAMES]
    assert notes == ("left out the symbol V beside each name",)


def test_pairs_of_several_symbols_are_refused() -> None:
    pairs = [(name, symbol) for symbol in ("ABC", "DEF") for name in NAMES]
    text = r"^a\.csv: several symbols: ABC, DEF; write one file for each symbol$"
    with pytest.raises(InputError, match=text):
        plain_names(pairs, "a.csv")
    many = [(name, f"S{number:03}") for number in range(300) for name in NAMES]
    with pytest.raises(InputError, match=r"symbols: S000, .*, S009, \.\.\. \(300\); write"):
        plain_names(many, "a.csv")


@pytest.mark.parametrize("column", ["(a)", "('a', 'b'", "('a', b')", '("a")', ("a", "b", "c")])
def test_other_names_stay(column: object) -> None:
    assert plain_names([column, "close"], "a.csv") == ([str(column), "close"], ())


def test_the_error_for_a_missing_column_is_one_line_that_can_be_read() -> None:
    names, _ = plain_names(["time", "a\r\n  b", "x" * 200, *map(str, range(100))], "a.csv")
    with pytest.raises(InputError, match=rf"got time, a b, {'x' * 60}, 0, 1, .* 56; rename them"):
        match_columns(_table(**{name: [1] for name in names}))


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "__index_level_0__", "index"])
def test_the_first_column_without_a_name_has_the_times(name: str) -> None:
    columns = match_columns(_table(**{name: ["2024-01-30"]}, **VALUES))
    assert columns["timestamp"] == name
    assert next(iter(columns)) == "timestamp"


@pytest.mark.parametrize("start", [0, 1])
def test_a_first_column_that_counts_has_no_times(start: int) -> None:
    table = _table(**{"Unnamed: 0": [start, start + 1]}, **VALUES)
    with pytest.raises(InputError, match=r"no column for timestamp, got Unnamed: 0, open, high"):
        match_columns(table)


def test_a_first_column_without_a_name_is_ignored_beside_times() -> None:
    assert match_columns(_table(**{"": [5], "date": ["2024-01-30"]}, **VALUES))["timestamp"] == (
        "date"
    )


def test_renaming() -> None:
    assert renaming("close", "Close") == ""
    assert renaming("close", "last") == "last as close"
    assert (
        renaming("timestamp", "Unnamed: 0") == "the first column, which has no name, as timestamp"
    )
    assert renaming("timestamp", "index") == "index as timestamp"


@pytest.mark.parametrize(
    ("name", "clocks", "joined"),
    [
        ("time", ["09:30", "10:30:15"], ["2024-01-30 09:30", "2024-01-30 10:30:15"]),
        ("hour", [0, 23], ["2024-01-30 00:00", "2024-01-30 23:00"]),
        ("hour", [0.0, 23.0], ["2024-01-30 00:00", "2024-01-30 23:00"]),
        ("time", [93000, 103015], ["2024-01-30 09:30:00", "2024-01-30 10:30:15"]),
        ("time", [930, 1030], ["2024-01-30 09:30:00", "2024-01-30 10:30:00"]),
        ("time", [34200, 37800], None),  # seconds since midnight
    ],
)
def test_dates_and_clocks(name: str, clocks: list[object], joined: list[str] | None) -> None:
    table, text = join_date_and_clock(_table(date=["2024-01-30"] * 2, **{name: clocks}))
    if joined is None:
        assert (text, list(table.frame)) == ("", ["date", "time"])
    else:
        assert text == f"from date and {name}, "
        assert table.frame["timestamp"].tolist() == joined


def test_a_value_among_times_of_day_is_refused() -> None:
    text = r"^a\.csv, row 1: time is 'noon', which is no time of day; remove or repair it$"
    with pytest.raises(InputError, match=text):
        join_date_and_clock(_table(date=["2024-01-30"] * 2, time=["09:30", "noon"]))


@pytest.mark.parametrize("column", ["symbol", "Ticker", "act_symbol", "Name", "tic", "ts_code"])
def test_several_symbols_are_refused(column: str) -> None:
    text = rf"^a\.csv: several symbols in column '{column}': AAA, BBB; write one file for each"
    with pytest.raises(InputError, match=text):
        check_symbols(_table(**{column: ["BBB", "AAA", "BBB"]}))


@pytest.mark.parametrize("values", [["AAA", "AAA "], ["AAA", None], [None, None], [7, 7]])
def test_one_symbol_is_fine(values: list[object]) -> None:
    check_symbols(_table(symbol=values))


def _times(*days: int) -> pd.Series:
    return pd.Series(pd.to_datetime([f"2024-01-{day:02}" for day in days], utc=True))


def test_a_column_that_tells_repeated_times_apart_is_refused() -> None:
    table = _table(date=["x"] * 4, tf=["1h", "4h", "1h", "4h"])
    text = (
        r"^a\.csv: several series, which column 'tf' tells apart: 1h, 4h; write one file for each"
    )
    with pytest.raises(InputError, match=text):
        check_series(table, ["date"], _times(1, 1, 2, 2))
    with pytest.raises(InputError, match=text):  # One series after the other.
        check_series(_table(date=["x"] * 4, tf=["4h"] * 2 + ["1h"] * 2), [], _times(1, 2, 1, 2))


@pytest.mark.parametrize(
    ("texts", "days"),
    [
        (["1h", "4h", "1h", "4h"], (1, 2, 3, 4)),  # No time repeats.
        (["a", "b", "c", "d"], (1, 1, 2, 2)),  # A remark for each row.
        (["1h", "1h", "4h", "4h"], (1, 1, 2, 2)),  # Repeated rows have the same text.
        ([1, 2, 1, 2], (1, 1, 2, 2)),  # Numbers.
    ],
)
def test_other_columns_do_not_tell_series_apart(texts: list[object], days: tuple[int, ...]) -> None:
    check_series(_table(extra=texts), [], _times(*days))
