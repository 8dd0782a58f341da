"""Check the laws of features on sampled rows of a computed matrix."""

from __future__ import annotations

import numpy as np

from features.bars import Bars
from features.errors import InputError
from features.feature_set import FeatureSet, Matrix
from features.laws import (
    MIN_LATER_BARS,
    TOLERANCE,
    Law,
    column_rms,
    compute_from_memory,
    group_by_memory,
    relative_difference,
    scaled,
)


def probe(features: FeatureSet, bars: Bars, matrix: Matrix, *, rows: int = 8) -> None:
    """Check a computed feature matrix against shorter histories of the same bars.

    Three laws (`features.laws`) are checked at `rows` rows t that are spread evenly:

    - PREFIX: the value from the declared memory is equal bit for bit with and without later bars;
    - START: the value from the declared memory differs from `matrix` by at most `TOLERANCE`, in
      units of the feature's size on the sampled rows;
    - LEVEL: with all prices times 4 and all volumes times 8 it differs by at most `TOLERANCE`.

    `features.audit` checks these laws, and FUTURE, at every row.

    Parameters
    ----------
    features : FeatureSet
        The features.
    bars : Bars
        The bars from which `matrix` was computed.
    matrix : float32 array of shape (n, f)
        ``features.compute(bars)``.
    rows : int, default 8
        Number of sampled rows.

    Raises
    ------
    InputError
        If a feature breaks a law; the message contains each such feature and its law.
    """
    if len(bars) <= features.memory:
        return
    sampled = np.unique(np.linspace(features.memory, len(bars) - 1, rows).astype(int))  # (k,)
    scaled_bars = scaled(bars, prices=4.0, volumes=8.0)
    broken: dict[str, Law] = {}
    first_row = len(bars)
    for group, indices, memory in group_by_memory(features):
        whole = matrix[sampled][:, indices]  # (k, features of the group)
        unit = column_rms(whole)
        short = compute_from_memory(group, bars, sampled)
        longer = compute_from_memory(group, bars, sampled, later=max(memory, MIN_LATER_BARS))
        level = compute_from_memory(group, scaled_bars, sampled)
        for law, difference, allowed in (
            (Law.PREFIX, relative_difference(longer, short, unit), 0.0),
            (Law.START, relative_difference(short, whole, unit), TOLERANCE),
            (Law.LEVEL, relative_difference(level, short, unit), TOLERANCE),
        ):
            for row, index in np.argwhere(difference > allowed):
                broken.setdefault(group.columns[index].name, law)
                first_row = min(first_row, int(sampled[row]))
    if broken:
        listed = "; ".join(f"{name} {law.breach}" for name, law in broken.items())
        raise InputError(
            f"features of {bars.symbol} cannot be trusted: {listed}; repair them, or the bars "
            f"before {bars.timestamps[first_row]:%Y-%m-%d %H:%M} (constant prices and bad ticks "
            "make correct features fail, too), or leave them out with --features; "
            "`barwright audit` gives the first bar, the number of bars and the difference"
        )
