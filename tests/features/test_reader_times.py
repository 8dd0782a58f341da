from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest

from features.errors import InputError
from features.reader_table import Table
from features.reader_times import is_newest_first, parse_times

UTC = "without zone, read as UTC"
OFFSET = "with offset, converted to UTC"


def _table(values: object) -> Table:
    return Table("a.parquet", pd.DataFrame({"time": values}), ("time",))


def _parsed(*values: object) -> tuple[list[str], str]:
    times, text = parse_times(_table(list(values)), "time")
    assert str(times.dt.tz) == "UTC"
    return times.dt.strftime("%Y-%m-%d %H:%M").tolist(), text


@pytest.mark.parametrize(
    ("value", "hour", "text"),
    [
        ("2024-01-31T09:30+01:00", "08:30", f"ISO 8601 {OFFSET}"),
        ("2024-01-31 09:30:00+01", "08:30", f"ISO 8601 {OFFSET}"),
        ("2024-01-31 09:30:00.250-0500", "14:30", f"ISO 8601 {OFFSET}"),
        ("2024-01-31 09-05", "14:00", f"ISO 8601 {OFFSET}"),
        ("20240131T0930Z", "09:30", f"ISO 8601 {OFFSET}"),
        ("2024-01-31 09:30:00 UTC", "09:30", f"ISO 8601 {OFFSET}"),
        ("2024-01-31 09:30 GMT", "09:30", f"ISO 8601 {OFFSET}"),
        ("2024-01-31 09:30 GMT+0100", "08:30", f"ISO 8601 {OFFSET}"),
        ("2024-01-31 UTC", "00:00", f"ISO 8601 {OFFSET}"),
        ("2024-01-31", "00:00", f"ISO 8601 {UTC}"),
        ("2024.01.31 09:30", "09:30", f"ISO 8601 {UTC}"),
        ("2024/1/31 9:30", "09:30", f"ISO 8601 {UTC}"),
        ("2024-01-31 9:30 AM", "09:30", f"ISO 8601 {UTC}"),
        ("2024-01-31 12:05:10 a.m.", "00:05", f"ISO 8601 {UTC}"),
        ("2024-01-31 12 PM", "12:00", f"ISO 8601 {UTC}"),
        ("2024-01-31 11:59:59 pm", "23:59", f"ISO 8601 {UTC}"),
        ("31 Jan 2024", "00:00", f"with the name of the month (31 Jan 2024), {UTC}"),
        ("31-JAN-2024 09:30", "09:30", f"with the name of the month (31-JAN-2024 09:30), {UTC}"),
        ("Jan 31, 2024", "00:00", f"with the name of the month (Jan 31, 2024), {UTC}"),
        ("January 31 2024 9:30 PM", "21:30", "with the name of the month (January 31 2024 9:30"),
        ("2024-Jan-31", "00:00", "with the name of the month (2024-Jan-31), without zone"),
        ("Wed, 31 Jan 2024 09:30:00 GMT", "09:30", "Wed, 31 Jan 2024 09:30:00 GMT), with offset"),
        ("Wednesday 31 January 2024 09:30:00 -0500", "14:30", "09:30:00 -0500), with offset"),
        ("31.01.2024 09:30:00.000 GMT+0100", "08:30", "day-first (31.01.2024 09:30:00.000 GMT+01"),
        ("31/01/2024T09:30Z", "09:30", f"day-first (31/01/2024T09:30Z), {OFFSET}"),
        ("1/31/2024 9:30 PM", "21:30", f"month-first (1/31/2024 9:30 PM), {UTC}"),
        ("20240131", "00:00", f"dates of 8 digits (20240131), {UTC}"),
        (20240131, "00:00", f"dates of 8 digits (20240131), {UTC}"),
        (20240131.0, "00:00", f"dates of 8 digits (20240131), {UTC}"),
        (202401310930, "09:30", f"dates of 12 digits (202401310930), {UTC}"),
        (20240131093000, "09:30", f"dates of 14 digits (20240131093000), {UTC}"),
        ("1706693400", "09:30", "epoch s"),
        (1706693400.0, "09:30", "epoch s"),
        ("1706693400000", "09:30", "epoch ms"),
        (np.uint64(1706693400 * 10**9), "09:30", "epoch ns"),
        (datetime.date(2024, 1, 31), "00:00", f"ISO 8601 {UTC}"),
        (pd.Timestamp("2024-01-31 09:30"), "09:30", UTC),
        (pd.Timestamp("2024-01-31 09:30", tz="Asia/Tokyo"), "00:30", "Asia/Tokyo converted to UTC"),
    ],
    ids=repr,
)
def test_formats(value: object, hour: str, text: str) -> None:
    times, understood = _parsed(value, value)
    assert times == [f"2024-01-31 {hour}"] * 2
    assert text in understood


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_epoch_units_of_nullable_integers(unit: str) -> None:
    times = pd.date_range("2024-01-31", periods=3, freq="h").astype(f"datetime64[{unit}]")
    table = _table(pd.array(times.astype("int64"), dtype="Int64"))
    parsed, text = parse_times(table, "time")
    assert (parsed == times.tz_localize("UTC")).all()
    assert text == f"epoch {unit}"


