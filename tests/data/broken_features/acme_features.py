"""A plug-in whose features each break one law: what an audit is there to catch."""

from __future__ import annotations

import pandas as pd

from features.catalogue import FeatureKind
from features.series import BarSeries, FloatArray


def price(bars: BarSeries) -> FloatArray:
    return bars.close.copy()


def centred(bars: BarSeries) -> FloatArray:
    return pd.Series(bars.log_return).rolling(5, center=True).mean().to_numpy()


def backfilled(bars: BarSeries) -> FloatArray:
    # A value that exists at 23:00 only, as an unfinished daily bar does, known all day long.
    last_hour = bars.time_ns // (3_600 * 10**9) % 24 == 23
    return pd.Series(bars.log_return).where(last_hour).bfill().to_numpy()


def z_of_all(bars: BarSeries) -> FloatArray:
    returns = pd.Series(bars.log_return)
    return ((returns - returns.mean()) / returns.std()).to_numpy()


def forgetful(bars: BarSeries) -> FloatArray:
    return pd.Series(bars.log_return).ewm(span=50).mean().to_numpy()


KINDS = (
    FeatureKind("price", "acme", price, lambda: 0),
    FeatureKind("centred", "acme", centred, lambda: 5),
    FeatureKind("backfilled", "acme", backfilled, lambda: 24),
    FeatureKind("z_of_all", "acme", z_of_all, lambda: 50),
    FeatureKind("forgetful", "acme", forgetful, lambda: 50),
)
