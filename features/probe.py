"""Proof on sampled rows that features look back only, forget, and ignore the price level."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from features.bars import Bars
from features.errors import InputError
from features.feature_set import FeatureSet, Matrix

#: Agreement asked of a feature computed from its declared memory only (METHOD: 1e-6).
TOLERANCE = 1e-5


def probe(features: FeatureSet, bars: Bars, matrix: Matrix, *, rows: int = 8) -> None:
    """Check a computed feature matrix against shorter histories of the same bars.

    Three laws are checked at `rows` rows spread evenly over the series:

    - prefix: the features of ``bars[a : t + 1]`` equal those of ``bars[a : t + 1 + m]`` at row t,
      bit for bit - later bars change nothing;
    - memory: computed from its own declared memory alone, row t agrees to `TOLERANCE` of the
      feature's size on the sampled rows - so live and batch decide alike;
    - scale: with all prices times 4 and all volumes times 8, row t agrees as closely - a price
      level cannot hide in a feature.

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
    broken: dict[str, str] = {}
    first_broken = len(bars)
    for memory in sorted({column.memory for column in features.columns}):
        places = [i for i, column in enumerate(features.columns) if column.memory == memory]
        some = FeatureSet(tuple(features.columns[i] for i in places))
        values = matrix[picked][:, places]
        # In units of each feature: returns of a quiet market are small, and still may not differ.
        allowed = TOLERANCE * np.fmax.reduce(np.abs(values), axis=0, initial=0.0)
        for t, whole in zip(map(int, picked), values, strict=True):
            start = t - memory
            alone = bars.slice(start, t + 1)
            short = some.compute(alone)[-1]
            later = min(t + 1 + features.memory, len(bars))
            longer = some.compute(bars.slice(start, later))[memory]
            _note(broken, some, _differ(short, longer, 0.0), "uses later bars")
            far = _differ(short, whole, allowed)
            _note(broken, some, far, "needs more than its memory, or uses the whole series")
            levels = _differ(some.compute(_scaled(alone))[-1], short, allowed)
            _note(broken, some, levels, "depends on the level of price or volume")
            if broken:
                first_broken = min(first_broken, t)
    if broken:
        listed = "; ".join(f"{name} {why}" for name, why in broken.items())
        raise InputError(
            f"features of {bars.symbol} cannot be trusted: {listed}; repair them, or the bars "
            f"before {bars.timestamps[first_broken]:%Y-%m-%d %H:%M} (prices that stand still and "
            "bad ticks break sound features, too), or leave them out with --features"
        )


def _scaled(bars: Bars) -> Bars:
    prices = {name: getattr(bars, name) * 4.0 for name in ("open", "high", "low", "close")}
    return replace(bars, **prices, volume=bars.volume * 8.0)


def _differ(
    a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], allowed: npt.NDArray[np.float32] | float
) -> npt.NDArray[np.bool_]:
    """Tell where two rows differ by more than is allowed, or in being undefined."""
    near = (np.abs(a - b) <= allowed) | (a == b) | (np.isnan(a) & np.isnan(b))
    differ: npt.NDArray[np.bool_] = np.logical_not(near)
    return differ


def _note(
    broken: dict[str, str], features: FeatureSet, bad: npt.NDArray[np.bool_], why: str
) -> None:
    for position in np.flatnonzero(bad):
        broken.setdefault(features.columns[position].name, why)
