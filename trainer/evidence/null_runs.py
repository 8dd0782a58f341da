"""Null runs: the same procedure on bars whose returns were shuffled in blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from features.dataset import Dataset, DatasetBuilder
from features.sources import HeldBars, RawBars
from trainer.procedure.sample import Sample

_PRICES = ("open", "high", "low", "close")


def permute_bars(frame: pd.DataFrame, block: int, rng: np.random.Generator) -> pd.DataFrame:
    """Shuffle bars in blocks, and chain their prices again from the first close.

    Each bar keeps its values relative to the close before it: gap, range, return, volume.
    Dependence within a block stays too. The order of the blocks is random, so no dependence from
    one block to the next remains, and with it what a model could have learned.

    Parameters
    ----------
    frame : pandas.DataFrame
        timestamp, open, high, low, close, volume, oldest first. The timestamps keep their places.
    block : int
        Bars in a block, >= 1.
    rng : numpy.random.Generator

    Returns
    -------
    pandas.DataFrame
        The same number of bars, with the same columns.

    Examples
    --------
    The steps of the closes, +1 %, +2 %, -3 % and +4 %, come in another order:

    >>> close = 100 * np.cumprod([1, 1.01, 1.02, 0.97, 1.04])
    >>> frame = pd.DataFrame(dict.fromkeys(_PRICES, close)).assign(volume=np.arange(5.0))
    >>> shuffled = permute_bars(frame, block=1, rng=np.random.default_rng(0))
    >>> steps = shuffled["close"].pct_change().dropna()
    >>> steps.round(4).tolist()
    [-0.03, 0.01, 0.02, 0.04]
    >>> shuffled["volume"].tolist()
    [0.0, 3.0, 1.0, 2.0, 4.0]
    """
    prices = frame[list(_PRICES)].to_numpy(dtype=np.float64)  # (bars, 4)
    before = prices[:-1, 3:]
    ratio = prices[1:] / before  # (bars - 1, 4)
    count = len(ratio)
    # The first block has a random length, so that the same bars do not start a block in every run.
    cuts = np.arange(rng.integers(1, block + 1), count, block)
    blocks = np.split(np.arange(count), cuts)
    order = np.concatenate([blocks[i] for i in rng.permutation(len(blocks))])
    ratio = ratio[order]
    close = prices[0, 3] * np.exp(np.cumsum(np.log(ratio[:, 3])))
    start = np.concatenate([prices[:1, 3], close[:-1]])
    out = frame.copy()
    # With one multiplication per bar, high >= open and close >= low stay as exact as they were.
    out.loc[out.index[1:], list(_PRICES)] = start[:, None] * ratio
    volume = frame["volume"].to_numpy(dtype=np.float64)
    out["volume"] = np.concatenate([volume[:1], volume[1:][order]])
    return out


def null_net_sharpe(
    builder: DatasetBuilder,
    symbol: str,
    frame: pd.DataFrame,
    measure: Callable[[Sample], float],
    *,
    runs: int,
    seed: int,
    volatility_window: int = 0,
) -> list[float]:
    """Measure the procedure on permuted bars.

    Parameters
    ----------
    builder : DatasetBuilder
        Features, labels and rules. Its source and its cache are not used.
    symbol : str
    frame : pandas.DataFrame
        Validated bars of the symbol.
    measure : callable
        Returns the net Sharpe ratio of the walk-forward of a sample; NaN if it never traded.
    runs : int
        Number of null runs.
    seed : int
        Seed of the permutations.
    volatility_window : int, default 0
        As in `Sample.of`.

    Returns
    -------
    list of float
        Annualised net Sharpe ratios; 0 for a run that never traded.
    """
    ratios = []
    for number in range(runs):
        data = null_dataset(builder, symbol, frame, seed=seed, number=number)
        ratios.append(float(np.nan_to_num(measure(Sample.of(data, volatility_window)))))
    return ratios


def null_dataset(
    builder: DatasetBuilder, symbol: str, frame: pd.DataFrame, *, seed: int, number: int
) -> Dataset:
    """Return the dataset of one null run.

    Parameters
    ----------
    builder, symbol, frame, seed
        As in `null_net_sharpe`.
    number : int
        Number of the run, from 0.
    """
    # A block is as long as the span of a label: longer blocks would keep a signal that labels show.
    block = builder.label.horizon + 1
    shuffled = permute_bars(frame, block, np.random.default_rng([seed, number]))
    # Timestamps keep their places, so a return over a closed market may now look like a split.
    text = f"{symbol} at {builder.interval.text}, returns permuted in blocks"
    source = HeldBars(RawBars(shuffled, text))
    null = replace(builder, source=source, cache=None, allow_jumps=True)
    return null.build(symbol)


def percentile(headline: float, null: Sequence[float]) -> float:
    """Return the per cent of the null runs that are below the headline; ties count half.

    Parameters
    ----------
    headline : float
        Net Sharpe ratio. NaN means that the walk-forward never traded; it counts as 0.
    null : sequence of float
        Net Sharpe ratios of the null runs.

    Returns
    -------
    float
        From 0 to 100; NaN without null runs.

    Examples
    --------
    Two runs are below, one is equal, one is above:

    >>> percentile(1.0, [-0.5, 0.0, 1.0, 2.0])
    62.5
    >>> percentile(1.0, [])
    nan
    """
    if not null:
        return float("nan")
    value, others = float(np.nan_to_num(headline)), np.asarray(null)
    return float(100 * (np.mean(others < value) + np.mean(others == value) / 2))
