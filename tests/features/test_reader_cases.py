"""Made-up files of many kinds: each is read with the right bars, or refused with cause and cure."""

from __future__ import annotations

import gzip
import io
import zipfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather

from features.errors import InputError
from features.readers import read_table

ROWS = 12
NAMES = ["open", "high", "low", "close", "volume"]
OFFSETS = "write UTC, or the offset of each time: 2024-05-31T10:00:00-04:00"
DAYS = pd.bdate_range("2024-01-22", periods=ROWS)
HOURS = pd.date_range("2024-01-29 20:25", periods=ROWS, freq="h")


def _bars() -> pd.DataFrame:
    """Return prices of two decimals; each bar opens at the close of the one before it."""
    rng = np.random.default_rng(11)
    close = (100 + np.cumsum(rng.integers(-200, 201, ROWS)) / 100).round(2)
    open_ = np.r_[100.0, close[:-1]]
    high = (np.maximum(open_, close) + rng.integers(1, 90, ROWS) / 100).round(2)
    low = (np.minimum(open_, close) - rng.integers(1, 90, ROWS) / 100).round(2)
    volume = rng.integers(1_000, 9_000, ROWS)
    return pd.DataFrame(dict(zip(NAMES, (open_, high, low, close, volume), strict=True)))


BARS = _bars()


def _csv(
    times: object = None,
    bars: pd.DataFrame = BARS,
    *,
    names: str | None = "time,open,high,low,close,volume",
    separator: str = ",",
) -> str:
    """Return a csv file of bars, daily by default, under a line of names or without one."""
    frame = bars.copy()
    frame.insert(0, "time", DAYS.strftime("%Y-%m-%d") if times is None else times)
    text = frame.to_csv(index=False, header=False, sep=separator, lineterminator="\n")
    return text if names is None else f"{names.replace(',', separator)}\n{text}"


def _parquet(frame: pd.DataFrame) -> bytes:
    frame.to_parquet(buffer := io.BytesIO())
    return buffer.getvalue()


def _feather(table: pa.Table) -> bytes:
    feather.write_feather(table, buffer := io.BytesIO())
    return buffer.getvalue()


def _dated(bars: pd.DataFrame = BARS) -> pd.DataFrame:
    return bars.set_axis(DAYS)


def _pairs(order: int = 1, symbols: tuple[str, ...] = ("ABC",)) -> pd.DataFrame:
    """Return daily bars as yfinance has them: columns are pairs of price and symbol."""
    frames = {}
    for symbol in symbols:
        for name in ("close", "high", "low", "open", "volume"):
            frames[(name.title(), symbol)[::order]] = BARS[name].to_numpy()
    levels = ["Price", "Ticker"][::order]
    frame = pd.DataFrame(frames, index=DAYS.rename("Date"))
    return frame.set_axis(pd.MultiIndex.from_tuples(frame.columns, names=levels), axis=1)


def _zip(**members: str) -> bytes:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def _klines(*, close_time: bool = True) -> str:
    ms = HOURS.astype("datetime64[ms]").astype("int64")
    others = {"close_time": ms + 3_599_999, "quote": 1.5, "count": 7, "tb": 1, "tq": 2, "ignore": 0}
    return _csv(ms, BARS.assign(**(others if close_time else {})), names=None)


NAIVE = "without zone, read as UTC"
OFFSET = "with offset, converted to UTC"
STANDARD = "timestamp, open, high, low, close, volume"

