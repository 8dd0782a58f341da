"""Cross-validators for labelled bars, with a purge of overlapping labels and an embargo.

The label of row i is read from the bars of the CLOSED interval ``[t0[i], t1[i]]``, its label span.
Both ends are bar positions, not row numbers, so that a hole between two rows counts with its true
length. A model that is trained on a row whose label span touches that of a test row has seen part
of the answer.

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
from numpy.typing import ArrayLike

from trainer.arrays import IntArray
from trainer.errors import TrainerError

Split = tuple[IntArray, IntArray]

#: More splits than this are refused: C(N, k) grows so fast that a typing error would never end.
_MAX_SPLITS = 10_000


class _PurgedSplitter:
    """Base of the splitters: scikit-learn's two methods, and the check of the arguments."""

    n_splits: int
    _argument = "n_splits"  # name of the argument that `_plan` takes as `number`
    _extra_blocks = 0  # blocks of rows in addition to that number
    _k = 1  # blocks tested at once
    _min_train = 1

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:
        """Return the number of splits; the arguments are ignored, as in scikit-learn."""
        return self.n_splits

    def split(
        self, X: Sized | None = None, y: object = None, groups: object = None
    ) -> Iterator[Split]:
        """Yield ``(train, test)`` row indices, increasing and int64, earliest test rows first.

        ``X``, if given, must have one row for each label span; the other arguments are ignored.
        """
        if X is not None and len(X) != self.t0.size:
            raise TrainerError(
                f"`X` must have as many rows as `t0`, got {len(X)} and {self.t0.size}; "
                "build the splitter from the label intervals of these very rows"
            )
        return self._plan(getattr(self, self._argument), self.embargo)

    def _plan(self, number: int, embargo: int) -> Iterator[Split]:
        """Yield the splits for a number of blocks and an embargo, whatever the arguments were."""
        bounds = _bounds(self.t0.size, number)
        gap = max(embargo, self.lookback - 1)
        for chosen in combinations(range(number), self._k):
            keep = np.ones(self.t0.size, dtype=bool)  # (n,)
            # Neighbouring blocks need not be merged: one by one they drop the same rows.
            for fold in chosen:
                block = slice(bounds[fold], bounds[fold + 1])
                first, last = int(self.t0[block][0]), int(self.t1[block].max())
                keep &= (self.t1 < first) | (self.t0 > last + gap)
            test = np.concatenate([np.arange(bounds[f], bounds[f + 1]) for f in chosen])
            yield np.flatnonzero(keep), test

    def _prepare(self, embargo: int, lookback: int, t0: ArrayLike, t1: ArrayLike) -> None:
        """Store the arguments, or raise with numbers that would work."""
        self.embargo = _whole("embargo", embargo, "0 bars", "use 0 for none")
        self.lookback = _whole("lookback", lookback, "1 bars", "use 1 for rows without a window")
        self.t0, self.t1 = _label_spans(t0, t1)
        number = getattr(self, self._argument)
        problem = self._problem(number, self.embargo)
        if problem is not None:
            raise TrainerError(f"{problem}; {self._way_out(number)}")

    def _way_out(self, number: int) -> str:
        """Return the largest embargo and the nearest number of blocks that would work, as text."""
        # A smaller embargo never drops more rows, so the largest that works is found by bisection.
        embargoes = range(min(self.embargo, 2**62))  # `bisect_left` counts no further
        fails = bisect_left(embargoes, True, key=lambda e: self._problem(number, e) is not None)
        ways = [f"`embargo`={fails - 1}"] if fails else []
        most = max(self._k + 1, min(self.t0.size, number + 5))
        near = np.unique(np.geomspace(self._k + 1, most, 400).astype(int))
        near = near[np.argsort(np.abs(near - number), kind="stable")]
        works = (int(n) for n in near if self._problem(int(n), self.embargo) is None)
        ways += [f"`{self._argument}`={n}" for n in islice(works, 1)]
        return (
            f"use {' or '.join(ways)}" if ways else "use more rows, or shorter labels or lookback"
        )

    def _problem(self, number: int, embargo: int) -> str | None:
        """Return why these numbers do not work, as part of a sentence, or None if they do."""
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
    """K-fold on contiguous blocks of rows, purged on both sides and embargoed after the block.

    A training row is kept only if ``t1 < T0`` or ``t0 > T1 + gap``, where ``T0`` is the first
    ``t0`` and ``T1`` the largest ``t1`` of the test block, and ``gap = max(embargo, lookback - 1)``
    counts bars after the END of the last test label. Before the block only the purge applies: a
    test row whose window contains training bars has not seen the future.

    Parameters
    ----------
    n_splits : int, default 5
        Number of test blocks, >= 2. The first ``n % n_splits`` blocks have one row more, as in
        ``sklearn.model_selection.KFold``.
    embargo : int, default 100
        Bars after the last test label that are not trained on, >= 0 and fewer than the shortest
        block has.
    lookback : int, default 1
        Bars from which the features of one row are read, including its own (the window of a
        sequence model), >= 1. No training window contains a bar of a test label.
    t0, t1 : int arrays of shape (n,)
        First and last bar of each label span. ``t0`` is strictly increasing and ``t1 >= t0``.
        ``t1`` need not increase (triple barrier).

    Raises
    ------
    TrainerError
        If an argument breaks its rule, or the purge would leave a split without training rows. The
        text names the largest embargo and the nearest number of splits that would work.

    Examples
    --------
    Ten rows on ten bars, each with a label that ends two bars later. The block of rows 4 and 5 has
    ``T0 = 4`` and ``T1 = 7``. Rows 2 and 3 are purged, because their labels end at bars 4 and 5.
    Rows 6 and 7 are purged, because they start at or before bar 7. Row 8 is in the embargo of one
    bar:

    >>> t0 = np.arange(10)
    >>> for train, test in PurgedKFold(5, embargo=1, t0=t0, t1=t0 + 2).split():
    ...     print(test, "tests a model of", train)
    [0 1] tests a model of [5 6 7 8 9]
    [2 3] tests a model of [7 8 9]
    [4 5] tests a model of [0 1 9]
    [6 7] tests a model of [0 1 2 3]
    [8 9] tests a model of [0 1 2 3 4 5]

    A window of three bars needs a gap of two bars, so that it contains no bar of a test label:

    >>> folds = PurgedKFold(5, embargo=1, lookback=3, t0=t0, t1=t0 + 2)
    >>> [train.tolist() for train, _ in folds.split()][0]
    [6, 7, 8, 9]
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

    The rule of `PurgedKFold` applies around each contiguous test block. ``n_splits = C(N, k)``
    splits give ``n_paths = C(N, k) k / N`` complete histories. Their spread shows dispersion and
    is not a standard error. Parameters and errors are those of `PurgedKFold`, with
    ``n_test_folds`` from 1 to ``n_folds - 1`` and at most 10,000 splits.

    Examples
    --------
    Four blocks of three rows, two of them tested at a time: six splits, and three paths.

    >>> t0 = np.arange(12)
    >>> folds = CombinatorialPurgedKFold(4, 2, embargo=0, t0=t0, t1=t0 + 1)
    >>> folds.n_splits, folds.n_paths
    (6, 3)
    >>> for train, test in folds.split():
    ...     print(test, "tests a model of", train)
    [0 1 2 3 4 5] tests a model of [ 7  8  9 10 11]
    [0 1 2 6 7 8] tests a model of [ 4 10 11]
    [ 0  1  2  9 10 11] tests a model of [4 5 6 7]
    [3 4 5 6 7 8] tests a model of [ 0  1 10 11]
    [ 3  4  5  9 10 11] tests a model of [0 1 7]
    [ 6  7  8  9 10 11] tests a model of [0 1 2 3 4]

    The first path takes block 0 from split 0, block 1 from split 0, block 2 from split 1 and
    block 3 from split 2:

    >>> folds.paths().tolist()
    [[0, 0, 1, 2], [1, 3, 3, 4], [2, 4, 5, 5]]
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

    def fold_rows(self) -> list[IntArray]:
        """Return the row indices of each of the ``n_folds`` blocks."""
        return np.split(np.arange(self.t0.size), _bounds(self.t0.size, self.n_folds)[1:-1])

    def paths(self) -> IntArray:
        """Return the split that supplies each block of each path, shape (n_paths, n_folds).

        Entry ``[p, g]`` is the position, in the order of `split`, of the split whose predictions
        for block ``g`` (`fold_rows`) belong to path ``p``. Each prediction is used exactly once.
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

    The first block is for training only. Each later block is tested once, by a model of all
    earlier rows with ``t1 < T0``, where ``T0`` is its first ``t0``. Embargo and lookback are not
    needed, because no row after the block is trained on.

    Parameters
    ----------
    n_splits : int, default 5
        Number of test blocks, >= 2.
    t0, t1 : int arrays of shape (n,)
        As in `PurgedKFold`.
    min_train : int, default 1
        Least number of training rows of a split.

    Raises
    ------
    TrainerError
        As in `PurgedKFold`, and if a split has fewer than ``min_train`` training rows.

    Examples
    --------
    Three blocks of four rows with labels that end two bars later. The last two rows before each
    block are purged:

    >>> t0 = np.arange(12)
    >>> for train, test in PurgedWalkForward(2, t0=t0, t1=t0 + 2).split():
    ...     print(test, "tests a model of", train)
    [4 5 6 7] tests a model of [0 1]
    [ 8  9 10 11] tests a model of [0 1 2 3 4 5]
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

    Parameters
    ----------
    t0, t1 : int arrays of shape (n,)
        As in `PurgedKFold`. There may be holes between the rows, as in the training rows of a
        fold.
    fraction : float
        Share of the rows in the tail, between 0 and 1; rounded to whole rows, at least one.

    Returns
    -------
    train, tail : int64 arrays
        Training rows have ``t1 <`` the first ``t0`` of the tail.

    Raises
    ------
    TrainerError
        If no training rows are left. The text names the largest fraction that would work.

    Examples
    --------
    Ten rows with labels that end two bars later. The tail starts at bar 7, so that rows 5 and 6
    are purged:

    >>> t0 = np.arange(10)
    >>> train, tail = purged_tail(t0, t0 + 2, fraction=0.3)
    >>> train.tolist(), tail.tolist()
    ([0, 1, 2, 3, 4], [7, 8, 9])
    """
    first, last = _label_spans(t0, t1)
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
    """Return the SHA-256 of all index arrays in order: equal plans have equal digests."""
    digest = hashlib.sha256()
    for rows in (rows for pair in splits for rows in pair):
        index = np.asarray(rows).astype("<i8")
        # With the size, a row that moves from one array to the next changes the digest.
        digest.update(index.size.to_bytes(8, "little"))
        digest.update(index.tobytes())
    return digest.hexdigest()


def _bounds(n_rows: int, n_blocks: int) -> IntArray:
    """Return the ``n_blocks + 1`` boundaries of nearly equal blocks, the longer ones first."""
    number = np.arange(n_blocks + 1)
    return number * (n_rows // n_blocks) + np.minimum(number, n_rows % n_blocks)


def _whole(name: str, value: object, rule: str, way_out: str) -> int:
    """Return a count that is at least the number with which ``rule`` begins; refuse fractions."""
    least = int(rule.split()[0])
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise TrainerError(f"`{name}` must be a whole number >= {rule}, got {value!r}; {way_out}")
    return int(value)


def _label_spans(t0: ArrayLike, t1: ArrayLike) -> tuple[IntArray, IntArray]:
    """Return both ends of the label spans as int64, or raise."""
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
