"""The full audit of features: every law, every feature, every bar, and where a law is broken."""

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
    AHEAD,
    TOLERANCE,
    FloatArray,
    Law,
    alone,
    by_memory,
    distance,
    scaled,
    size,
)

#: Ends at which the whole series is cut off, and at which its later bars are rewritten.
ENDS = 100
#: ``listen(phase, done, total)``.
Listen = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Breach:
    """One law that a feature breaks.

    Attributes
    ----------
    law : Law
        Which.
    first : pandas.Timestamp
        UTC open time of the earliest bar whose row breaks it.
    rows : int
        Rows that were seen to break it.
    largest : float
        Largest difference in units of the feature's size (root mean square), or of the value
        itself if that is larger; infinite if a row is defined in one case and not in the other.
    """

    law: Law
    first: pd.Timestamp
    rows: int
    largest: float


@dataclass(frozen=True)
class Finding:
    """What the audit says of one feature.

    Attributes
    ----------
    feature : str
        Column name.
    memory : int
        Bars before a row that it declares to depend on.
    checked : mapping of Law to int
        Bars t that each law was checked at: every bar from the first warmed-up one for PREFIX and
        START (or the sampled ones), the sampled ends for FUTURE, every bar for LEVEL.
    breaches : tuple of Breach
        In the order of `Law`; empty if all laws are kept. Of a feature that uses later bars,
        START is not judged: it cannot agree where it lacks them, whatever its memory is.
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

    - PREFIX and FUTURE from the beginning of the series: at `ENDS` ends t the later bars are left
      out, then rewritten at random, and all rows up to t must stay as they are, bit for bit.
    - LEVEL: the whole series once more with all prices times 4, and once with all volumes times 8.
    - START and PREFIX at every row t from the first warmed-up one: computed from its declared
      memory alone it must agree with the whole series; where it is not the same bit for bit,
      bars after t are added, which must change nothing.

    Parameters
    ----------
    features : FeatureSet
        The features, plug-ins included.
    bars : Bars
        Validated bars, n of them.
    rows : int, default 0
        Check the last of these laws at so many rows, spread evenly; 0 checks every row. With
        fewer than `ENDS`, the first ones are checked at so many ends, too.
    seed : int, default 0
        Seed of the rewritten bars.
    listen : callable, optional
        Told how far each of the two phases has come.

    Returns
    -------
    tuple of Finding
        One for each feature, in column order.

    Raises
    ------
    InputError
        If there are not two rows with a whole memory, or a formula cannot be computed.
    """
    if len(bars) < features.memory + 2:
        raise InputError(
            f"bars of {bars.symbol} are too few to audit: the features need "
            f"{features.memory + 2}, got {len(bars)}; give more bars, or choose shorter windows"
        )
    matrix = features.compute(bars)
    tally = _Tally(features, bars, size(matrix))
    _whole_series(tally, matrix, ends=min(rows or ENDS, ENDS), seed=seed, listen=listen)
    _levels(tally, matrix)
    _every_row(tally, matrix, rows, listen)
    return tally.findings()


class _Tally:
    """Which rows of which feature break which law, and by how much."""

    def __init__(self, features: FeatureSet, bars: Bars, sizes: FloatArray) -> None:
        self.features, self.bars, self.sizes = features, bars, sizes
        self._bad: dict[tuple[int, Law], npt.NDArray[np.bool_]] = {}
        self._largest: dict[tuple[int, Law], float] = {}
        self._checked: dict[tuple[int, Law], npt.NDArray[np.bool_]] = {}

    def checked(self, law: Law, place: int, rows: npt.NDArray[np.int64] | slice) -> None:
        """Remember that a law was checked for a feature at these bars."""
        self._mask(self._checked, law, place)[rows] = True

    def note(
        self,
        law: Law,
        place: int,
        rows: npt.NDArray[np.int64],
        apart: FloatArray,
        allowed: float = 0.0,
    ) -> None:
        """Remember the rows of a feature that lie further apart than allowed."""
        far = apart > allowed
        if far.any():
            self._mask(self._bad, law, place)[rows[far]] = True
            known = self._largest.get((place, law), 0.0)
            self._largest[place, law] = max(known, float(apart[far].max()))

    def _mask(
        self, masks: dict[tuple[int, Law], npt.NDArray[np.bool_]], law: Law, place: int
    ) -> npt.NDArray[np.bool_]:
        return masks.setdefault((place, law), np.zeros(len(self.bars), dtype=bool))

    def findings(self) -> tuple[Finding, ...]:
        """One finding a feature."""
        times = self.bars.timestamps
        found = []
        for place, column in enumerate(self.features.columns):
            broken = {law: bad for law in Law if (bad := self._bad.get((place, law))) is not None}
            if Law.PREFIX in broken or Law.FUTURE in broken:
                broken.pop(Law.START, None)
            breaches = tuple(
                Breach(law, times[int(bad.argmax())], int(bad.sum()), self._largest[place, law])
                for law, bad in broken.items()
            )
            counts = {law: int(self._mask(self._checked, law, place).sum()) for law in Law}
            found.append(Finding(column.name, column.memory, counts, breaches))
        return tuple(found)