#: Name -> ending, content, times, and the sentence after "N rows, times ".
READ: dict[str, tuple[str, str | bytes, pd.DatetimeIndex, str]] = {
    "an index without a name": (
        "csv",
        _dated().to_csv(),
        DAYS,
        f"ISO 8601 {NAIVE}; read the first column, which has no name, as timestamp",
    ),
    "a first column that pandas named": (
        "csv",
        _csv(names="Unnamed: 0,Open,High,Low,Close,Volume"),
        DAYS,
        f"ISO 8601 {NAIVE}; read the first column, which has no name, as timestamp",
    ),
    "the rows counted in a first column": (
        "csv",
        _dated().reset_index(names="timestamp").to_csv(),
        DAYS,
        f"ISO 8601 {NAIVE}; ignored Unnamed: 0",
    ),
    "yfinance, three lines of names": (
        "csv",
        _pairs().to_csv(),
        DAYS,
        f"ISO 8601 {NAIVE}; read Date as timestamp; left out the symbol ABC beside each name",
    ),
    "yfinance by ticker": (
        "csv",
        _pairs(-1).to_csv(),
        DAYS,
        f"ISO 8601 {NAIVE}; read Date as timestamp; left out the symbol ABC beside each name",
    ),
    "yfinance in parquet": (
        "parquet",
        _parquet(_pairs()),
        DAYS,
        f"{NAIVE}; read Date as timestamp; left out the symbol ABC beside each name",
    ),
    "yfinance in parquet, names as text": (
        "parquet",
        _parquet(_pairs().set_axis([str(pair) for pair in _pairs().columns], axis=1)),
        DAYS,
        f"{NAIVE}; read Date as timestamp; left out the symbol ABC beside each name",
    ),
    "yfinance with adjusted closes": (
        "csv",
        _dated(BARS.assign(**{"adj Close": BARS["close"] / 2})).rename_axis("Date").to_csv(),
        DAYS,
        f"ISO 8601 {NAIVE}; read Date as timestamp; ignored adj Close",
    ),
    "gzip": ("csv.gz", gzip.compress(_csv().encode()), DAYS, f"ISO 8601 {NAIVE}; read time as ti"),
    "zip": ("csv.zip", _zip(**{"a.csv": _csv()}), DAYS, f"ISO 8601 {NAIVE}; read time as timest"),
    "ending in capitals": ("CSV", _csv(), DAYS, f"ISO 8601 {NAIVE}; read time as timestamp"),
    "no names": (
        "csv",
        _csv(names=None),
        DAYS,
        f"ISO 8601 {NAIVE}; no names in the file, read in the order {STANDARD}",
    ),
    "no names, date and time apart": (
        "csv",
        _csv(HOURS.strftime("%Y.%m.%d,%H:%M"), names=None).replace('"', ""),
        HOURS,
        f"from date and time, ISO 8601 {NAIVE}; no names in the file, read in the order date, time",
    ),
    "klines of Binance": (
        "csv",
        _klines(),
        HOURS,
        "epoch ms; read open_time as timestamp; ignored close_time, quote_volume, count, "
        "taker_buy_volume, taker_buy_quote_volume, ignore; no names in the file, read in the order",
    ),
    "separators at the ends of rows": (
        "csv",
        _csv().replace("\n", ",\n").replace("volume,", "volume", 1),
        DAYS,
        f"ISO 8601 {NAIVE}; read time as timestamp; left out empty fields at the ends of rows",
    ),
    "one symbol in a column": (
        "csv",
        _csv(bars=BARS.assign(symbol="ABC"), names="time,open,high,low,close,volume,symbol"),
        DAYS,
        f"ISO 8601 {NAIVE}; read time as timestamp; ignored symbol",
    ),
    "newest first": (
        "csv",
        _csv(DAYS[::-1].strftime("%Y-%m-%d"), BARS[::-1]),
        DAYS,
        f"ISO 8601 {NAIVE}; read time as timestamp; newest first in the file, reversed",
    ),
    "newest first, day first": (
        "csv",
        _csv(DAYS[::-1].strftime("%d/%m/%Y"), BARS[::-1]),
        DAYS,
        f"day-first (06/02/2024), {NAIVE}; read time as timestamp; newest first in the file, rev",
    ),
    "comments at the top": (
        "csv",
        f'# made up, with 5" quotes\n#\n{_csv()}',
        DAYS,
        f"ISO 8601 {NAIVE}; read time as timestamp; left out 2 comment lines at the top",
    ),
    "offsets of two digits": (
        "csv",
        _csv(HOURS.strftime("%Y-%m-%d %H:%M:%S+01")),
        HOURS - pd.Timedelta("1h"),
        f"ISO 8601 {OFFSET}; read time as timestamp",
    ),
    "offsets without a colon": (
        "csv",
        _csv(HOURS.strftime("%Y-%m-%d %H:%M:%S-0500")),
        HOURS + pd.Timedelta("5h"),
        f"ISO 8601 {OFFSET}; read time as timestamp",
    ),
    "offsets that differ": (
        "csv",
        _csv(
            [f"{time:%Y-%m-%dT%H:%M}+01:00" for time in HOURS[:6]]
            + [f"{time + pd.Timedelta('1h'):%Y-%m-%dT%H:%M}+02:00" for time in HOURS[6:]]
        ),
        HOURS - pd.Timedelta("1h"),
        f"ISO 8601 {OFFSET}; read time as timestamp",
    ),
    "UTC in words": (
        "csv",
        _csv(HOURS.strftime("%Y-%m-%d %H:%M:%S UTC")),
        HOURS,
        f"ISO 8601 {OFFSET}; read time as timestamp",
    ),
    "names of months": (
        "csv",
        _csv(HOURS.strftime("%d-%b-%Y %H:%M")),
        HOURS,
        f"with the name of the month (29-Jan-2024 20:25), {NAIVE}; read time as timestamp",
    ),
    "names of months and weekdays": (
        "csv",
        _csv(HOURS.strftime("%a, %d %b %Y %H:%M:%S GMT")),
        HOURS,
        f"with the name of the month (Mon, 29 Jan 2024 20:25:00 GMT), {OFFSET}; read time as time",
    ),
    "month, day, year": (
        "csv",
        _csv(DAYS.strftime("%b %d, %Y")),
        DAYS,
        f"with the name of the month (Jan 22, 2024), {NAIVE}; read time as timestamp",
    ),
    "dates of eight digits": (
        "csv",
        _csv(DAYS.strftime("%Y%m%d")),
        DAYS,
        f"dates of 8 digits (20240122), {NAIVE}; read time as timestamp",
    ),
    "date and time of day as digits": (
        "csv",
        _csv(HOURS.strftime("%Y%m%d;%H%M%S"), separator=";", names="<DATE>,<TIME>,o,h,l,c,<VOL>")
        .replace('"', ""),
        HOURS,
        f"from <DATE> and <TIME>, ISO 8601 {NAIVE}; read o as open",
    ),
    "date and hour": (
        "csv",
        _csv(HOURS.strftime("%Y-%m-%d;") + HOURS.hour.astype(str), separator=";",
             names="Date,Hour,Open,High,Low,Close,Volume").replace('"', ""),
        HOURS - pd.Timedelta("25min"),
        f"from Date and Hour, ISO 8601 {NAIVE}",
    ),
    "date and hour with a decimal": (
        "csv",
        _csv(HOURS.strftime("%Y-%m-%d;") + HOURS.hour.astype(str) + ".0", separator=";",
             names="Date,Hour,Open,High,Low,Close,Volume").replace('"', ""),
        HOURS - pd.Timedelta("25min"),
        f"from Date and Hour, ISO 8601 {NAIVE}",
    ),
    "times of day without a leading zero": (
        "csv",
        _csv(HOURS.strftime("%Y-%m-%d;") + HOURS.strftime("%H%M").str.lstrip("0"),
             separator=";", names="Date,Time,Open,High,Low,Close,Volume").replace('"', ""),
        HOURS,
        f"from Date and Time, ISO 8601 {NAIVE}",
    ),
    "two spaces before the time of day": (
        "csv",
        _csv(HOURS.strftime("%Y%m%d  %H:%M:%S")),
        HOURS,
        f"ISO 8601 {NAIVE}; read time as timestamp",
    ),
    "twelve hours and UTC": (
        "csv",
        _csv(HOURS.strftime("%m/%d/%Y %I:%M:%S %p UTC")),
        HOURS,
        f"month-first (01/29/2024 08:25:00 PM UTC), {NAIVE}; read time as timestamp",
    ),
    "epoch numbers as text": (
        "parquet",
        _parquet(_dated().set_axis(DAYS.astype("datetime64[s]").astype("int64").astype(str))),
        DAYS,
        "epoch s; read index as timestamp",
    ),
    "a mark of UTF-8": ("csv", _csv().encode("utf-8-sig"), DAYS, f"ISO 8601 {NAIVE}; read time as"),
    "UTF-16 with tabs": (
        "csv",
        _csv(separator="\t").encode("utf-16"),
        DAYS,
        f"ISO 8601 {NAIVE}; read time as timestamp; text in UTF-16",
    ),
    "Windows-1252": (
        "csv",
        _csv(bars=BARS.assign(w="€"), names="time,open,high,low,close,volume,Währung")
        .encode("cp1252"),
        DAYS,
        f"ISO 8601 {NAIVE}; read time as timestamp; ignored Währung; text in Windows-1252",
    ),
    "numbers as text, decimals and float32": (
        "parquet",
        _parquet(
            _dated().assign(
                open=BARS["open"].astype(str).to_numpy(),
                high=[Decimal(str(value)) for value in BARS["high"]],
                low=pd.Categorical(BARS["low"].astype(str)),
                volume=BARS["volume"].astype("Int64").to_numpy(),
            )
        ),
        DAYS,
        NAIVE,
    ),
    "dates without a time": (
        "parquet",
        _parquet(BARS.assign(date=DAYS.date)),
        DAYS,
        f"ISO 8601 {NAIVE}; read date as timestamp",
    ),
    "a zone in the index": (
        "parquet",
        _parquet(_dated().tz_localize("Asia/Tokyo")),
        DAYS - pd.Timedelta("9h"),
        "Asia/Tokyo converted to UTC",
    ),
    "feather": (
        "FEATHER",
        _feather(pa.Table.from_pandas(_dated().reset_index(names="date"))),
        DAYS,
        f"{NAIVE}; read date as timestamp",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_files_that_are_read(name: str, tmp_path: Path) -> None:
    ending, content, times, sentence = READ[name]
    data = content.encode() if isinstance(content, str) else content
    (path := tmp_path / f"ABC_1d.{ending}").write_bytes(data)
    frame, understood = read_table(path)
    assert frame["timestamp"].tolist() == times.tz_localize("UTC").tolist()
    assert frame.index.tolist() == list(range(ROWS))
    for column in NAMES:
        assert frame[column].tolist() == BARS[column].tolist(), column
    assert understood.startswith(f"ABC_1d.{ending}: {ROWS} rows, times {sentence}")


def _changed(line: int, old: str, new: str, text: str | None = None) -> str:
    """Return a csv file with one line changed; `old` must occur in it."""
    lines = (text or _csv()).split("\n")
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new)
    return "\n".join(lines)


def _close(line: int, value: str) -> str:
    """Return a csv file with another close in one line."""
    return _changed(line, f",{BARS['close'][line - 2]},", f",{value},")


def _two(column: str, values: tuple[str, str]) -> str:
    """Return the bars of two series in one file, by time."""
    both = [_dated().assign(**{column: value}) for value in values]
    return pd.concat(both).rename_axis("date").sort_index(kind="stable").to_csv()


ISO = "write ISO 8601 (2024-05-31T14:00:00Z)"
REPAIR = f"{ISO} or epoch seconds or milliseconds, or remove it"
ONE_UNIT = f"write all times in one unit of epoch, or {ISO.removeprefix('write ')}"
SECONDS = (HOURS.astype("datetime64[s]").astype("int64")).tolist()
PLAIN = "write plain numbers such as 1234.5"
AGAIN = "write the file again as parquet, csv or feather"
BEGIN = "begin the file with a line that names them"

ROW_2 = _csv().split("\n")[1]
ROW_5 = _csv().split("\n")[4].replace("2024-01-25,", "2024-01-25,,")
NARROWER = "remove the additional fields, or write numbers without separators inside"

#: Name -> ending, content, the error after the name of the file.
REFUSED: dict[str, tuple[str, str | bytes, str]] = {
    "yfinance, two tickers": (
        "csv",
        _pairs(symbols=("ABC", "DEF")).to_csv(),
        ": several symbols: ABC, DEF; write one file for each symbol",
    ),
    "yfinance in parquet, two tickers": (
        "parquet",
        _parquet(_pairs(symbols=("ABC", "DEF"))),
        ": several symbols: ABC, DEF; write one file for each symbol",
    ),
    "two symbols in a column": (
        "csv",
        _two("Ticker", ("AAA", "BBB")),
        ": several symbols in column 'Ticker': AAA, BBB; write one file for each symbol",
    ),
    "two intervals in a column": (
        "csv",
        _two("timeframe", ("1h", "4h")),
        ": several series, which column 'timeframe' tells apart: 1h, 4h; write one file for each",
    ),
    "a broken gzip file": (
        "csv.gz",
        gzip.compress(_csv().encode())[:-20],
        " cannot be read: Compressed file ended before the end-of-stream marker was reached; "
        + AGAIN,
    ),
    "a broken zip file": (
        "csv.zip",
        _zip(**{"a.csv": _csv()})[:-30],
        f" cannot be read: File is not a zip file; {AGAIN}",
    ),
    "two files in a zip file": (
        "csv.zip",
        _zip(**{"a.csv": _csv(), "b.csv": _csv()}),
        " must contain one csv file, got 2: a.csv, b.csv; write one file for each symbol",
    ),
    "a gzip file that is named csv": (
        "csv",
        gzip.compress(_csv().encode()),
        " cannot be read: it is no text in UTF-8, UTF-16 with a byte order mark or Windows-1252 (a "
        f"compressed file must end with .csv.gz or .csv.zip); {AGAIN}",
    ),
    "no names, another order": (
        "csv",
        _csv(bars=BARS[["open", "close", "high", "low", "volume"]], names=None),
        f", line 1: high < max(open, close) or low > min(open, close) if the columns, which have "
        f"no names, are {STANDARD}; {BEGIN}",
    ),
    "no names, open and close exchanged": (
        "csv",
        _csv(bars=BARS[["close", "high", "low", "open", "volume"]], names=None),
        ": no bar opens near the close of the bar before it if the columns, which have no names, "
        f"are {STANDARD}; {BEGIN}",
    ),
    "no names, five columns": (
        "csv",
        _csv(bars=BARS[["open", "high", "low", "close"]], names=None),
        f", line 1 has no names of columns: '2024-01-22,{','.join(map(str, BARS.iloc[0, :4]))}'; "
        f"begin the file with the line {STANDARD.replace(', ', ',')}, in the order of the columns",
    ),
    "rows wider than the names": (
        "csv",
        _csv(bars=BARS.assign(more=7)),
        f", line 2 has 7 fields, the file has 6 columns: '{ROW_2},7'; {NARROWER}",
    ),
    "one row wider than the names": (
        "csv",
        _changed(5, "2024-01-25,", "2024-01-25,,"),
        f", line 5 has 7 fields, the file has 6 columns: '{ROW_5}'; {NARROWER}",
    ),
    "a line before the names": (
        "csv",
        f"https://www.example.com\n{_csv()}",
        ", line 2 has 6 fields, but line 1, read as the names of the columns, has 1; remove the "
        "lines before the names",
    ),
    "a last line cut off": (
        "csv",
        f"{_csv()}2024-02-07,100.1,100",
        ", line 14 has 3 fields, the file has 6 columns: '2024-02-07,100.1,100'; remove or repair "
        "the line",
    ),
    "a count of rows at the end": (
        "csv",
        f"{_csv()}\nTotal rows: 12\n",
        ", line 15 has 1 field, the file has 6 columns: 'Total rows: 12'; remove or repair the "
        "line",
    ),
    "a sum at the end": (
        "csv",
        f"{_csv()}Total,,,,,7\n",
        f", line 14: the time 'Total' is not understood; {REPAIR}",
    ),
    "names again in the middle": (
        "csv",
        _csv() + _csv(),
        ", line 14: the time 'time' repeats the name of the column; remove it",
    ),
    "names again among epoch numbers": (
        "csv",
        _csv(SECONDS) + _csv(SECONDS),
        ", line 14: the time 'time' repeats the name of the column; remove it",
    ),
    "a date that is nan": (
        "csv",
        _changed(7, "2024-01-29", "nan"),
        ", line 7: the time 'nan' is missing; remove or repair it",
    ),
    "an empty row": (
        "csv",
        f"{_csv()},,,,,\n",
        ", line 14: the time '' is missing; remove or repair it",
    ),
    "a text in a column of numbers": (
        "csv",
        _close(6, "n.a."),
        ", line 6: `close` is 'n.a.', which is no number; remove or repair it",
    ),
    "a comma for thousands": (
        "csv",
        _close(13, '"1,234.50"'),
        f", line 13: `close` is '1,234.50', which has a comma; {PLAIN}",
    ),
    "a point for thousands": (
        "csv",
        _close(4, '"1.234,50"'),
        f", line 4: `close` is '1.234,50', which has a comma; {PLAIN}",
    ),
    "decimal commas": (
        "csv",
        _csv(separator=";").replace(".", ","),
        f", line 2: `open` is '100,0', which has a comma; {PLAIN}",
    ),
    "a sign of a currency": (
        "csv",
        _close(3, "$1.23"),
        f", line 3: `close` is '$1.23', which has a sign of a currency; {PLAIN}",
    ),
    "volumes with a unit": (
        "csv",
        _csv(bars=BARS.assign(volume=[f"{volume / 1000}K" for volume in BARS["volume"]])),
        f", line 2: `volume` is '{BARS['volume'][0] / 1000}K', which has a unit such as K or M; "
        + PLAIN,
    ),
    "spaces for thousands": (
        "csv",
        _close(3, "1 234"),
        f", line 3: `close` is '1 234', which has a space or a sign between digits; {PLAIN}",
    ),
    "percent": (
        "csv",
        _close(3, "12%"),
        f", line 3: `close` is '12%', which has a percent sign; {PLAIN}",
    ),
    "a comma in parquet": (
        "parquet",
        _parquet(_dated().assign(close=["1,5"] * ROWS)),
        f", row 0: `close` is '1,5', which has a comma; {PLAIN}",
    ),
    "epoch units that change": (
        "csv",
        _csv(SECONDS[:8] + [second * 1_000 for second in SECONDS[8:]]),
        f", line 10: the time {SECONDS[8]}000 is epoch ms, and the first one, {SECONDS[0]}, is "
        f"epoch s; {ONE_UNIT}",
    ),
    "epoch numbers of more digits than nanoseconds": (
        "csv",
        _csv([f"{second}000000000000" for second in SECONDS]),
        f", line 2: the time {SECONDS[0]}000000000000 has too many digits for epoch nanoseconds; "
        + ONE_UNIT,
    ),
    "negative epoch numbers": (
        "csv",
        _csv([-second for second in SECONDS]),
        f", line 2: the time -{SECONDS[0]} is negative: the unit of epoch numbers is known only "
        f"after 1973; {ONE_UNIT}",
    ),
    "dates of a spreadsheet": (
        "csv",
        _csv([45292.0 + row for row in range(ROWS)]),
        ", line 2: the time 45292.0 looks like the date of a spreadsheet, which counts days; "
        + ONE_UNIT,
    ),
    "an offset in some rows": (
        "csv",
        _changed(4, "2024-01-24", "2024-01-24T00:00+01:00"),
        ", line 4: the time '2024-01-24T00:00+01:00' has an offset, and the first one, "
        "'2024-01-22', has none; write all times with their offset",
    ),
    "years of two digits": (
        "csv",
        _csv(DAYS.strftime("%d-%b-%y")),
        f", line 2: the time '22-Jan-24' has a year of two digits; {ISO}",
    ),
    "a time of day only": (
        "csv",
        _csv(HOURS.strftime("%H:%M")),
        ", line 2: the time '20:25' is a time of day only; add the date",
    ),
    "a name of a zone": (
        "csv",
        _csv(HOURS.strftime("%Y-%m-%d %H:%M EST")),
        ", line 2: the time '2024-01-29 20:25 EST' ends with the name of a zone; " + OFFSETS,
    ),
    "a zone of a place": (
        "csv",
        _csv(HOURS.strftime("%Y%m%d %H:%M:%S US/Eastern")),
        ", line 2: the time '20240129 20:25:00 US/Eastern' ends with the name of a zone; "
        + OFFSETS,
    ),
    "hours from 1 to 24": (
        "csv",
        _csv(
            HOURS.strftime("%Y-%m-%d;") + (HOURS.hour + 1).astype(str),
            separator=";",
            names="Date,Hour,Open,High,Low,Close,Volume",
        ).replace('"', ""),
        ", line 5: Hour must be a full hour from 0 to 23, at which the bar opens, got 24; write "
        "such hours, or one column of ISO 8601 times",
    ),
    "UTF-16 without a mark": (
        "csv",
        _csv().encode("utf-16-le"),
        " cannot be read: it is no text in UTF-8, UTF-16 with a byte order mark or Windows-1252 (a "
        f"compressed file must end with .csv.gz or .csv.zip); {AGAIN}",
    ),
    "times that count the rows": (
        "csv",
        BARS.to_csv(),
        ": no column for timestamp, got Unnamed: 0, open, high, low, close, volume; rename them to "
        + STANDARD,
    ),
    "two columns of one name": (
        "feather",
        _feather(pa.table([[1.5], [1.5], [1.5]], names=["date", "close", "close"])),
        ": both 'close' and 'close' look like the close; rename or remove one of them",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_are_refused(name: str, tmp_path: Path) -> None:
    ending, content, error = REFUSED[name]
    data = content.encode() if isinstance(content, str) else content
    (path := tmp_path / f"ABC_1d.{ending}").write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_table(path)
    assert str(caught.value) == f"ABC_1d.{ending}{error}"


@pytest.mark.parametrize("shuffle", [True, False])
def test_rows_out_of_order_and_repeated_rows_stay(shuffle: bool, tmp_path: Path) -> None:
    # The bars are checked later; the reader must not hide what is wrong with them.
    order = [0, 2, 1] if shuffle else [0, 0, 1]
    (path := tmp_path / "a.csv").write_text(
        _csv(DAYS[order].strftime("%Y-%m-%d"), BARS.iloc[order])
    )
    frame, _ = read_table(path)
    assert frame["close"].tolist() == BARS["close"].iloc[order].tolist()


def test_an_hour_that_clocks_repeat_stays(tmp_path: Path) -> None:
    local = pd.date_range("2024-10-26 22:00", periods=ROWS, freq="h", tz="UTC")
    times = local.tz_convert("Europe/Berlin").strftime("%d.%m.%Y %H:%M")
    (path := tmp_path / "a.csv").write_text(_csv(times))
    frame, _ = read_table(path)
    assert frame["timestamp"].duplicated().sum() == 1
