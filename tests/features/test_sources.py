from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import features
from features.bars import validate_bars
from features.errors import InputError
from features.interval import Interval
from features.sources import (
    FolderSource,
    RawBars,
    SampleSource,
    bar_files,
    check_symbol,
    open_source,
    symbols_of,
)


@pytest.mark.parametrize("symbol", ["EURUSD", "BTC-USD", "BRK.B", "a", "7203.T", "X_1", "x" * 64])
def test_valid_symbols(symbol: str) -> None:
    assert check_symbol(symbol) == symbol


@pytest.mark.parametrize(
    "symbol",
    [
        *("../../x", "a/b", "a\\b", "..", ".hidden", "", " ", "a b", "a..b", "-x", "x" * 65),
        *("a\n", "a\x00", "/etc/passwd", "é", "*"),
    ],
)
@pytest.mark.parametrize("source", ["sample", "folder"])
def test_invalid_symbols(symbol: str, source: str, tmp_path: Path) -> None:
    opened = open_source("sample" if source == "sample" else str(tmp_path))
    with pytest.raises(InputError, match=r"`symbols` must be letters, digits, .* not a path$"):
        opened.read(symbol, "1h")


def test_a_symbol_cannot_leave_the_folder(
    tmp_path: Path, synthetic_frame: Callable[..., pd.DataFrame]
) -> None:
    synthetic_frame(5).to_parquet(tmp_path / "x_1h.parquet")
    (inner := tmp_path / "bars").mkdir()
    with pytest.raises(InputError, match="not a path"):
        FolderSource(inner).read("../x", "1h")


@pytest.mark.parametrize("suffix", ["parquet", "feather", "csv"])
def test_folder(suffix: str, tmp_path: Path, synthetic_frame: Callable[..., pd.DataFrame]) -> None:
    frame = synthetic_frame(50)
    path = tmp_path / f"SYNTH_1h.{suffix}"
    if suffix == "csv":
        frame.to_csv(path, index=False)
    else:
        getattr(frame, f"to_{suffix}")(path)
    raw = open_source(str(tmp_path)).read("SYNTH", "1h")
    pd.testing.assert_frame_equal(raw.frame, frame, check_dtype=False, rtol=1e-15)
    assert raw.understood.startswith(f"SYNTH_1h.{suffix}: 50 rows, times ")


@pytest.mark.parametrize("suffix", ["CSV", "csv.gz", "csv.zip", "Csv.GZ", "PARQUET", "Feather"])
def test_endings_in_any_case_and_compressed(
    suffix: str, tmp_path: Path, synthetic_frame: Callable[..., pd.DataFrame]
) -> None:
    frame = synthetic_frame(50)
    path = tmp_path / f"S.X_1h.{suffix}"
    if suffix.lower().startswith("csv"):
        compression = {"gz": "gzip", "zip": "zip"}.get(suffix.lower().rpartition(".")[2])
        frame.to_csv(path, index=False, compression=compression)
    else:
        getattr(frame, f"to_{suffix.lower()}")(path)
    raw = open_source(str(tmp_path)).read("S.X", "1h")
    pd.testing.assert_frame_equal(raw.frame, frame, check_dtype=False, rtol=1e-15)
    assert raw.understood.startswith(f"S.X_1h.{suffix}: 50 rows, times ")
    assert symbols_of(FolderSource(tmp_path), "1h") == ("S.X",)
    assert bar_files(tmp_path) == [path]
    with pytest.raises(InputError, match=r"there are bars of S\.X at 1h: give --interval 1h"):
        FolderSource(tmp_path).read("S.X", "4h")


@pytest.mark.parametrize(
    ("one", "other"), [("csv", "csv.gz"), ("csv", "CSV"), ("parquet", "csv.zip")]
)
def test_two_files_of_one_symbol_are_refused(one: str, other: str, tmp_path: Path) -> None:
    for suffix in (other, one):
        (tmp_path / f"A_1h.{suffix}").touch()
    text = rf"^A at 1h must be one file, got A_1h\.({one}|{other}), A_1h\.({one}|{other}); keep one"
    with pytest.raises(InputError, match=text):
        FolderSource(tmp_path).read("A", "1h")


def test_two_formats_of_one_symbol_are_refused(
    tmp_path: Path, synthetic_frame: Callable[..., pd.DataFrame]
) -> None:
    frame = synthetic_frame(5)
    frame.to_parquet(tmp_path / "SYNTH_1h.parquet")
    frame.to_csv(tmp_path / "SYNTH_1h.csv")
    text = r"SYNTH at 1h must be one file, got SYNTH_1h\.parquet, SYNTH_1h\.csv; keep one"
    with pytest.raises(InputError, match=text):
        FolderSource(tmp_path).read("SYNTH", "1h")


def test_the_error_for_an_unknown_symbol_lists_the_folder(
    tmp_path: Path, synthetic_frame: Callable[..., pd.DataFrame]
) -> None:
    with pytest.raises(
        InputError, match=r"no bars of SYNTH at 1h in .*; the folder contains no bars"
    ):
        FolderSource(tmp_path).read("SYNTH", "1h")
    for number in range(12):
        synthetic_frame(2).to_parquet(tmp_path / f"S{number:02}_1h.parquet")
    text = (
        r"\(looked for SYNTH_1h\.parquet\|\.csv\|\.feather\|\.csv\.gz\|\.csv\.zip\); "
        r"the folder contains S00_1h, .*S09_1h, \.\.\.;"
    )
    with pytest.raises(InputError, match=text):
        FolderSource(tmp_path).read("SYNTH", "1h")
    with pytest.raises(InputError, match=r"no bars of S00 at 4h"):
        FolderSource(tmp_path).read("S00", "4h")


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"`source` is not a folder: '.*nowhere'; give a folder"):
        FolderSource(tmp_path / "nowhere").read("SYNTH", "1h")
    for path in (str(tmp_path / "nowhere"), "x" * 5_000):
        with pytest.raises(InputError, match="`source` is not a folder"):
            open_source(path)


