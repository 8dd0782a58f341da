"""What a file of bars is understood to be: columns, times, calendar, gaps, jumps, or its error."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.bar_checks import describe_jumps, describe_length, utc_nanoseconds
from features.bars import Bars, validate_bars
from features.errors import InputError
from features.interval import Interval
from features.reader_files import SUFFIXES
from features.readers import read_table
from features.sources import SampleSource, bar_files, bar_stem, is_file, is_folder

#: Endings of files of bars, in any case.
ENDINGS = SUFFIXES
#: The name of a file of bars without its ending: symbol and interval.
_STEM = re.compile(r"(.+)_([1-9][0-9]{0,3}[mhdw])")


@dataclass(frozen=True)
class Inspection:
    """What one file was understood to be.

    Attributes
    ----------
    file, symbol, interval : str
        Name of the file, and what its name or its times say it contains.
    error : str or None
        Why the file is refused; the fields below are then empty as far as they are not known.
    understood : str
        How columns and times were read, as a sentence for users.
    rows : int
        Rows of the file.
    bars : int
        Bars that can be used.
    first, last : str
        Times of the first and the last bar, ISO 8601 in UTC.
    sessions : tuple of str
        Dates of the first and the last session of daily bars; empty for others. A bar of midnight
        in Tokyo has the date of Tokyo.
    calendar : str
        Calendar with its hours.
    bars_per_year : float
        By the sessions in the span of the bars.
    gaps : dict of str to int
        As `features.bars.Bars.count_gaps` returns them.
    jumps : tuple of str
        Moves that look like unadjusted splits, with their dates; training refuses them unless they
        are allowed.
    notes : tuple of str
        What was inferred, left out or accepted.
    """

    file: str
    symbol: str
    interval: str
    error: str | None = None
    understood: str = ""
    rows: int = 0
    bars: int = 0
    first: str = ""
    last: str = ""
    sessions: tuple[str, ...] = ()
    calendar: str = ""
    bars_per_year: float = 0.0
    gaps: dict[str, int] = field(default_factory=dict)
    jumps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        return {**vars(self)}


def inspect_path(path: Path, *, interval: str = "", calendar: str = "auto") -> list[Inspection]:
    """Inspect a file of bars, or every one in a folder.

    Parameters
    ----------
    path : pathlib.Path
        A file of any name, a folder, or ``sample`` for the sample bars.
    interval : str, default ""
        Bar length; by default that in the name of the file, or the most frequent step.
    calendar : str, default "auto"
        As for `features.bars.validate_bars`.

    Raises
    ------
    InputError
        If the path does not exist, or a folder has no file of bars.
    """
    if str(path) == "sample" and not path.exists():
        return [
            _inspect(SampleSource.file(symbol, length)[0], length, calendar, symbol)
            for symbol, length in SampleSource.names()
        ]
    if is_folder(path):
        files = bar_files(path)
        if not files:
            raise InputError(
                f"{str(path)!r} has no file of bars; give a file, or a folder with "
                "{symbol}_{interval}.parquet|csv|csv.gz|csv.zip|feather files"
            )
    elif is_file(path):
        files = [path]
    else:
        raise InputError(f"there is no file or folder {str(path)!r}; give one that exists")
    return [_inspect(file, interval, calendar) for file in files]


def _inspect(path: Path, interval: str, calendar: str, symbol: str = "") -> Inspection:
    stem, named = _name_parts(path)
    symbol = symbol or stem
    known: dict[str, Any] = {"interval": interval or named}
    try:
        frame, known["understood"] = read_table(path)
        known["rows"] = len(frame)
        known["interval"] = known["interval"] or _step_of(frame, symbol)
        bars = validate_bars(
            frame,
            symbol=symbol,
            interval=Interval.parse(known["interval"]),
            calendar=calendar,
            allow_jumps=True,
            now=pd.Timestamp.now("UTC"),
        )
    except InputError as error:
        return Inspection(path.name, symbol, error=str(error), **known)
    return Inspection(path.name, symbol, **known, **_facts(bars))


def _name_parts(path: Path) -> tuple[str, str]:
    """Return symbol and interval that the name of a file states; the interval may be empty."""
    stem = bar_stem(path)
    match = _STEM.fullmatch(stem)
    return (match[1], match[2]) if match else (stem, "")


def _step_of(frame: pd.DataFrame, symbol: str) -> str:
    """Return the most frequent step between bars as an interval."""
    step = np.diff(utc_nanoseconds(frame["timestamp"], symbol))
    if not len(step):
        raise InputError(f"the interval of {symbol} is not known from one bar; give --interval")
    values, counts = np.unique(np.abs(step), return_counts=True)
    ns = int(values[np.argmax(counts)])
    for unit, size in (("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60)):
        count, rest = divmod(ns, size * 10**9)
        if count and not rest and count < 10_000:
            return f"{count}{unit}"
    raise InputError(
        f"bars of {symbol} mostly come {describe_length(ns)} after each other, which is no "
        "interval of whole minutes; give --interval"
    )


def _facts(bars: Bars) -> dict[str, Any]:
    """Return the facts of usable bars, as `Inspection` has them."""
    first, last = bars.timestamps[[0, -1]]
    dates = [str(date) for date in bars.dates()[[0, -1]]] if bars.schedule.daily else []
    return {
        "bars": len(bars),
        "first": first.isoformat(),
        "last": last.isoformat(),
        "sessions": tuple(dates),
        "calendar": bars.calendar,
        "bars_per_year": round(bars.periods_per_year, 2),
        "gaps": bars.count_gaps(),
        "jumps": tuple(describe_jumps(bars.time_ns, bars.open, bars.close)),
        "notes": bars.notes,
    }
