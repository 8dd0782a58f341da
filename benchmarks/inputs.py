"""Bars for the benchmarks: synthetic bars of any length, and real bars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from features.bars import Bars, validate_bars
from features.dataset import DatasetBuilder
from features.feature_set import FeatureSet
from features.interval import Interval
from features.sources import FolderSource, open_source

HOUR = Interval.parse("1h")
#: Folder of real bars beside a working copy; without it, the bars of the sample are used.
REAL = "../shared/data"


def synthetic_frame(n: int, seed: int = 0) -> pd.DataFrame:
    """Return SYNTHETIC hourly bars: a random walk of log prices with random wicks and volumes."""
    rng = np.random.default_rng(seed)
    step = rng.normal(0.0, 0.004, n)
    # The walk ends at its start (100): a million free steps would leave the range of prices.
    walk = np.cumsum(step)
    close = 100.0 * np.exp(walk - np.linspace(0.0, walk[-1], n))
    open_ = np.concatenate([[100.0], close[:-1]]) * np.exp(rng.normal(0.0, 0.001, n))
    wick = np.abs(rng.normal(0.0, 0.002, (2, n)))
    return pd.DataFrame(
        {
            "timestamp": pd.date_range("1900-01-01", periods=n, freq="1h", tz="UTC"),
            "open": open_,
            "high": np.maximum(open_, close) * np.exp(wick[0]),
            "low": np.minimum(open_, close) * np.exp(-wick[1]),
            "close": close,
            "volume": rng.lognormal(5.0, 1.0, n),
        }
    )


def synthetic_bars(n: int) -> Bars:
    """Return validated bars of `synthetic_frame`."""
    return validate_bars(synthetic_frame(n), symbol="SYNTHETIC", interval=HOUR)


def synthetic_folder(folder: Path, n: int) -> FolderSource:
    """Write `synthetic_frame` as parquet and return the source that reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    synthetic_frame(n).to_parquet(folder / "SYNTHETIC_1h.parquet")
    return FolderSource(folder)


def real_source(option: str) -> tuple[str, str, str]:
    """Return source, symbol, and a sentence that describes the bars, for the option `--source`."""
    folder = Path(option or REAL)
    if option != "sample" and (folder / "BTCUSDT_1h.parquet").is_file():
        return str(folder.resolve()), "BTCUSDT", "Real bars: BTCUSDT, hourly."
    if option not in ("", "sample"):
        raise SystemExit(
            f"`--source` must be a folder with BTCUSDT_1h.parquet, or `sample`, got {option!r}"
        )
    return "sample", "EURUSD", "Real bars: EURUSD, hourly, the sample of gym-anytrading."


def real_builder(source: str) -> DatasetBuilder:
    """Return the dataset builder of a standard run, without a cache."""
    features = FeatureSet.build(interval=HOUR)
    return DatasetBuilder(open_source(source), HOUR, features)
