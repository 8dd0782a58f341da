"""The same procedure where there is nothing to find: bars whose returns were shuffled in blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from features.dataset import DatasetBuilder
from features.sources import RawBars
from trainer.procedure.sample import Sample

_PRICES = ("open", "high", "low", "close")


def permute_bars(frame: pd.DataFrame, block: int, rng: np.random.Generator) -> pd.DataFrame:
    """Shuffle bars in blocks and chain them again from the first one's close.

    What a bar is, relative to the close before it, is kept: its gap, range, return and volume, and
    dependence within a block. When things happen is not: whatever leads from one block to the next
    is gone, and with it what a model could have learned.

    Parameters
    ----------
    frame : pandas.DataFrame
        timestamp, open, high, low, close, volume, oldest first; times stay where they are.
    block : int
        Bars in a block, >= 1.
    rng : numpy.random.Generator

    Returns
    -------
    pandas.DataFrame
        As many bars, with the same columns.
    """
    prices = frame[list(_PRICES)].to_numpy(dtype=np.float64)
    before = prices[:-1, 3:]
    ratio = prices[1:] / before
    count = len(ratio)
    # Blocks start anywhere, so that no bar is always the first of one.
    cuts = np.arange(rng.integers(1, block + 1), count, block)
    blocks = np.split(np.arange(count), cuts)
    order = np.concatenate([blocks[i] for i in rng.permutation(len(blocks))])
    ratio = ratio[order]
    close = prices[0, 3] * np.exp(np.cumsum(np.log(ratio[:, 3])))
    start = np.concatenate([prices[:1, 3], close[:-1]])
    out = frame.copy()
    # One multiplication a bar keeps high >= open, close >= low as exact as they were.
    out.loc[out.index[1:], list(_PRICES)] = start[:, None] * ratio
    volume = frame["volume"].to_numpy(dtype=np.float64)
    out["volume"] = np.concatenate([volume[:1], volume[1:][order]])
    return out


@dataclass(frozen=True)
class _Permuted:
    """Source of one symbol's bars, shuffled."""

    frame: pd.DataFrame

    def read(self, symbol: str, interval: str) -> RawBars:
        return RawBars(self.frame, f"{symbol} at {interval}, returns permuted in blocks")


def null_net_sharpe(
    builder: DatasetBuilder,
    symbol: str,
    frame: pd.DataFrame,
    measure: Callable[[Sample], float],
    *,
    runs: int,
    seed: int,
) -> list[float]:
    """Measure the procedure `runs` times on permuted bars.

    Parameters
    ----------
    builder : DatasetBuilder
        Features, labels and rules; its source and cache are not used.
    symbol : str
    frame : pandas.DataFrame
        The symbol's proven bars.
    measure : callable
        Walk-forward net Sharpe ratio of a sample; NaN if it never traded.
    runs : int
        How often.
    seed : int
        Of the permutations.

    Returns
    -------
    list of float
        Annualised net Sharpe ratios; 0 for a run that never traded.
    """
    # Blocks of one label's span: longer ones would keep a signal that the labels can show.
    block = builder.label.horizon + 1
    found = []
    for number in range(runs):
        shuffled = permute_bars(frame, block, np.random.default_rng([seed, number]))
        # Times do not move, so a return over a closed market may now look like a split.
        bars = replace(builder, source=_Permuted(shuffled), cache=None, allow_jumps=True)
        found.append(float(np.nan_to_num(measure(Sample.of(bars.build(symbol))))))
    return found


def percentile(headline: float, null: Sequence[float]) -> float:
    """Return how many per cent of the null runs the headline beats, ties counting half.

    A headline that is NaN never traded and counts as 0; NaN without null runs.
    """
    if not null:
        return float("nan")
    value, others = float(np.nan_to_num(headline)), np.asarray(null)
    return float(100 * (np.mean(others < value) + np.mean(others == value) / 2))
