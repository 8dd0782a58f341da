"""Check every law of every feature at every bar."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.bars import PRICES, Bars
from features.errors import InputError
from features.feature_set import FeatureSet, Matrix
from features.laws import (
    MIN_LATER_BARS,
    TOLERANCE,
    FloatArray,
    Law,
    column_rms,
    compute_from_memory,
    group_by_memory,
    relative_difference,
    scaled,
)

#: Number of rows t after which the later bars of the whole series are left out, then rewritten.
ENDS = 100
#: ``listen(phase, done, total)``: called with the progress of a phase.
Listen = Callable[[str, int, int], None]

_IntArray = npt.NDArray[np.int64]
_BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Breach:
    """One law that a feature breaks.

    Attributes
    ----------
    law : Law
        The law.
    first : pandas.Timestamp
        UTC open time of the earliest bar whose row breaks it.
    rows : int
        Number of checked rows that break it.
    largest : float
        Largest difference (`features.laws.relative_difference`), in units of the feature's root
        mean square; infinite if a value is NaN in one of the two cases only.
    """

    law: Law
    first: pd.Timestamp
    rows: int
    largest: float


@dataclass(frozen=True)
class Finding:
    """The result of the audit for one feature.

    Attributes
    ----------
    feature : str
        Column name.
    memory : int
        Declared memory, in bars.
    checked : mapping of Law to int
        Number of rows t at which each law was checked: every row from the first warmed-up one for
        PREFIX and START (or the sampled ones), the sampled ends for FUTURE, every row for LEVEL.
    breaches : tuple of Breach
        In the order of `Law`; empty if all laws are satisfied. START is left out for a feature
        that uses later bars, because it differs where those are absent, whatever its memory is.
    """

    feature: str
    memory: int
    checked: Mapping[Law, int]
    breaches: tuple[Breach, ...]


def audit(
    features: FeatureSet,
    bars: Bars,
    *,
    rows: int = 0,
    seed: int = 0,
    listen: Listen = lambda phase, done, total: None,
) -> tuple[Finding, ...]:
    """Check every law of `features.laws` for every feature.

    - PREFIX and FUTURE on the whole series: at `ENDS` rows t the later bars are left out, then
      rewritten at random; all rows up to t must stay equal bit for bit.
    - LEVEL on the whole series: all prices times 4, then all volumes times 8.
    - START and PREFIX at every row t from the first warmed-up one: the value from the declared
      memory must agree with the whole series. Where it is not equal bit for bit, bars after t are
      added, which must not change it.

    Parameters
    ----------
    features : FeatureSet
        The features, plug-ins included.
    bars : Bars
        Validated bars, n of them.
    rows : int, default 0
        Number of rows, spread evenly, for the third check; 0 checks every row. If it is less than
        `ENDS`, the first check uses only so many ends, too.
    seed : int, default 0
        Seed of the rewritten bars.
    listen : callable, optional
        Called with the progress of the two long phases.

    Returns
    -------
    tuple of Finding
        One for each feature, in column order.

    Raises
    ------
    InputError
        If fewer than two rows have a whole memory, or a formula cannot be computed.
    """
    if len(bars) < features.memory + 2:
        raise InputError(
            f"bars of {bars.symbol} are too few to audit: the features need "
            f"{features.memory + 2}, got {len(bars)}; give more bars, or choose shorter windows"
        )
    matrix = features.compute(bars)  # (n, f)
    tally = _Tally(features, bars, column_rms(matrix))
    _check_whole_series(tally, matrix, ends=min(rows or ENDS, ENDS), seed=seed, listen=listen)
    _check_levels(tally, matrix)
    _check_every_row(tally, matrix, rows, listen)
    return tally.findings()


class _Tally:
    """Collects which rows of each feature were checked, which break a law, and by how much."""

    def __init__(self, features: FeatureSet, bars: Bars, sizes: FloatArray) -> None:
        self.features, self.bars, self.sizes = features, bars, sizes
        self._broken: dict[tuple[int, Law], _BoolArray] = {}
        self._checked: dict[tuple[int, Law], _BoolArray] = {}
        self._largest: dict[tuple[int, Law], float] = {}

    def add_checked(self, law: Law, index: int, rows: _IntArray | slice) -> None:
        """Record that a law was checked at these rows of the feature of this column index."""
        self._mask(self._checked, law, index)[rows] = True

    def add_differences(
        self,
        law: Law,
        index: int,
        rows: _IntArray,
        difference: FloatArray,
        allowed: float = 0.0,
    ) -> None:
        """Record the rows of a feature whose difference is larger than allowed."""
        broken = difference > allowed
        if broken.any():
            self._mask(self._broken, law, index)[rows[broken]] = True
            previous = self._largest.get((index, law), 0.0)
            self._largest[index, law] = max(previous, float(difference[broken].max()))

    def _mask(self, masks: dict[tuple[int, Law], _BoolArray], law: Law, index: int) -> _BoolArray:
        return masks.setdefault((index, law), np.zeros(len(self.bars), dtype=bool))

    def findings(self) -> tuple[Finding, ...]:
        """Return one finding per feature, in column order."""
        return tuple(
            Finding(
                feature=column.name,
                memory=column.memory,
                checked={law: int(self._mask(self._checked, law, index).sum()) for law in Law},
                breaches=self._breaches(index),
            )
            for index, column in enumerate(self.features.columns)
        )

    def _breaches(self, index: int) -> tuple[Breach, ...]:
        times = self.bars.timestamps
        masks = {law: mask for law in Law if (mask := self._broken.get((index, law))) is not None}
        if Law.PREFIX in masks or Law.FUTURE in masks:
            masks.pop(Law.START, None)
        return tuple(
            Breach(law, times[int(mask.argmax())], int(mask.sum()), self._largest[index, law])
            for law, mask in masks.items()
        )


def _check_whole_series(
    tally: _Tally, matrix: Matrix, *, ends: int, seed: int, listen: Listen
) -> None:
    """Check PREFIX and FUTURE from the first bar: rows up to each end t must stay equal."""
    features, bars = tally.features, tally.bars
    other = rewritten(bars, seed)
    sampled = _spread(features.memory, len(bars) - 2, ends)
    for done, t in enumerate(sampled.tolist()):
        listen("whole series", done, len(sampled))
        past, future = bars.slice(0, t + 1), other.slice(t + 1, len(bars))
        for law, changed in ((Law.PREFIX, past), (Law.FUTURE, _joined(past, future))):
            values = features.compute(changed)
            for index in range(matrix.shape[1]):
                tally.add_checked(law, index, sampled[done : done + 1])
                expected, got = matrix[: t + 1, index], values[: t + 1, index]
                # Bytes are compared first: it is fast, and nearly all rows are equal.
                if not np.array_equal(expected.view(np.uint32), got.view(np.uint32)):
                    difference = relative_difference(got, expected, tally.sizes[index])
                    tally.add_differences(law, index, np.arange(t + 1), difference)
    listen("whole series", len(sampled), len(sampled))


def _check_levels(tally: _Tally, matrix: Matrix) -> None:
    """Check LEVEL for prices and volumes one at a time: a feature may be a ratio of the two."""
    rows = np.arange(len(tally.bars))
    for changed in (scaled(tally.bars, prices=4.0), scaled(tally.bars, volumes=8.0)):
        values = tally.features.compute(changed)
        for index in range(matrix.shape[1]):
            difference = relative_difference(values[:, index], matrix[:, index], tally.sizes[index])
            tally.add_differences(Law.LEVEL, index, rows, difference, TOLERANCE)
            tally.add_checked(Law.LEVEL, index, rows)


def _check_every_row(tally: _Tally, matrix: Matrix, rows: int, listen: Listen) -> None:
    """Check START and PREFIX from the memory, at every warmed-up row of each feature."""
    bars, n = tally.bars, len(tally.bars)
    groups = [
        (group, indices, _spread(memory, n - 1, rows or n))
        for group, indices, memory in group_by_memory(tally.features)
    ]
    done, total = 0, sum(len(sampled) for *_, sampled in groups)

    def on_row() -> None:
        nonlocal done
        done += 1
        listen("every bar", done, total)

    for group, indices, sampled in groups:
        short = compute_from_memory(group, bars, sampled, on_row=on_row)
        whole = matrix[sampled][:, indices]
        difference = relative_difference(short, whole, tally.sizes[indices])
        # A row that is equal bit for bit to the row of the whole series uses no earlier and no
        # later bars. The other rows may differ by the rounding of sums over earlier bars. They
        # are computed again from the same first bar with later bars, which must not change them.
        unequal = np.flatnonzero((difference > 0).any(axis=1))
        later = max(group.memory, MIN_LATER_BARS)
        longer = compute_from_memory(group, bars, sampled[unequal], later=later)
        ahead = relative_difference(longer, short[unequal], tally.sizes[indices])
        for i, index in enumerate(indices):
            for law in (Law.PREFIX, Law.START):
                tally.add_checked(law, index, sampled)
            tally.add_differences(Law.PREFIX, index, sampled[unequal], ahead[:, i])
            tally.add_differences(Law.START, index, sampled, difference[:, i], TOLERANCE)


def rewritten(bars: Bars, seed: int) -> Bars:
    """Return valid bars at the same times with random prices and volumes near the real ones."""
    rng = np.random.default_rng(seed)
    n = len(bars)
    open_, close = (x * np.exp(rng.normal(0.0, 0.05, n)) for x in (bars.open, bars.close))
    return replace(
        bars,
        open=open_,
        close=close,
        high=np.maximum(open_, close) * np.exp(np.abs(rng.normal(0.0, 0.02, n))),
        low=np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0.0, 0.02, n))),
        # Bars without volume get a volume, too: whether later bars have one is unknown at t.
        volume=(bars.volume.mean() or 1.0) * rng.lognormal(0.0, 1.0, n),
    )


def _joined(a: Bars, b: Bars) -> Bars:
    names = ("time_ns", *PRICES, "volume", "missing")
    arrays = {name: np.concatenate([getattr(a, name), getattr(b, name)]) for name in names}
    return Bars(a.symbol, a.schedule, **arrays, notes=a.notes, open_bar_ns=a.open_bar_ns)


def _spread(first: int, last: int, count: int) -> _IntArray:
    """Return at most `count` integers from `first` to `last`, both included, spread evenly."""
    return np.unique(np.linspace(first, last, min(count, last - first + 1)).astype(np.int64))
