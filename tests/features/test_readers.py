from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.errors import InputError
from features.readers import read_table

TIMES = pd.date_range("2024-01-30", periods=6, freq="h", tz="UTC")


def _csv(path: Path, times: object, header: str = "time,open,high,low,close,volume") -> Path:
    rows = [f"{time},1.5,2.5,0.5,2,{10 * row}" for row, time in enumerate(times)]  # type: ignore[arg-type, var-annotated]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.mark.parametrize(
    ("header", "renamed"),
    [
        ("timestamp,open,high,low,close,volume", ""),
        ("Timestamp,Open,High,Low,Close,Volume", ""),
        ("Date,Open,High,Low,Close,Vol", "read Date as timestamp, Vol as volume"),
        ("open_time,o,h,l,c,v", "read open_time as timestamp, o as open"),
        ("t,o,h,l,c,v", "read t as timestamp, o as open"),
        ("<DATE>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>", "read <DATE> as timestamp, <OPEN> as open"),
        ("Gmt time,Open,High,Low,Close,<TICKVOL>", "read Gmt time as timestamp, <TICKVOL> as vol"),
        (" Open Time , open , high , low , close , volume ", "as timestamp"),
    ],
)
def test_usual_column_names(header: str, renamed: str, tmp_path: Path) -> None:
    path = _csv(tmp_path / "a.csv", TIMES.strftime("%Y-%m-%dT%H:%M:%SZ"), header)
    frame, understood = read_table(path)
    assert list(frame.columns) == ["timestamp", "open", "high", "low", "close", "volume"]
    assert frame.iloc[3, 1:].tolist() == [1.5, 2.5, 0.5, 2, 30]
    assert (frame["timestamp"] == TIMES).all()
    assert understood.startswith("a.csv: 6 rows, times ISO 8601 with offset, converted to UTC")
    assert renamed in understood
    assert ("; read " in understood) == bool(renamed)


def test_columns_may_be_in_any_order_and_other_columns_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("volume,trades,close,low,high,open,date\n7,99,2,0.5,2.5,1.5,2024-01-30\n")
    frame, understood = read_table(path)
    row = frame.loc[0, ["open", "high", "low", "close", "volume"]]
    assert row.tolist() == [1.5, 2.5, 0.5, 2, 7]
    assert understood.endswith("; read date as timestamp; ignored trades")


@pytest.mark.parametrize("form", ["%Y.%m.%d,%H:%M:%S", "%Y-%m-%d,%H:%M", "%d.%m.%Y,%H:%M"])
def test_a_date_and_a_time_of_day_are_joined(form: str, tmp_path: Path) -> None:
    header = "<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<TICKVOL>"
    path = _csv(tmp_path / "a.csv", TIMES.strftime(form), header)
    frame, understood = read_table(path)
    assert (frame["timestamp"] == TIMES).all()
    assert "times from <DATE> and <TIME>, " in understood


def test_a_date_beside_a_complete_time_is_ambiguous(tmp_path: Path) -> None:
    path = _csv(tmp_path / "a.csv", [f"2024-01-30,{t}" for t in TIMES], "date,time,o,h,l,c,v")
    with pytest.raises(InputError, match="both 'date' and 'time' look like the timestamp"):
        read_table(path)


def test_the_error_for_bars_without_volume_contains_the_way_out(tmp_path: Path) -> None:
    path = _csv(tmp_path / "a.csv", TIMES, "time,open,high,low,close,Volume USDT")
    with pytest.raises(
        InputError, match=r"no column for volume, got .* a column of zeros, and --f"
    ):
        read_table(path)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_epoch_numbers(unit: str, suffix: str, tmp_path: Path) -> None:
    numbers = TIMES.tz_localize(None).astype(f"datetime64[{unit}]").astype(np.int64)
    path = _csv(tmp_path / "a.csv", numbers)
    if suffix == ".parquet":
        pd.read_csv(path).to_parquet(path := tmp_path / "a.parquet")
    frame, understood = read_table(path)
    assert (frame["timestamp"] == TIMES).all()
    assert f"times epoch {unit}" in understood


