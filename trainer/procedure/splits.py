"""Cross-validators for labelled bars that purge overlapping labels and embargo what follows them.

Row i carries a label read from the bars of the CLOSED interval ``[t0[i], t1[i]]``. Both are bar
positions, not row numbers, so a hole between two rows counts at its true length. A model trained
on a row whose interval touches a test label has seen part of the answer.

References
----------
Lopez de Prado, M. (2018). Advances in Financial Machine Learning, ch. 7 (purge and embargo) and
ch. 12 (combinatorial purged cross-validation). Wiley.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sized
from itertools import combinations, islice, pairwise
from math import comb
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainer.errors import TrainerError

Index = NDArray[np.int64]
Split = tuple[Index, Index]

_MAX_SPLITS = 10_000  # C(N, k) grows so fast that a typing error would never come back


class _PurgedSplitter:
    """What the splitters share: scikit-learn's two methods, and refusals that name a way out."""

    n_splits: int
    _argument = "n_splits"  # the argument that `_plan` takes as `number`
    _extra_blocks = 0  # blocks of rows beyond that number
    _k = 1  # blocks tested at once
    _min_train = 1

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:
        """Return the number of splits; the arguments are ignored, as in scikit-learn."""
        return self.n_splits

    def split(
        self, X: Sized | None = None, y: object = None, groups: object = None
    ) -> Iterator[Split]:
        """Yield ``(train, test)`` row indices, increasing and int64, earliest test rows first.

        ``X``, if given, must have one row for each label interval; the rest is ignored.
        """
        if X is not None and len(X) != self.t0.size:
            raise TrainerError(
                f"`X` must have as many rows as `t0`, got {len(X)} and {self.t0.size}; "
                "build the splitter from the label intervals of these very rows"
            )
        return self._plan(getattr(self, self._argument), self.embargo)

    def _plan(self, number: int, embargo: int) -> Iterator[Split]:
        bounds = _bounds(self.t0.size, number)
        gap = max(embargo, self.lookback - 1)
        for chosen in combinations(range(number), self._k):
            keep = np.ones(self.t0.size, dtype=bool)
            for fold in chosen:  # neighbours need no merging: apart they drop the same rows
                block = slice(bounds[fold], bounds[fold + 1])
                first, last = int(self.t0[block][0]), int(self.t1[block].max())
                keep &= (self.t1 < first) | (self.t0 > last + gap)
            test = np.concatenate([np.arange(bounds[f], bounds[f + 1]) for f in chosen])
            yield np.flatnonzero(keep), test

    def _prepare(self, embargo: int, lookback: int, t0: ArrayLike, t1: ArrayLike) -> None:
        """Keep the arguments, or refuse them with numbers that would work instead."""
        self.embargo = _whole("embargo", embargo, "0 bars", "use 0 for none")
        self.lookback = _whole("lookback", lookback, "1 bars", "use 1 for rows without a window")
        self.t0, self.t1 = _intervals(t0, t1)
        number = getattr(self, self._argument)
        problem = self._problem(number, self.embargo)
        if problem is None:
            return
        # A smaller embargo never drops more rows, so the largest that works can be bisected.
        tries = range(min(self.embargo, 2**62))  # what `bisect_left` can count
        fails = bisect_left(tries, True, key=lambda e: self._problem(number, e) is not None)
        ways = [f"`embargo`={fails - 1}"] if fails else []
        most = max(self._k + 1, min(self.t0.size, number + 5))
        near = np.unique(np.geomspace(self._k + 1, most, 400).astype(int))
        near = near[np.argsort(np.abs(near - number), kind="stable")]
        works = (int(n) for n in near if self._problem(int(n), self.embargo) is None)
        ways += [f"`{self._argument}`={n}" for n in islice(works, 1)]
        way_out = (
            f"use {' or '.join(ways)}" if ways else "use more rows, or shorter labels or lookback"
        )
        raise TrainerError(f"{problem}; {way_out}")

    def _problem(self, number: int, embargo: int) -> str | None:
        """Say in half a sentence why these numbers do not work, or return None."""
        rows, name, blocks = self.t0.size, self._argument, number + self._extra_blocks
        if rows < blocks:
            return f"`{name}`={number} must cut the rows into {blocks} blocks, got {rows} rows"
        if (splits := comb(number, self._k)) > _MAX_SPLITS:
            return f"`{name}`={number} must give at most {_MAX_SPLITS} splits, got {splits}"
        bounds = _bounds(rows, blocks)
        shortest = int((self.t0[bounds[1:] - 1] - self.t0[bounds[:-1]]).min()) + 1
        if embargo >= shortest:
            return (
                f"`embargo` must be smaller than the shortest fold, which has {shortest} bars at "
                f"`{name}`={number}, got {embargo}"
            )
        for split, (train, _) in enumerate(self._plan(number, embargo)):
            if train.size < self._min_train:
                return (
                    f"`{name}`={number} must leave >= {self._min_train} training rows in every "
                    f"split after the purge, got {train.size} in split {split} of {rows} rows"
                )
        return None