def _whole_series(tally: _Tally, matrix: Matrix, *, ends: int, seed: int, listen: Listen) -> None:
    """PREFIX and FUTURE from the beginning: nothing up to t may change, bit for bit."""
    features, bars = tally.features, tally.bars
    other = rewritten(bars, seed)
    picked = _spread(features.memory, len(bars) - 2, ends)
    for done, t in enumerate(picked.tolist()):
        listen("whole series", done, len(picked))
        until, after = bars.slice(0, t + 1), other.slice(t + 1, len(bars))
        for law, some in ((Law.PREFIX, until), (Law.FUTURE, _joined(until, after))):
            values = features.compute(some)
            for place in range(matrix.shape[1]):
                tally.checked(law, place, picked[done : done + 1])
                was, now = matrix[: t + 1, place], values[: t + 1, place]
                # Equal bytes are the usual case, and quickly seen.
                if not np.array_equal(was.view(np.uint32), now.view(np.uint32)):
                    apart = distance(now, was, tally.sizes[place])
                    tally.note(law, place, np.arange(t + 1), apart)
    listen("whole series", len(picked), len(picked))


def _levels(tally: _Tally, matrix: Matrix) -> None:
    """LEVEL: prices and volumes on their own, as a feature may divide one by the other."""
    rows = np.arange(len(tally.bars))
    for other in (scaled(tally.bars, prices=4.0), scaled(tally.bars, volumes=8.0)):
        values = tally.features.compute(other)
        for place in range(matrix.shape[1]):
            apart = distance(values[:, place], matrix[:, place], tally.sizes[place])
            tally.note(Law.LEVEL, place, rows, apart, TOLERANCE)
            tally.checked(Law.LEVEL, place, rows)


def _every_row(tally: _Tally, matrix: Matrix, rows: int, listen: Listen) -> None:
    """START, and PREFIX from the memory, at every warmed-up row of each feature."""
    bars, n = tally.bars, len(tally.bars)
    groups = [
        (some, places, _spread(memory, n - 1, rows or n))
        for some, places, memory in by_memory(tally.features)
    ]
    done, total = 0, sum(len(picked) for *_, picked in groups)

    def move() -> None:
        nonlocal done
        done += 1
        listen("every bar", done, total)

    for some, places, picked in groups:
        short = alone(some, bars, picked, done=move)
        whole = matrix[picked][:, places]
        apart = distance(short, whole, tally.sizes[places])
        # Where a row is the same bit for bit as with all earlier and later bars, it uses none of
        # them. The others may differ by the rounding of what came before: those are looked at
        # from the same start with later bars.
        unsure = np.flatnonzero((apart > 0).any(axis=1))
        longer = alone(some, bars, picked[unsure], later=max(some.memory, AHEAD))
        ahead = distance(longer, short[unsure], tally.sizes[places])
        for i, place in enumerate(places):
            for law in (Law.PREFIX, Law.START):
                tally.checked(law, place, picked)
            tally.note(Law.PREFIX, place, picked[unsure], ahead[:, i])
            tally.note(Law.START, place, picked, apart[:, i], TOLERANCE)


def rewritten(bars: Bars, seed: int) -> Bars:
    """Bars of the same times with random prices and volumes near the real ones, still valid."""
    rng = np.random.default_rng(seed)
    n = len(bars)
    open_, close = (x * np.exp(rng.normal(0.0, 0.05, n)) for x in (bars.open, bars.close))
    return replace(
        bars,
        open=open_,
        close=close,
        high=np.maximum(open_, close) * np.exp(np.abs(rng.normal(0.0, 0.02, n))),
        low=np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0.0, 0.02, n))),
        # Bars without any volume get one, too: whether there will be trades is not known either.
        volume=(bars.volume.mean() or 1.0) * rng.lognormal(0.0, 1.0, n),
    )


def _joined(a: Bars, b: Bars) -> Bars:
    names = ("time_ns", *PRICES, "volume", "missing")
    arrays = {name: np.concatenate([getattr(a, name), getattr(b, name)]) for name in names}
    return Bars(a.symbol, a.interval, a.calendar, **arrays)


def _spread(first: int, last: int, count: int) -> npt.NDArray[np.int64]:
    """At most so many whole numbers from `first` to `last`, both included."""
    return np.unique(np.linspace(first, last, min(count, last - first + 1)).astype(np.int64))
