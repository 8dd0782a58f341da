"""SYNTHETIC bars with a planted pattern, on which a model that works can be seen."""

from __future__ import annotations

import numpy as np
import pandas as pd

#: The only symbol and interval; the name stands in the name of every model that is made from them.
SYMBOL, INTERVAL = "SYNTHETIC", "1h"
_START, _N_BARS, _SEED = "2024-01-01", 4_000, 5
#: Per bar: size of the drift, standard deviation of the noise, chance that the drift turns.
_DRIFT, _NOISE, _TURN = 0.0014, 0.004, 1 / 60


def synthetic_bars(n: int = _N_BARS, seed: int = _SEED) -> pd.DataFrame:
    """Return hourly bars of a made-up market, the same ones for the same arguments.

    The drift turns up and down, and stays for two days and a half on average. A model can learn to
    follow it. Nothing here is a market, and what is earned here says nothing about one.

    Parameters
    ----------
    n, seed : int
        Number of bars, and seed of the random numbers.

    Returns
    -------
    pandas.DataFrame
        Columns timestamp (UTC), open, high, low, close, volume.
    """
    rng = np.random.default_rng(seed)
    up = np.cumsum(rng.random(n) < _TURN) % 2  # (n,)
    close = 100 * np.exp(np.cumsum(_DRIFT * (2 * up - 1) + rng.normal(0, _NOISE, n)))
    open_ = np.r_[100.0, close[:-1]]
    wick = np.exp(np.abs(rng.normal(0, _NOISE / 4, (2, n))))
    return pd.DataFrame(
        {
            "timestamp": pd.date_range(_START, periods=n, freq="h", tz="UTC").as_unit("ns"),
            "open": open_,
            "high": np.maximum(open_, close) * wick[0],
            "low": np.minimum(open_, close) / wick[1],
            "close": close,
            "volume": np.round(rng.lognormal(5, 1, n)),
        }
    )