@pytest.mark.parametrize(
    ("times", "text"),
    [
        (
            ["1706572800", "170657280000"],
            r"line 3: the time 170657280000 is epoch ms, and the first one, 1706572800, is epoch",
        ),
        (
            ["12", "13"],
            r"line 2: the time 12 is no epoch time in s, ms, us or ns after 1973; write",
        ),
        (["-1706572800", "1706572800"], r"line 2: the time -1706572800 is negative: the unit of"),
    ],
)
def test_epoch_numbers_of_different_units_are_refused(
    times: list[str], text: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=rf"^a\.csv, {text}"):
        read_table(_csv(tmp_path / "a.csv", times))


@pytest.mark.parametrize(
    ("times", "understood"),
    [
        (TIMES.strftime("%Y-%m-%dT%H:%M:%SZ"), "ISO 8601 with offset, converted to UTC"),
        (TIMES.strftime("%Y-%m-%d %H:%M:%S+00:00"), "ISO 8601 with offset, converted to UTC"),
        (
            TIMES.tz_convert("Asia/Tokyo").strftime("%Y-%m-%dT%H:%M:%S+09:00"),
            "ISO 8601 with offset, converted to UTC",
        ),
        (
            TIMES.tz_convert("America/New_York").strftime("%Y-%m-%d %H:%M:%S%z"),
            "ISO 8601 with offset, converted to UTC",
        ),
        (TIMES.strftime("%Y-%m-%d %H:%M+00"), "ISO 8601 with offset, converted to UTC"),
        (TIMES.strftime("%Y-%m-%d %H:%M"), "ISO 8601 without zone, read as UTC"),
        (TIMES.strftime("%Y%m%dT%H%M"), "ISO 8601 without zone, read as UTC"),
        (TIMES.strftime("%d.%m.%Y %H:%M:%S.000"), "day-first (30.01.2024 00:00:00.000)"),
        (TIMES.strftime("%m/%d/%Y %H:%M"), "month-first (01/30/2024 00:00), without zone"),
    ],
    ids=["Z", "+00:00", "+09:00", "-0500", "+00", "naive", "basic", "day-first", "month-first"],
)
def test_text_times(times: pd.Index, understood: str, tmp_path: Path) -> None:
    frame, sentence = read_table(_csv(tmp_path / "a.csv", times))
    assert (frame["timestamp"] == TIMES).all()
    assert understood in sentence


def test_offsets_may_change_within_a_file(tmp_path: Path) -> None:
    # Local time over a change of clocks: one local hour occurs with both offsets.
    times = pd.date_range("2024-10-26 22:00", periods=6, freq="h", tz="UTC")
    local = times.tz_convert("Europe/Berlin").strftime("%Y-%m-%dT%H:%M:%S%z")
    frame, _ = read_table(_csv(tmp_path / "a.csv", local))
    assert (frame["timestamp"] == times).all()


@pytest.mark.parametrize(
    ("times", "understood"),
    [
        # Each date is valid in both orders; only one order gives ascending times.
        (["01/02/2024", "02/02/2024", "03/02/2024", "01/03/2024"], "day-first"),
        (["01/02/2024", "01/03/2024", "01/04/2024", "02/01/2024"], "month-first"),
    ],
)
def test_day_and_month_are_distinguished_by_ascending_order(
    times: list[str], understood: str, tmp_path: Path
) -> None:
    frame, sentence = read_table(_csv(tmp_path / "a.csv", times))
    assert understood in sentence
    assert frame["timestamp"].is_monotonic_increasing