class PurgedKFold(_PurgedSplitter):
    """K-fold on contiguous blocks of rows, purged on both sides and embargoed after.

    A training row is kept only if ``t1 < T0`` or ``t0 > T1 + gap``, where ``T0`` is the first
    ``t0`` and ``T1`` the largest ``t1`` of the test block, and ``gap = max(embargo, lookback - 1)``
    counts bars after the END of the last test label. Before the block only the purge acts: a
    test row that looks back at training bars has not seen the future.

    Parameters
    ----------
    n_splits
        Number of test blocks, >= 2; the first ``n % n_splits`` have one row more, as in
        ``sklearn.model_selection.KFold``.
    embargo
        Bars left out after the last test label, >= 0 and less than the shortest block has.
    lookback
        Bars that one row's features are read from, itself included (a sequence model's window),
        >= 1: no training window may read the bars of a test label.
    t0, t1
        First and last bar of each row's label, integers of shape (n,); ``t0`` strictly
        increasing, ``t1 >= t0``. ``t1`` need not increase (triple barrier).

    Raises
    ------
    TrainerError
        If an argument breaks its rule, or purging would leave a split without training rows; the
        text names the largest embargo and the nearest number of splits found that would work.
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        embargo: int = 100,
        lookback: int = 1,
        t0: ArrayLike,
        t1: ArrayLike,
    ) -> None:
        self.n_splits = _whole("n_splits", n_splits, "2", "use 5 if in doubt")
        self._prepare(embargo, lookback, t0, t1)


class CombinatorialPurgedKFold(_PurgedSplitter):
    """Purged k-fold that tests on every choice of ``n_test_folds`` out of ``n_folds`` blocks.

    The rule of `PurgedKFold` holds around each contiguous test block. ``n_splits = C(N, k)``
    splits make ``n_paths = C(N, k) k / N`` complete histories; their spread shows dispersion and
    is not a standard error. Parameters and refusals are those of `PurgedKFold`, with
    ``n_test_folds`` from 1 to ``n_folds - 1`` and at most 10,000 splits.
    """

    _argument = "n_folds"

    def __init__(
        self,
        n_folds: int = 6,
        n_test_folds: int = 2,
        *,
        embargo: int = 100,
        lookback: int = 1,
        t0: ArrayLike,
        t1: ArrayLike,
    ) -> None:
        self.n_folds = _whole("n_folds", n_folds, "2", "use 6 if in doubt")
        self._k = self.n_test_folds = _whole("n_test_folds", n_test_folds, "1", "use 2 if in doubt")
        self.n_splits = comb(self.n_folds, self._k)
        self.n_paths = self.n_splits * self._k // self.n_folds
        if self._k >= self.n_folds:
            rule = f"`n_test_folds` must be smaller than `n_folds`={n_folds}, got {n_test_folds}"
            raise TrainerError(f"{rule}; use at most {self.n_folds - 1}")
        self._prepare(embargo, lookback, t0, t1)

    def fold_rows(self) -> list[Index]:
        """Return the row indices of each of the ``n_folds`` blocks."""
        return np.split(np.arange(self.t0.size), _bounds(self.t0.size, self.n_folds)[1:-1])

    def paths(self) -> Index:
        """Return an array (n_paths, n_folds): which split supplies each block of each path.

        Entry ``[p, g]`` is the position, in the order of `split`, of the split whose predictions
        for block ``g`` (`fold_rows`) belong to path ``p``; each is used exactly once.
        """
        table = np.empty((self.n_paths, self.n_folds), dtype=np.int64)
        used = [0] * self.n_folds
        for number, chosen in enumerate(combinations(range(self.n_folds), self._k)):
            for fold in chosen:
                table[used[fold], fold] = number
                used[fold] += 1
        return table


class PurgedWalkForward(_PurgedSplitter):
    """Walk-forward on ``n_splits + 1`` equal blocks of rows: train on the past, test the next one.

    The first block is training only; each later block is tested once, by a model trained on all
    earlier rows with ``t1 < T0``, its first ``t0``. Embargo and lookback are not needed, because
    nothing after the block is trained on. `TrainerError` as in `PurgedKFold`, and if a split has
    fewer than ``min_train`` training rows.
    """

    _extra_blocks = 1

    def __init__(
        self, n_splits: int = 5, *, t0: ArrayLike, t1: ArrayLike, min_train: int = 1
    ) -> None:
        self.n_splits = _whole("n_splits", n_splits, "2", "use 5 if in doubt")
        self._min_train = _whole("min_train", min_train, "1 rows", "use 1 for no minimum")
        self._prepare(0, 1, t0, t1)

    def _plan(self, number: int, embargo: int) -> Iterator[Split]:
        bounds = _bounds(self.t0.size, number + 1)
        for begin, end in pairwise(bounds[1:]):
            yield np.flatnonzero(self.t1[:begin] < self.t0[begin]), np.arange(begin, end)


def purged_tail(t0: ArrayLike, t1: ArrayLike, fraction: float) -> Split:
    """Return ``(train, tail)`` row indices: the last rows for early stopping, the others purged.

    The tail is ``fraction`` of the rows (0 < fraction < 1, rounded, at least one); training rows
    have ``t1 <`` its first ``t0``. The rows may have holes, as a fold's training rows do.
    `TrainerError` names the largest fraction that would work if no training rows are left.
    """
    first, last = _intervals(t0, t1)
    rows = first.size
    if not 0 < fraction < 1:
        raise TrainerError(f"`fraction` must be > 0 and < 1, got {fraction}; use 0.2 if in doubt")
    begin = min(rows - 1, round((1 - fraction) * rows))
    train = np.flatnonzero(last[:begin] < first[begin]) if begin > 0 else np.arange(0)
    if not train.size:
        fits = np.flatnonzero(np.minimum.accumulate(last)[:-1] < first[1:])
        way_out = f"use {(rows - 1 - fits[0]) / rows:.6f} or less" if fits.size else "use more rows"
        raise TrainerError(
            f"`fraction` must leave training rows before the tail, got {fraction} of {rows} rows; "
            f"{way_out}"
        )
    return train, np.arange(begin, rows)


def plan_digest(splits: Iterable[tuple[ArrayLike, ArrayLike]]) -> str:
    """Return the sha256 of all index arrays in order, so that two models can show one fold plan."""
    digest = hashlib.sha256()
    for rows in (rows for pair in splits for rows in pair):
        index = np.asarray(rows).astype("<i8")
        digest.update(index.size.to_bytes(8, "little"))  # so that moving a boundary shows
        digest.update(index.tobytes())
    return digest.hexdigest()


def _bounds(n_rows: int, n_blocks: int) -> Index:
    """Return the ``n_blocks + 1`` boundaries of nearly equal blocks, the longer ones first."""
    number = np.arange(n_blocks + 1)
    return number * (n_rows // n_blocks) + np.minimum(number, n_rows % n_blocks)


def _whole(name: str, value: object, rule: str, way_out: str) -> int:
    """Return a count that is at least the number ``rule`` begins with; fractions are refused."""
    least = int(rule.split()[0])
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise TrainerError(f"`{name}` must be a whole number >= {rule}, got {value!r}; {way_out}")
    return int(value)


def _intervals(t0: ArrayLike, t1: ArrayLike) -> tuple[Index, Index]:
    """Return both ends of the label intervals as int64, or say what is wrong with them."""
    first, last = np.asarray(t0), np.asarray(t1)
    kinds = {first.dtype.kind, last.dtype.kind}
    if first.ndim != 1 or first.shape != last.shape or kinds - {"i", "u"}:
        raise TrainerError(
            "`t0` and `t1` must be one-dimensional integer arrays of the same length, got "
            f"{first.dtype}{first.shape} and {last.dtype}{last.shape}; use bar positions"
        )
    first, last = first.astype(np.int64), last.astype(np.int64)
    bad = np.flatnonzero(np.diff(first) <= 0)
    if bad.size:
        raise TrainerError(
            f"`t0` must be strictly increasing, got {first[bad[0] + 1]} after {first[bad[0]]}; "
            "sort the rows by time and remove duplicates"
        )
    bad = np.flatnonzero(last < first)
    if bad.size:
        raise TrainerError(
            f"`t1` must be >= `t0` in every row, got [{first[bad[0]]}, {last[bad[0]]}]; "
            "a label cannot end before it starts"
        )
    return first, last
