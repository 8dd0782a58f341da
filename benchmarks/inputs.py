"""Bars to measure on: synthetic ones of any length, and real ones."""

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
#: Real bars of a working copy that has them beside it; the sample's otherwise.
REAL = "../shared/data"


def synthetic_frame(n: int, seed: int = 0) -> pd.DataFrame:
    """SYNTHETIC hourly bars: a random walk of log prices with invented wicks and volumes."""
    rng = np.random.default_rng(seed)
    step = rng.normal(0.0, 0.004, n)
    # Pulled back to 100 a little: a million free steps would leave the range of prices.
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
    """Make `synthetic_frame` and validate it."""
    return validate_bars(synthetic_frame(n), symbol="SYNTHETIC", interval=HOUR)


def synthetic_folder(folder: Path, n: int) -> FolderSource:
    """Write `synthetic_frame` as parquet, and return the source that reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    synthetic_frame(n).to_parquet(folder / "SYNTHETIC_1h.parquet")
    return FolderSource(folder)


def real_source(asked: str) -> tuple[str, str, str]:
    """Source, symbol, and a sentence that says which bars these are."""
    folder = Path(asked or REAL)
    if asked != "sample" and (folder / "BTCUSDT_1h.parquet").is_file():
        return str(folder.resolve()), "BTCUSDT", "Real bars: BTCUSDT, hourly."
    if asked not in ("", "sample"):
        raise SystemExit(f"`--source` must hold BTCUSDT_1h.parquet or be `sample`, got {asked!r}")
    return "sample", "EURUSD", "Real bars: EURUSD, hourly, the sample of gym-anytrading."


def real_builder(source: str) -> DatasetBuilder:
    """Builder of a standard run's dataset, without a cache."""
    features = FeatureSet.build(interval=HOUR)
    return DatasetBuilder(open_source(source), HOUR, features)
