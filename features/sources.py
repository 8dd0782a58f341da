"""Sources of bars: a folder of files, or the sample bars of a PyPI package."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import pandas as pd

from features import synthetic
from features.errors import InputError
from features.interval import is_interval
from features.reader_files import SUFFIXES, suffix_of
from features.readers import read_table

_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

#: (symbol, interval) -> package and file of the sample bars. gym-anytrading 2.0.0 (MIT) has hourly
#: bars of a year and daily bars of a share, arch 8.0.0 (NCSA) daily bars of two indices.
_SAMPLES = {
    ("EURUSD", "1h"): ("gym_anytrading", "datasets/data/FOREX_EURUSD_1H_ASK.csv"),
    ("GOOGL", "1d"): ("gym_anytrading", "datasets/data/STOCKS_GOOGL.csv"),
    ("SP500", "1d"): ("arch", "data/sp500/sp500.csv.gz"),
    ("NASDAQ", "1d"): ("arch", "data/nasdaq/nasdaq.csv.gz"),
}
#: Package of sample bars -> its distribution.
_DISTRIBUTIONS = {"gym_anytrading": "gym-anytrading", "arch": "arch"}


@dataclass(frozen=True)
class RawBars:
    """Bars as they were read, not validated yet.

    Attributes
    ----------
    frame : pandas.DataFrame
        Columns timestamp, open, high, low, close, volume; rows in the order of the source.
    understood : str
        How the source was read (rows, times, renamed columns), as a sentence for users.
    """

    frame: pd.DataFrame
    understood: str


class BarSource(Protocol):
    """The interface of a source of bars."""

    def read(self, symbol: str, interval: str) -> RawBars:
        """Return the bars of `symbol`, oldest first; raise `InputError` if it has none."""
        ...


@dataclass(frozen=True)
class HeldBars:
    """A source that holds the bars of one symbol already."""

    raw: RawBars

    def read(self, symbol: str, interval: str) -> RawBars:
        """Return the bars, whatever the arguments are."""
        return self.raw


def check_symbol(symbol: str) -> str:
    """Return `symbol` if it is valid in file names and in names of registered models.

    Raises
    ------
    InputError
        If it is not 1 to 64 letters, digits, dots, dashes or underscores, does not start with a
        letter or digit, or contains two dots in a row.
    """
    if not _SYMBOL.fullmatch(symbol) or ".." in symbol:
        raise InputError(
            f"`symbols` must be letters, digits, '.', '-' or '_' (at most 64), got {symbol!r}; "
            "give the instrument's name, not a path"
        )
    return symbol


@dataclass(frozen=True)
class FolderSource:
    """A folder with one file per symbol and interval: `{symbol}_{interval}.parquet`.

    The endings `.csv`, `.csv.gz`, `.csv.zip` and `.feather` are read, too, in any case.
    """

    folder: Path

    def read(self, symbol: str, interval: str) -> RawBars:
        """Read the one file of `symbol` and `interval`.

        Raises
        ------
        InputError
            If the folder or the file does not exist, or the file exists in several formats.
        """
        check_symbol(symbol)
        self.check()
        stem = f"{symbol}_{interval}"
        paths = [path for path in bar_files(self.folder) if bar_stem(path) == stem]
        if not paths:
            raise InputError(
                f"no bars of {symbol} at {interval} in {str(self.folder)!r} (looked for {stem}"
                f"{'|'.join(SUFFIXES)}); {self._listing(symbol)}"
            )
        if len(paths) > 1:
            paths.sort(key=lambda path: SUFFIXES.index(suffix_of(path.name)))
            names = ", ".join(path.name for path in paths)
            raise InputError(
                f"{symbol} at {interval} must be one file, got {names}; keep one of the files"
            )
        frame, understood = read_table(paths[0])
        return RawBars(frame, understood)

    def series(self) -> tuple[tuple[str, str], ...]:
        """Return symbol and interval of each file whose name has both, sorted."""
        self.check()
        parts = [stem.rpartition("_") for stem in set(map(bar_stem, bar_files(self.folder)))]
        return tuple(
            sorted(
                (name, own)
                for name, _, own in parts
                if _SYMBOL.fullmatch(name) and is_interval(own)
            )
        )

    def check(self) -> None:
        """Raise `InputError` if the folder does not exist."""
        if not is_folder(self.folder):
            raise InputError(
                f"`source` is not a folder: {str(self.folder)!r}; give a folder of "
                "{symbol}_{interval}.parquet|csv|csv.gz|csv.zip|feather files, or `sample` for the "
                "sample bars"
            )

    def _listing(self, symbol: str) -> str:
        names = [stem for path in bar_files(self.folder) if "_" in (stem := bar_stem(path))]
        parts = [stem.rpartition("_") for stem in dict.fromkeys(names)]
        others = [interval for owner, _, interval in parts if owner == symbol]
        if others:
            return f"there are bars of {symbol} at {', '.join(others)}: give --interval {others[0]}"
        if not names:
            return "the folder contains no bars; add files, or use `sample` for the sample bars"
        listed = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        return f"the folder contains {listed}; use one of them, or `sample` for the sample bars"


@dataclass(frozen=True)
class SampleSource:
    """Real bars that PyPI packages ship; no network is needed to read them."""

    def read(self, symbol: str, interval: str) -> RawBars:
        """Read EURUSD (1h, 2017), GOOGL (1d, 2009 to 2018), SP500 or NASDAQ (1d, 1999 to 2018).

        Raises
        ------
        InputError
            For any other symbol or interval, or if the package is not installed.
        """
        path, distribution = self.file(symbol, interval)
        frame, understood = read_table(path)
        return RawBars(frame, f"sample bars of {distribution}: {understood}")

    @staticmethod
    def names() -> tuple[tuple[str, str], ...]:
        """Return symbol and interval of every sample."""
        return tuple(_SAMPLES)

    @staticmethod
    def file(symbol: str, interval: str) -> tuple[Path, str]:
        """Return the file of sample bars, and the distribution that ships it; raise as `read`."""
        sample = _SAMPLES.get((check_symbol(symbol), interval))
        if sample is None:
            available = ", ".join(f"{s} at {i}" for s, i in _SAMPLES)
            raise InputError(
                f"the sample has no {symbol} at {interval}, only {available}; pick one of them, or "
                "give a folder of your own bars as `source`"
            )
        package, file = sample
        distribution = _DISTRIBUTIONS[package]
        # find_spec locates the package without an import, which would import gymnasium.
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise InputError(
                f"these sample bars need the package {distribution}; "
                "install it with: pip install 'barwright[sample]'"
            )
        return Path(next(iter(spec.submodule_search_locations))) / file, distribution


#: Beginning of what the source of made-up bars says about them.
MADE_UP = "SYNTHETIC bars with a planted pattern"


@dataclass(frozen=True)
class SyntheticSource:
    """The SYNTHETIC bars of `features.synthetic`, on which a model that works can be seen."""

    def read(self, symbol: str, interval: str) -> RawBars:
        """Return the bars of SYNTHETIC at 1h; the same ones at every call.

        Raises
        ------
        InputError
            For any other symbol or interval.
        """
        if (check_symbol(symbol), interval) != (synthetic.SYMBOL, synthetic.INTERVAL):
            raise InputError(
                f"the source `synthetic` has only {synthetic.SYMBOL} at {synthetic.INTERVAL}, got "
                f"{symbol} at {interval}; give a folder of your own bars as `source`, or `sample`"
            )
        frame = synthetic.synthetic_bars()
        return RawBars(
            frame,
            f"{MADE_UP}, {len(frame):,} rows: made up, no market",
        )


def symbols_of(source: BarSource, interval: str) -> tuple[str, ...]:
    """Return every symbol of which a source has bars at this interval, sorted.

    Raises
    ------
    InputError
        If the source has none, or is of a kind that cannot list its symbols.
    """
    if isinstance(source, SampleSource):
        listed = tuple(_SAMPLES)
    elif isinstance(source, SyntheticSource):
        listed = ((synthetic.SYMBOL, synthetic.INTERVAL),)
    elif isinstance(source, FolderSource):
        listed = source.series()
    else:
        raise InputError("`symbols` must be named: this source cannot list its symbols")
    symbols = tuple(sorted(symbol for symbol, own in listed if own == interval))
    if not symbols:
        hint = "it contains no files {symbol}_{interval}.parquet|csv|csv.gz|csv.zip|feather"
        if others := sorted({own for _, own in listed}):
            hint = f"it has bars at {', '.join(others)}: give --interval {others[0]}"
        raise InputError(f"`source` has no bars at {interval}; {hint}")
    return symbols


def open_source(text: str) -> BarSource:
    """Return the source that the option `--source` names.

    It is `sample`, `synthetic`, or the path of a folder.

    Raises
    ------
    InputError
        For an empty text, a URL (this version reads only folders and `sample`), or a folder that
        does not exist.
    """
    if text == "sample":
        return SampleSource()
    if text == "synthetic":
        return SyntheticSource()
    if not text or "://" in text or text.startswith("ccxt:"):
        raise InputError(
            f"`source` must be a folder or `sample`, got {text!r}; save the bars as "
            "{symbol}_{interval}.parquet and give their folder"
        )
    source = FolderSource(Path(text))
    source.check()
    return source


def bar_files(folder: Path) -> list[Path]:
    """Return the files of bars in a folder, by name.

    Raises
    ------
    InputError
        If the folder cannot be listed.
    """
    return [path for path in _files(folder) if suffix_of(path.name)]


def other_files(path: Path) -> tuple[str, ...]:
    """Return the names of the files in a folder that are no files of bars by their endings."""
    files = _files(path) if is_folder(path) else []
    names = (file.name for file in files if not suffix_of(file.name))
    return tuple(name for name in names if not name.startswith("."))


def _files(folder: Path) -> list[Path]:
    """Return the files in a folder, by name; raise `InputError` if it cannot be listed."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise InputError(
            f"the folder {str(folder)!r} cannot be read: {error.strerror}; give a folder that "
            "exists and may be read"
        ) from error


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder; not if its name is too long or its parent is closed."""
    with suppress(OSError):
        return path.is_dir()
    return False


def is_file(path: Path) -> bool:
    """Return whether a path is a file; not if its name is too long or its parent is closed."""
    with suppress(OSError):
        return path.is_file()
    return False


def bar_stem(path: Path) -> str:
    """Return the name of a file without its ending; that of a file of bars may have two parts."""
    suffix = suffix_of(path.name)
    return path.name[: -len(suffix)] if suffix else path.stem
