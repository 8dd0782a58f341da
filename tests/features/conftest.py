"""Synthetic bars for the tests of this room; real bars come from the `sample` source.

The synthetic bars are a geometric random walk with random wicks and volumes. The fixtures have
session scope, so that hypothesis may call them many times in one test.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.bars import Bars, validate_bars
from features.interval import Interval
from features.sources import FolderSource, open_source

MakeFrame = Callable[..., pd.DataFrame]


def _synthetic_frame(
    n: int = 600,
    *,
    interval: str = "1h",
    seed: int = 0,
    price: float = 100.0,
    spread: float = 0.004,
    start: str = "2024-01-01",
) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(rng.normal(0.0, spread, n)))
    open_ = np.concatenate([[price], close[:-1]]) * np.exp(rng.normal(0.0, spread / 4, n))
    return pd.DataFrame(
        {
            "timestamp": pd.date_range(
                start, periods=n, freq=pd.Timedelta(Interval.parse(interval).ns), tz="UTC"
            ),
            "open": open_,
            "high": np.maximum(open_, close) * np.exp(np.abs(rng.normal(0.0, spread / 2, n))),
            "low": np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0.0, spread / 2, n))),
            "close": close,
            "volume": rng.lognormal(5.0, 1.0, n),
        }
    )


@pytest.fixture(scope="session")
def synthetic_frame() -> MakeFrame:
    """``synthetic_frame(n, interval=, seed=, price=, spread=, start=)``: a valid table."""
    return _synthetic_frame


@pytest.fixture(scope="session")
def synthetic_bars() -> Callable[..., Bars]:
    """Like `synthetic_frame`, validated as 24/7 bars of the symbol SYNTH."""

    def make(n: int = 600, *, interval: str = "1h", **options: object) -> Bars:
        return validate_bars(
            _synthetic_frame(n, interval=interval, **options),  # type: ignore[arg-type]
            symbol="SYNTH",
            interval=Interval.parse(interval),
            calendar="24/7",
        )

    return make


@pytest.fixture(scope="session")
def sample_bars() -> Callable[[str, str], Bars]:
    """``sample_bars("EURUSD", "1h")``: real bars of the package gym-anytrading."""

    def read(symbol: str, interval: str) -> Bars:
        frame = open_source("sample").read(symbol, interval).frame
        return validate_bars(frame, symbol=symbol, interval=Interval.parse(interval))

    return read


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[..., FolderSource]:
    """``folder_of(frame)``: a source of one real parquet file, SYNTH_1h by default."""

    def write(frame: pd.DataFrame, stem: str = "SYNTH_1h") -> FolderSource:
        folder = tmp_path / "bars"
        folder.mkdir(exist_ok=True)
        frame.to_parquet(folder / f"{stem}.parquet")
        return FolderSource(folder)

    return write