def test_offsets_may_differ() -> None:
    times, _ = _parsed("2024-10-27 02:30+02:00", "2024-10-27 02:30+01:00")
    assert times == ["2024-10-27 00:30", "2024-10-27 01:30"]


@pytest.mark.parametrize(
    ("values", "first"),
    [
        (["01/02/2024", "01/03/2024", "01/04/2024", "02/01/2024"], "2024-01-02 00:00"),
        (["04/02/2024", "03/02/2024", "02/02/2024", "01/02/2024", "31/01/2024"], "2024-02-04 00:0"),
        (["04/02/2024", "03/02/2024", "02/02/2024", "01/02/2024", "03/01/2024"], "2024-02-04 00:0"),
        # Out of order, but valid only day-first: the order is judged with the bars.
        (["31/01/2024", "29/01/2024", "30/01/2024"], "2024-01-31 00:00"),
    ],
)
def test_order_of_day_and_month(values: list[str], first: str) -> None:
    assert _parsed(*values)[0][0].startswith(first)


ISO = "write ISO 8601 (2024-05-31T14:00:00Z)"
REPAIR = f"{ISO} or epoch seconds or milliseconds, or remove it"
ONE_UNIT = "write all times in one unit of epoch, or ISO 8601 (2024-05-31T14:00:00Z)"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (["2024-01-31", "x"], f", row 1: the time 'x' is not understood; {REPAIR}"),
        (["2024-01-31", "now"], f", row 1: the time 'now' is not understood; {REPAIR}"),
        (["today", "now"], f", row 0: the time 'today' is not understood; {REPAIR}"),
        (
            ["2024-01-31", "2024-02-30"],
            f", row 1: the time '2024-02-30' is not understood; {REPAIR}",
        ),
        (["2024-01-31", "NaT"], f", row 1: the time 'NaT' is not understood; {REPAIR}"),
        (["2024-01-31 09:30 EST"] * 2, ", row 0: the time '2024-01-31 09:30 EST' ends with the "),
        (["2024-01-31 13:30 PM"] * 2, ", row 0: the time '2024-01-31 13:30 PM' is not under"),
        (["09:30", "09:31"], ", row 0: the time '09:30' is a time of day only; add the date"),
        (["2024-01-31", " "], ", row 1: the time ' ' is missing; remove or repair it"),
        (["2024-01-31", None], ", row 1: the time 'nan' is missing; remove or repair it"),
        (
            ["2024-01-31", "time"],
            ", row 1: the time 'time' repeats the name of the column; remove it",
        ),
        (
            ["31.01.2024", "Total"],
            f", row 1: the time 'Total' is not written like the first one, '31.01.2024'; {REPAIR}",
        ),
        (
            ["31 Jan 2024", "1 Feb 2024", "2 Fob 2024"],
            ", row 2: the time '2 Fob 2024' is not written like the first one, '31 Jan 2024'; "
            f"{REPAIR}",
        ),
        (
            ["30 Jan 2024", "31 Feb 2024"],
            f", row 1: the time '31 Feb 2024' is not understood; {REPAIR}",
        ),
        (
            ["1706693400", "x"],
            f", row 1: the time 'x' is not written like the first one, '1706693400'; {REPAIR}",
        ),
        (
            [20240131, 20240230],
            f", row 1: the time '20240230' is not written like the first one, '20240131'; {REPAIR}",
        ),
        (  # Eleven digits.
            [202401310930, 20240131093],
            ", row 1: the time '20240131093' is not written like the first one, '202401310930'; "
            f"{REPAIR}",
        ),
        (
            ["2024-01-31 09:30", "2024-01-31 10:30", "2024-01-31 10:30+01"],
            ", row 2: the time '2024-01-31 10:30+01' has an offset, and the first one, "
            "'2024-01-31 09:30', has none; write all times with their offset",
        ),
        (
            ["2024-01-31 09:30 UTC", "2024-01-31 10:30"],
            ", row 1: the time '2024-01-31 10:30' has no offset, and the first one, "
            "'2024-01-31 09:30 UTC', has one; write all times with their offset",
        ),
        (["31-Jan-24"], f", row 0: the time '31-Jan-24' has a year of two digits; {ISO}"),
        (["Jan 31, 24"], f", row 0: the time 'Jan 31, 24' has a year of two digits; {ISO}"),
        (["24/01/31 09:30"], f", row 0: the time '24/01/31 09:30' has a year of two digits; {ISO}"),
        (
            [1706693400, 1706693400000],
            ", row 1: the time 1706693400000 is epoch ms, and the first one, 1706693400, is epoch "
            f"s; {ONE_UNIT}",
        ),
        (
            [45322.0, 45323.0],
            ", row 0: the time 45322.0 looks like the date of a spreadsheet, which counts days; "
            f"{ONE_UNIT}",
        ),
        (
            [-1706693400, 1706693400],
            ", row 0: the time -1706693400 is negative: the unit of epoch numbers is known only "
            f"after 1973; {ONE_UNIT}",
        ),
        (
            [np.uint64(2**63), np.uint64(1)],
            f", row 0: the time {2**63} has too many digits for epoch nanoseconds; {ONE_UNIT}",
        ),
        (
            ["1" * 22],
            f", row 0: the time {'1' * 22} has too many digits for epoch nanoseconds; {ONE_UNIT}",
        ),
        (
            [1706693400, 7],
            f", row 1: the time 7 is no epoch time in s, ms, us or ns after 1973; {ONE_UNIT}",
        ),
        ([10**10] * 2, f", row 0: the time '10000000000' is after 2262; {REPAIR}"),
        (
            [1706693400.0, 1706693400.5],
            ", row 1: epoch s must be whole numbers, got 1706693400.5; round them, or write ISO "
            "8601 times",
        ),
        ([1706693400.0, np.nan], ", row 1: the time 'nan' is missing; remove or repair it"),
        (
            ["13.01.2024", "01.13.2024"],
            ": times like '13.01.2024' are valid neither day-first (row 1: '01.13.2024') nor "
            f"month-first (row 0: '13.01.2024'); {ISO}, or repair it",
        ),
        (
            ["01.02.2024", "02.03.2024"],
            ": times like '01.02.2024' are in ascending or descending order both day-first and "
            f"month-first; {ISO}",
        ),
        (
            # Ascending if the day comes first, descending if the month does.
            ["12.01.2024", "11.02.2024", "10.03.2024"],
            ": times like '12.01.2024' are in ascending or descending order both day-first and "
            f"month-first; {ISO}",
        ),
        (
            ["03.02.2024", "01.03.2024", "02.01.2024"],
            f": times like '03.02.2024' are in order neither day-first nor month-first; {ISO}",
        ),
    ],
)
def test_refusals(values: list[object], text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_times(_table(values), "time")
    assert str(caught.value).startswith(f"a.parquet{text}")


def test_dates_without_a_time_of_day_in_twelve_hour_files_are_refused() -> None:
    with pytest.raises(InputError, match=r"row 1: the time '2024-01-31' is not understood"):
        parse_times(_table(["2024-01-31 9:30 AM", "2024-01-31"]), "time")


@pytest.mark.parametrize(
    ("days", "expected"),
    [((3, 2, 1), True), ((3, 2, 2), False), ((1, 2, 3), False), ((3, 1, 2), False), ((1,), False)],
)
def test_newest_first(days: tuple[int, ...], expected: bool) -> None:
    assert is_newest_first(pd.Series(pd.to_datetime([f"2024-01-{d:02}" for d in days]))) is expected