@pytest.mark.parametrize("text", ["", "sqlite:///x.db", "s3://bucket", "ccxt:binance"])
def test_sources_of_later_versions(text: str) -> None:
    with pytest.raises(InputError, match=r"`source` must be a folder or `sample`, got"):
        open_source(text)


@pytest.mark.parametrize(
    ("symbol", "interval", "rows", "first", "understood"),
    [
        ("EURUSD", "1h", 6_225, "2017-01-01 22:00", "day-first (01.01.2017 22:00:00.000)"),
        ("GOOGL", "1d", 2_335, "2009-05-22", "ISO 8601 without zone"),
    ],
)
def test_sample(symbol: str, interval: str, rows: int, first: str, understood: str) -> None:
    raw = SampleSource().read(symbol, interval)
    assert len(raw.frame) == rows
    assert raw.frame["timestamp"][0] == pd.Timestamp(first, tz="UTC")
    assert raw.frame["timestamp"].is_monotonic_increasing
    assert raw.understood.startswith("sample bars of gym-anytrading: ")
    assert understood in raw.understood


@pytest.mark.parametrize(("symbol", "interval"), [("BTCUSDT", "1h"), ("EURUSD", "1d")])
def test_the_error_for_an_unknown_sample_lists_the_samples(symbol: str, interval: str) -> None:
    text = (
        rf"the sample has no {symbol} at {interval}, only EURUSD at 1h, GOOGL at 1d, SP500 at 1d, N"
    )
    with pytest.raises(InputError, match=text):
        SampleSource().read(symbol, interval)


def test_sample_imports_no_reinforcement_learning() -> None:
    code = (
        "import sys; from features.sources import open_source; "
        "open_source('sample').read('GOOGL', '1d'); "
        "print([m for m in ('gymnasium', 'gym_anytrading', 'mlflow', 'torch') if m in sys.modules])"
    )
    root = Path(next(iter(features.__path__))).parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_symbols_of_a_folder_have_a_file_at_the_interval(tmp_path: Path) -> None:
    for name in ("B_1h.csv", "A_1h.parquet", "A_1h.csv", "A_X_1h.feather", "C_1d.csv", "D_1h.txt"):
        (tmp_path / name).touch()
    (tmp_path / "E_1h.csv").mkdir()
    (tmp_path / "_1h.csv").touch()
    (tmp_path / "F_11h.csv").touch()
    source = open_source(str(tmp_path))
    assert symbols_of(source, "1h") == ("A", "A_X", "B")
    assert symbols_of(source, "1d") == ("C",)
    (tmp_path / "notes_of_mine.csv").touch()
    with pytest.raises(
        InputError, match="has no bars at 5m; it has bars at 11h, 1d, 1h: give --in"
    ):
        symbols_of(source, "5m")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        InputError, match=r"^`source` has no bars at 5m; it contains no files \{sym"
    ):
        symbols_of(open_source(str(tmp_path / "empty")), "5m")


@pytest.mark.parametrize(("symbol", "close"), [("SP500", 2_506.85), ("NASDAQ", 6_635.28)])
def test_the_sample_has_twenty_years_of_two_indices(symbol: str, close: float) -> None:
    raw = SampleSource().read(symbol, "1d")
    assert raw.understood.startswith(f"sample bars of arch: {symbol.lower()}.csv.gz: 5,031 rows")
    bars = validate_bars(raw.frame, symbol=symbol, interval=Interval.parse("1d"))
    assert (bars.calendar, int(bars.missing.sum())) == ("XNYS", 0)
    assert (str(bars.timestamps[0].date()), str(bars.timestamps[-1].date())) == (
        "1999-01-04",
        "2018-12-31",
    )
    assert bars.close[-1] == pytest.approx(close, abs=0.01)


def test_symbols_of_the_sample() -> None:
    assert symbols_of(SampleSource(), "1h") == ("EURUSD",)
    assert symbols_of(SampleSource(), "1d") == ("GOOGL", "NASDAQ", "SP500")
    with pytest.raises(InputError, match="it has bars at 1d, 1h: give --interval 1d"):
        symbols_of(SampleSource(), "1w")


def test_symbols_of_a_source_that_cannot_list_them() -> None:
    class Other:
        def read(self, symbol: str, interval: str) -> RawBars:
            raise NotImplementedError

    with pytest.raises(
        InputError, match=r"`symbols` must be named: this source cannot list its symbols"
    ):
        symbols_of(Other(), "1h")


def test_bars_of_another_interval_are_named(tmp_path: Path) -> None:
    for name in ("BTC_1d.csv", "BTC_4h.parquet", "BTC_X_1h.csv", "ETH_1h.csv"):
        (tmp_path / name).write_text("")
    text = r"no bars of BTC at 1h in .*; there are bars of BTC at 1d, 4h: give --interval 1d$"
    with pytest.raises(InputError, match=text):
        open_source(str(tmp_path)).read("BTC", "1h")