@pytest.mark.parametrize(
    ("times", "text"),
    [
        (
            ["01/02/2024", "02/03/2024"],
            r"^a\.csv: times like '01/02/2024' are in ascending or descending order both day-first "
            r"and month-first; write ISO 8601",
        ),
        (
            ["03/02/2024", "01/03/2024", "02/01/2024"],
            r"'03/02/2024' are in order neither day-first nor month-first; write ISO 8601",
        ),
        (
            ["13.01.2024", "01.13.2024"],
            r"are valid neither day-first \(line 3: '01\.13\.2024'\) nor month-first \(line 2: ",
        ),
        (["01/02/24", "01/03/24"], r"line 2: the time '01/02/24' has a year of two digits; write"),
        (["soon", "later"], r"line 2: the time 'soon' is not understood; write ISO 8601"),
        (["2024-01-30", ""], r"^a\.csv, line 3: the time '' is missing; remove or repair it$"),
    ],
)
def test_times_of_an_unknown_or_ambiguous_format(
    times: list[str], text: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=text):
        read_table(_csv(tmp_path / "a.csv", times))


@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".csv"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", None])
def test_round_trip(suffix: str, zone: str | None, tmp_path: Path) -> None:
    times = TIMES.tz_convert(zone) if zone else TIMES.tz_localize(None)
    values = {"open": 0.1, "high": 0.3, "low": 0.1, "close": 0.1 + 0.2, "volume": 1e9 / 3}
    frame = pd.DataFrame({"timestamp": times, **values})
    path = tmp_path / f"a{suffix}"
    if suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        getattr(frame, f"to_{suffix[1:]}")(path)
    read, _ = read_table(path)
    assert (read["timestamp"] == TIMES).all()
    assert read["timestamp"].dt.tz is not None
    assert read.iloc[0, 1:].to_dict() == pytest.approx(values, rel=1e-15)


@pytest.mark.parametrize("name", ["timestamp", "Date", None])
def test_times_in_the_index(name: str | None, tmp_path: Path) -> None:
    values = dict.fromkeys(["open", "high", "low", "close", "volume"], 1.0)
    frame = pd.DataFrame(values, index=TIMES.rename(name))
    frame.to_parquet(tmp_path / "a.parquet")
    read, _ = read_table(tmp_path / "a.parquet")
    assert (read["timestamp"] == TIMES).all()


def test_times_in_the_index_and_in_a_column(tmp_path: Path) -> None:
    values = dict.fromkeys(["open", "high", "low", "close", "volume"], 1.0)
    frame = pd.DataFrame({"timestamp": TIMES, **values}, index=TIMES)
    frame.to_parquet(tmp_path / "a.parquet")
    read, _ = read_table(tmp_path / "a.parquet")
    assert read["timestamp"].tolist() == list(TIMES)


@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".csv"])
def test_empty_file(suffix: str, tmp_path: Path) -> None:
    (path := tmp_path / f"a{suffix}").touch()
    with pytest.raises(InputError, match=rf"^a\{suffix} cannot be read: it is empty; write"):
        read_table(path)


def test_a_file_with_only_a_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.csv contains no bars; give a file with at least one"):
        read_table(_csv(tmp_path / "a.csv", []))


@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".csv"])
def test_unreadable_file_is_one_line(suffix: str, tmp_path: Path) -> None:
    (path := tmp_path / f"a{suffix}").write_bytes(b"\xff\xfe\x00 no table \x00" * 9)
    with pytest.raises(InputError, match=rf"^a\{suffix} cannot be read: ") as caught:
        read_table(path)
    assert "\n" not in str(caught.value)


def test_the_error_for_a_missing_column_lists_the_columns_of_the_file(tmp_path: Path) -> None:
    path = _csv(tmp_path / "a.csv", ["2024-01-30"], "time,open,high,low,price,size")
    text = r"a\.csv: no column for close, volume, got time, open, high, low, price, size; rename"
    with pytest.raises(InputError, match=text):
        read_table(path)


