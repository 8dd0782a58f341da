"""Proof on sampled rows that features look back only, forget, and ignore the price level."""

from __future__ import annotations

import numpy as np

from features.bars import Bars
from features.errors import InputError
from features.feature_set import FeatureSet, Matrix
from features.laws import AHEAD, TOLERANCE, Law, alone, by_memory, distance, scaled, size


def probe(features: FeatureSet, bars: Bars, matrix: Matrix, *, rows: int = 8) -> None:
    """Check a computed feature matrix against shorter histories of the same bars.

    Three laws (`features.laws`) are checked at `rows` rows t spread evenly over the series:

    - PREFIX: computed from its declared memory alone, a feature is the same bit for bit whether
      or not later bars follow;
    - START: computed so, it agrees to `TOLERANCE` of the feature's size on the sampled rows;
    - LEVEL: with all prices times 4 and all volumes times 8, it agrees as closely.

    `features.audit` checks all of them, and more, at every row.

    Parameters
    ----------
    features : FeatureSet
        The features.
    bars : Bars
        The bars that `matrix` was computed from.
    matrix : float32 array of shape (n, f)
        ``features.compute(bars)``.
    rows : int, default 8
        Sampled rows.

    Raises
    ------
    InputError
        Naming every feature that breaks a law, and the law.
    """
    if len(bars) <= features.memory:
        return
    picked = np.unique(np.linspace(features.memory, len(bars) - 1, rows).astype(int))
    levels = scaled(bars, prices=4.0, volumes=8.0)
    broken: dict[str, Law] = {}
    first_broken = len(bars)
    for some, places, memory in by_memory(features):
        whole = matrix[picked][:, places]
        unit = size(whole)
        short = alone(some, bars, picked)
        longer = alone(some, bars, picked, later=max(memory, AHEAD))
        for law, apart, allowed in (
            (Law.PREFIX, distance(longer, short, unit), 0.0),
            (Law.START, distance(short, whole, unit), TOLERANCE),
            (Law.LEVEL, distance(alone(some, levels, picked), short, unit), TOLERANCE),
        ):
            for row, place in np.argwhere(apart > allowed):
                broken.setdefault(some.columns[place].name, law)
                first_broken = min(first_broken, int(picked[row]))
    if broken:
        listed = "; ".join(f"{name} {law.breach}" for name, law in broken.items())
        raise InputError(
            f"features of {bars.symbol} cannot be trusted: {listed}; repair them, or the bars "
            f"before {bars.timestamps[first_broken]:%Y-%m-%d %H:%M} (prices that stand still and "
            "bad ticks break sound features, too), or leave them out with --features; "
            "`barwright audit` says where and by how much"
        )
