from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import InputError
from features.reader_files import load, suffix_of

TEXT = b"time,open,high,low,close,volume\n2024-01-30,1.5,2.5,0.5,2,10\n"
FRAME = pd.DataFrame(
    {"open": [1.5, 2.0], "high": 2.5, "low": 0.5, "close": 2.0, "volume": [1, 2]},
    index=pd.to_datetime(["2024-01-30", "2024-01-31"]),
)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        *(("A_1h.csv", ".csv"), ("A_1h.CSV", ".csv"), ("A_1h.csv.gz", ".csv.gz")),
        *(("A_1h.Csv.ZIP", ".csv.zip"), ("A.B_1h.PARQUET", ".parquet"), ("a.feather", ".feather")),
        *(("A_1h.gz", ""), ("A_1h.csv.bak", ""), ("csv", "")),
    ],
)
def test_suffix(name: str, suffix: str) -> None:
    assert suffix_of(name) == suffix


@pytest.mark.parametrize("name", ["a.csv.gz", "A.CSV.GZ", "a.gz"])
def test_gzip(name: str, tmp_path: Path) -> None:
    (path := tmp_path / name).write_bytes(gzip.compress(TEXT))
    assert load(path).frame["close"].tolist() == [2]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (gzip.compress(TEXT)[:-12], "Compressed file ended before"),
        (gzip.compress(TEXT)[:-8] + b"\0" * 8, "CRC check failed"),
        (gzip.compress(TEXT)[:10] + b"\xff" * 40, "Error -3 while decompressing"),
        (TEXT, "Not a gzipped file"),
        (b"", "it is empty"),
        (gzip.compress(b""), "it is empty"),
    ],
    # The bytes contain the time, and xdist needs equal names on every worker.
    ids=["cut", "wrong digest", "no stream", "no gzip", "no byte", "no text"],
)
def test_a_damaged_gzip_file_is_refused(data: bytes, reason: str, tmp_path: Path) -> None:
    (path := tmp_path / "a.csv.gz").write_bytes(data)
    text = rf"^a\.csv\.gz cannot be read: {reason}.*; write the file again as parquet, csv or feath"
    with pytest.raises(InputError, match=text):
        load(path)


def _zip(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_zip(tmp_path: Path) -> None:
    members = {"folder/": b"", "folder/a.csv": TEXT, "__MACOSX/._a.csv": b"x"}
    assert load(_zip(tmp_path / "a.csv.zip", **members)).frame["close"].tolist() == [2]


@pytest.mark.parametrize(
    ("members", "got"),
    [
        ({}, "got 0: none"),
        ({"a.csv": TEXT, "b.csv": TEXT}, r"got 2: a\.csv, b\.csv"),
        ({f"{n}.csv": TEXT for n in range(9)}, r"got 9: 0\.csv, 1\.csv, .*4\.csv, \.\.\."),
    ],
    ids=["none", "two", "nine"],
)
def test_a_zip_file_has_one_member(members: dict[str, bytes], got: str, tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.csv.zip", **members)
    with pytest.raises(InputError, match=rf"^a\.csv\.zip must contain one csv file, {got}; write"):
        load(path)


@pytest.mark.parametrize("data", [TEXT, b"PK\x03\x04 no archive"])
def test_a_damaged_zip_file_is_refused(data: bytes, tmp_path: Path) -> None:
    (path := tmp_path / "a.csv.zip").write_bytes(data)
    with pytest.raises(
        InputError, match=r"^a\.csv\.zip cannot be read: File is not a zip file; wr"
    ):
        load(path)


def test_an_encrypted_zip_file_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.csv.zip", **{"a.csv": TEXT})
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1  # The flag of an encrypted member.
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"cannot be read: File 'a\.csv' is encrypted, password"):
        load(path)


def test_a_field_without_end_is_refused(tmp_path: Path) -> None:
    (path := tmp_path / "a.csv").write_bytes(TEXT + b'2024-01-31,"' + b"x" * 200_000)
    with pytest.raises(InputError, match=r"^a\.csv cannot be read: field larger than field limit"):
        load(path)


@pytest.mark.parametrize(
    ("frame", "first"),
    [
        (FRAME, "timestamp"),
        (FRAME.rename_axis("Date"), "Date"),
        (FRAME.set_axis(["2024-01-30", "2024-01-31"]), "index"),
        (FRAME.reset_index(names="date"), "date"),
        (FRAME.reset_index(names="date").set_axis([7, 9]), "date"),
    ],
)
def test_the_index_of_parquet_is_a_column_if_it_has_the_times(
    frame: pd.DataFrame, first: str, tmp_path: Path
) -> None:
    frame.to_parquet(path := tmp_path / "a.PARQUET")
    table = load(path)
    assert table.loaded[:2] == (first, "open")
    assert table.frame.index.tolist() == [0, 1]
    assert str(table.frame[first].iloc[1])[:10] == "2024-01-31"


def test_an_index_of_symbols_and_times_becomes_columns(tmp_path: Path) -> None:
    frame = FRAME.reset_index(names="date").assign(symbol=["A", "B"])
    frame.set_index(["symbol", "date"]).to_parquet(path := tmp_path / "a.parquet")
    assert load(path).loaded[:3] == ("symbol", "date", "open")
    frame.set_index(["symbol", "date"], drop=False).to_parquet(path)
    assert sorted(load(path).loaded) == sorted(frame.columns)


def test_pairs_of_price_and_symbol_in_parquet(tmp_path: Path) -> None:
    pairs = FRAME.rename_axis("Date")
    pairs.columns = pd.MultiIndex.from_product([pairs.columns, ["ABC"]], names=["Price", "Ticker"])
    pairs.to_parquet(path := tmp_path / "a.parquet")
    table = load(path)
    assert table.loaded == ("Date", "open", "high", "low", "close", "volume")
    assert table.notes == ("left out the symbol ABC beside each name",)


def test_two_columns_of_one_name_in_parquet_are_refused(tmp_path: Path) -> None:
    table = pa.table([pa.array([1.0])] * 3, names=["close", "open", "close"])
    pq.write_table(table, path := tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"^a\.parquet: several columns are named close; rename"):
        load(path)


@pytest.mark.parametrize(
    ("old", "new"), [(b'"float64"', b'"ftoat64"'), (b'["__index_level_0__"]', b"[[]]")]
)
def test_parquet_with_damaged_metadata_is_refused(old: bytes, new: bytes, tmp_path: Path) -> None:
    table = pa.Table.from_pandas(FRAME)
    damaged = table.schema.metadata[b"pandas"].replace(old, new)
    assert damaged != table.schema.metadata[b"pandas"]
    path = tmp_path / "a.parquet"
    pq.write_table(table.replace_schema_metadata({b"pandas": damaged}), path)
    with pytest.raises(InputError, match=r"^a\.parquet cannot be read: .*; write the file again"):
        load(path)


def test_epoch_times_in_equal_steps_are_an_index_of_times(tmp_path: Path) -> None:
    times = pd.RangeIndex(1_706_486_400_000, 1_706_486_400_000 + 2 * 3_600_000, 3_600_000)
    FRAME.set_axis(times.rename("time")).to_parquet(tmp_path / "a.parquet")
    assert load(tmp_path / "a.parquet").frame["time"].tolist() == times.tolist()