@pytest.mark.parametrize(
    "header",
    [
        "time,open,high,low,close,volume,last",
        "date,open,high,low,close,volume,time",
        "time,open,high,low,close,volume,close",
    ],
)
def test_a_column_that_occurs_twice_is_refused(header: str, tmp_path: Path) -> None:
    (path := tmp_path / "a.csv").write_text(f"{header}\n2024-01-30,1,1,1,1,1,2024-01-30\n")
    with pytest.raises(InputError, match=r"a\.csv: both '.*' and '.*' look like the "):
        read_table(path)


@pytest.mark.parametrize("dates", [["31.01.2024", "30.01.2024"], ["2024-01-31", "2024-01-30"]])
def test_newest_first_is_reversed(dates: list[str], tmp_path: Path) -> None:
    frame, understood = read_table(_csv(tmp_path / "a.csv", dates))
    assert frame["timestamp"].dt.day.tolist() == [30, 31]
    assert frame["volume"].tolist() == [10, 0]
    assert frame.index.tolist() == [0, 1]
    assert understood.endswith("; newest first in the file, reversed")


def test_one_row_without_names_is_refused(tmp_path: Path) -> None:
    # Open and close could be exchanged.
    (path := tmp_path / "a.csv").write_text("2024-01-30,1.5,2.5,0.5,2,10\n")
    with pytest.raises(InputError, match=r"^a\.csv: no bar opens near the close of the bar before"):
        read_table(path)


def test_flat_bars_without_names_are_read(tmp_path: Path) -> None:
    # Each order of equal prices is the same.
    rows = [f"2024-01-{day},2,2,2,2,10\n" for day in (30, 31)]
    (path := tmp_path / "a.csv").write_text("".join(rows))
    frame, understood = read_table(path)
    assert frame["close"].tolist() == [2, 2]
    assert "; no names in the file, read in the order timestamp, open, high, low," in understood


def test_rows_are_not_sorted_or_repaired(tmp_path: Path) -> None:
    times = ["2024-01-30T02:00Z", "2024-01-30T01:00Z", "2024-01-30T01:00Z"]
    frame, _ = read_table(_csv(tmp_path / "a.csv", times))
    assert frame["timestamp"].dt.hour.tolist() == [2, 1, 1]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators(separator: str, tmp_path: Path) -> None:
    path = _csv(tmp_path / "A_1h.csv", ["2024-01-01 00:00", "2024-01-01 01:00"])
    before, _ = read_table(path)
    path.write_text(path.read_text().replace(",", separator))
    pd.testing.assert_frame_equal(read_table(path)[0], before)


def test_times_with_and_without_an_offset_are_not_mixed(tmp_path: Path) -> None:
    path = _csv(tmp_path / "A_1h.csv", ["2024-01-01 00:00", "2024-01-01 02:00+01:00"])
    with pytest.raises(InputError, match=r"line 3: the time .* has an offset, and the first"):
        read_table(path)


def test_fractions_of_an_epoch_are_refused(tmp_path: Path) -> None:
    path = _csv(tmp_path / "A_1h.csv", ["1704067200.0", "1704070800.5"])
    with pytest.raises(
        InputError, match=r"line 3: epoch s must be whole numbers, got 1704070800\.5;"
    ):
        read_table(path)


def test_an_offset_of_one_digit_is_an_offset(tmp_path: Path) -> None:
    offset = ["2024-01-29 01:00 GMT+1", "2024-01-29 02:00+1"]
    frame, understood = read_table(_csv(tmp_path / "a.csv", offset))
    assert (frame["timestamp"] == pd.date_range("2024-01-29", periods=2, freq="h", tz="UTC")).all()
    assert "ISO 8601 with offset, converted to UTC" in understood
    with pytest.raises(InputError, match="line 3"):
        read_table(_csv(tmp_path / "b.csv", [offset[0], "2024-01-29 02:00"]))
