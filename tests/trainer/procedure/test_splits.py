"""Splits: compared index by index with a slow implementation of the rule, and by hand."""

import hashlib
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score

from trainer.errors import TrainerError
from trainer.procedure.splits import (
    CombinatorialPurgedKFold,
    PurgedKFold,
    PurgedWalkForward,
    plan_digest,
    purged_tail,
)


def bars(n, length):
    """Rows on every bar with labels that end `length` bars later."""
    t0 = np.arange(n)
    return {"t0": t0, "t1": t0 + length}


def runs(rows):
    """Cut increasing row numbers into runs of neighbours."""
    out = [[rows[0]]]
    for row in rows[1:]:
        if row == out[-1][-1] + 1:
            out[-1].append(row)
        else:
            out.append([row])
    return out


def slow_train(t0, t1, test, embargo, lookback):
    """Return which rows may train: bar by bar and row by row, without inequalities."""
    kept = []
    for i in range(len(t0)):
        if i in test:
            continue
        fine = True
        for block in runs(test):
            latest_end = max(t1[j] for j in block)
            answers = set(range(t0[block[0]], latest_end + 1))
            if answers & set(range(t0[i], t1[i] + 1)):
                fine = False  # the label is read from bars of the test labels
            if t0[i] in set(range(latest_end + 1, latest_end + embargo + 1)):
                fine = False  # too soon after the last test label has ended
            if i > block[-1] and answers & set(range(t0[i] - lookback + 1, t0[i] + 1)):
                fine = False  # the window of the row reads bars of the test labels
        if fine:
            kept.append(i)
    return kept


def slow_blocks(n, k):
    blocks, start = [], 0
    for number in range(k):
        size = n // k + (1 if number < n % k else 0)
        blocks.append(list(range(start, start + size)))
        start += size
    return blocks


@st.composite
def labelled_rows(draw):
    """Rows with holes between them and labels that end in any order, as triple barriers do."""
    n = draw(st.integers(12, 45))
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 2, 5]), min_size=n, max_size=n))
    lengths = draw(st.lists(st.integers(0, 9), min_size=n, max_size=n))
    t0 = np.cumsum(steps) + draw(st.integers(0, 50))
    return t0, t0 + np.array(lengths)


def refused_rightly(t0, t1, tests, blocks, embargo, lookback):
    short = min(t0[b[-1]] - t0[b[0]] + 1 for b in blocks)
    return embargo >= short or any(not slow_train(t0, t1, t, embargo, lookback) for t in tests)


@given(labelled_rows(), st.integers(2, 5), st.integers(0, 8), st.integers(1, 9))
def test_purged_k_fold_is_the_slow_rule(rows, n_splits, embargo, lookback):
    t0, t1 = rows
    blocks = slow_blocks(len(t0), n_splits)
    try:
        folds = PurgedKFold(n_splits, embargo=embargo, lookback=lookback, t0=t0, t1=t1)
    except TrainerError:
        assert refused_rightly(t0, t1, blocks, blocks, embargo, lookback)
        return
    assert not refused_rightly(t0, t1, blocks, blocks, embargo, lookback)
    got = [(train.tolist(), test.tolist()) for train, test in folds.split()]
    assert got == [(slow_train(t0, t1, b, embargo, lookback), b) for b in blocks]


@given(labelled_rows(), st.sampled_from([(4, 2), (5, 2), (5, 3), (6, 2)]), st.integers(0, 4))
def test_combinatorial_is_the_slow_rule_around_each_run_of_test_blocks(rows, sizes, embargo):
    (t0, t1), (n_folds, k) = rows, sizes
    blocks = slow_blocks(len(t0), n_folds)
    tests = []
    for bits in range(2**n_folds):
        chosen = [g for g in range(n_folds) if bits >> g & 1]
        if len(chosen) == k:
            tests.append((chosen, [row for g in chosen for row in blocks[g]]))
    tests = [test for _, test in sorted(tests)]
    try:
        folds = CombinatorialPurgedKFold(n_folds, k, embargo=embargo, lookback=3, t0=t0, t1=t1)
    except TrainerError:
        assert refused_rightly(t0, t1, tests, blocks, embargo, 3)
        return
    got = [(train.tolist(), test.tolist()) for train, test in folds.split()]
    assert got == [(slow_train(t0, t1, t, embargo, 3), t) for t in tests]


@given(labelled_rows(), st.integers(2, 5))
def test_walk_forward_is_the_slow_rule_on_earlier_rows(rows, n_splits):
    t0, t1 = rows
    blocks = slow_blocks(len(t0), n_splits + 1)
    expected = []
    for block in blocks[1:]:
        earlier = [i for i in slow_train(t0, t1, block, 0, 1) if i < block[0]]
        expected.append((earlier, block))
    try:
        folds = PurgedWalkForward(n_splits, t0=t0, t1=t1)
    except TrainerError:
        assert any(not train for train, _ in expected)
        return
    assert [(train.tolist(), test.tolist()) for train, test in folds.split()] == expected


# Hand-counted cases, one for each known wrong version. Block 1 of 5 holds rows 20 to 39.


def second_fold(**arguments):
    _, (train, test), *_ = PurgedKFold(5, **arguments).split()
    assert test.tolist() == list(range(20, 40))
    return [row for row in train if row < 20], [row for row in train if row >= 40]


def test_purge_on_both_sides_to_the_bar():
    # t1 = t0 + 3: row 16 ends on bar 19, row 17 on bar 20, the first test bar. The last test
    # label ends on bar 42, so row 43 is the first that does not touch it.
    before, after = second_fold(embargo=0, **bars(100, 3))
    assert before == list(range(17))
    assert after == list(range(43, 100))


def test_embargo_is_counted_from_the_end_of_the_last_label_and_only_after():
    # From the last test ROW (bar 39) an embargo of 2 would vanish in the purge.
    before, after = second_fold(embargo=2, **bars(100, 3))
    assert before == list(range(17))
    assert after == list(range(45, 100))


def test_embargo_counts_bars_not_rows():
    # A hole of 50 bars after row 44: the embargo of 10 bars ends inside it.
    t0 = np.arange(100) + 50 * (np.arange(100) > 44)
    before, after = second_fold(embargo=10, t0=t0, t1=t0 + 3)
    assert before == list(range(17))
    assert after == list(range(45, 100))


def test_embargo_does_not_grow_with_the_number_of_rows():
    for n in (100, 1000):
        plan = list(PurgedKFold(5, embargo=4, **bars(n, 1)).split())
        train, test = plan[1]
        assert train[train > test[-1]][0] == test[-1] + 1 + 4 + 1


def test_latest_label_end_of_the_block_counts_not_the_last():
    t0 = np.arange(100)
    t1 = t0 + 1
    t1[25] = 60  # a triple barrier that was met late, inside the block
    before, after = second_fold(embargo=0, t0=t0, t1=t1)
    assert before == list(range(19))
    assert after == list(range(61, 100))


def test_long_label_before_the_block_is_purged_though_its_neighbours_stay():
    t0 = np.arange(100)
    t1 = t0 + 1
    t1[5] = 30
    t1[6] = 70  # spans the whole block
    before, _ = second_fold(embargo=0, t0=t0, t1=t1)
    assert before == [0, 1, 2, 3, 4, *range(7, 19)]


@pytest.mark.parametrize(
    ("embargo", "lookback", "first"), [(0, 1, 43), (0, 6, 48), (2, 6, 48), (7, 6, 50), (5, 6, 48)]
)
def test_gap_is_the_larger_of_embargo_and_lookback_less_one(embargo, lookback, first):
    before, after = second_fold(embargo=embargo, lookback=lookback, **bars(100, 3))
    assert before == list(range(17))
    assert after[0] == first


def test_window_from_the_end_of_the_first_test_label_would_leak_36_of_100_rows():
    # METHOD, "Purge and embargo": mlfinpy and old mlfinlab, h = 10. Counted over all folds: a
    # training row leaks if its label runs past the first bar of the test block.
    t0 = np.arange(100)
    t1 = t0 + 10
    wrong = right = 0
    for train, test in PurgedKFold(5, embargo=0, t0=t0, t1=t1).split():
        begin = t0[test[0]]
        others = np.setdiff1d(t0, test)
        kept_by_them = others[(t1[others] < t1[test[0]]) | (t0[others] > t1[test[-1]])]
        wrong += np.count_nonzero((t0[kept_by_them] < begin) & (t1[kept_by_them] > begin))
        right += np.count_nonzero((t0[train] < begin) & (t1[train] >= begin))
    assert (wrong, right) == (36, 0)


def test_defaults_are_five_splits_and_an_embargo_of_a_hundred_bars():
    folds = PurgedKFold(**bars(1000, 2))
    assert (folds.get_n_splits(), folds.embargo, folds.lookback) == (5, 100, 1)
    train, test = next(folds.split())
    assert test.tolist() == list(range(200))
    assert train[0] == 199 + 2 + 100 + 1


@pytest.mark.parametrize(("n", "k"), [(100, 5), (101, 5), (103, 5), (104, 5), (17, 3)])
def test_test_blocks_are_those_of_scikit_learn(n, k):
    ours = [test.tolist() for _, test in PurgedKFold(k, embargo=0, **bars(n, 0)).split()]
    assert ours == [test.tolist() for _, test in KFold(k).split(np.empty(n))]


def test_cross_val_score_and_grid_search_take_the_splitters():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    y = X @ [1.0, -2.0, 0.5]
    rows = bars(300, 5)
    for folds in (
        PurgedKFold(4, embargo=10, **rows),
        CombinatorialPurgedKFold(5, 2, embargo=10, **rows),
        PurgedWalkForward(4, **rows),
    ):
        scores = cross_val_score(LinearRegression(), X, y, cv=folds)
        assert len(scores) == folds.get_n_splits(X, y)
        assert scores == pytest.approx(1.0)
        search = clone(GridSearchCV(LinearRegression(), {"fit_intercept": [True]}, cv=folds))
        assert search.fit(X, y).best_score_ == pytest.approx(1.0)


def test_indices_are_int64_increasing_and_the_same_every_time():
    rows = {name: values.astype(np.int32) for name, values in bars(120, 4).items()}
    for folds in (
        PurgedKFold(4, embargo=3, **rows),
        CombinatorialPurgedKFold(embargo=3, **rows),
        PurgedWalkForward(4, **rows),
    ):
        for train, test in folds.split(np.empty((120, 2)), groups=None):
            for index in (train, test):
                assert index.dtype == np.int64
                assert (np.diff(index) > 0).all()
        assert plan_digest(folds.split()) == plan_digest(folds.split())


def test_walk_forward_by_hand():
    # 60 rows in six blocks of ten; labels end three bars later, so three rows before each block
    # are purged. The rows after a block are never trained on.
    folds = PurgedWalkForward(5, **bars(60, 3))
    plan = [(train.tolist(), test.tolist()) for train, test in folds.split()]
    assert plan == [(list(range(b - 3)), list(range(b, b + 10))) for b in range(10, 60, 10)]


def test_walk_forward_keeps_min_train():
    assert len(next(PurgedWalkForward(5, min_train=7, **bars(60, 3)).split())[0]) == 7
    with pytest.raises(TrainerError, match="must leave >= 8 training rows"):
        PurgedWalkForward(5, min_train=8, **bars(60, 3))


def test_combinatorial_counts_and_paths():
    # Lopez de Prado (2018), fig. 12.1 and 12.2: N = 6, k = 2 gives 15 splits and 5 paths.
    folds = CombinatorialPurgedKFold(6, 2, embargo=2, **bars(90, 3))
    assert (folds.n_splits, folds.get_n_splits(), folds.n_paths) == (15, 15, 5)
    assert folds.paths().tolist() == [
        [0, 0, 1, 2, 3, 4],
        [1, 5, 5, 6, 7, 8],
        [2, 6, 9, 9, 10, 11],
        [3, 7, 10, 12, 12, 13],
        [4, 8, 11, 13, 14, 14],
    ]


@pytest.mark.parametrize(("n_folds", "k", "n_paths"), [(6, 2, 5), (5, 3, 6), (4, 1, 1), (7, 2, 6)])
def test_paths_use_each_tested_block_of_each_split_once(n_folds, k, n_paths):
    folds = CombinatorialPurgedKFold(n_folds, k, embargo=0, **bars(20 * n_folds, 2))
    blocks, plan, paths = folds.fold_rows(), list(folds.split()), folds.paths()
    assert paths.shape == (n_paths, n_folds) == (folds.n_paths, n_folds)
    assert np.concatenate(blocks).tolist() == list(range(20 * n_folds))
    used = {(split, g) for path in paths for g, split in enumerate(path)}
    assert len(used) == paths.size
    for split, g in used:
        assert set(blocks[g]) <= set(plan[split][1])


def test_combinatorial_of_one_block_is_purged_k_fold():
    rows = bars(100, 3)
    one = CombinatorialPurgedKFold(5, 1, embargo=4, lookback=7, **rows)
    assert plan_digest(one.split()) == plan_digest(
        PurgedKFold(5, embargo=4, lookback=7, **rows).split()
    )


def test_combinatorial_training_rows_between_two_test_blocks():
    folds = CombinatorialPurgedKFold(4, 2, embargo=2, **bars(80, 3))
    plan = {(test[0], test[-1]): train.tolist() for train, test in folds.split()}
    # Blocks 0 and 2 (rows 0-19 and 40-59): what is left begins after 19 + 3 + 2.
    assert plan[(0, 59)] == [*range(25, 37), *range(65, 80)]
    # Blocks 1 and 2 are neighbours and act as one block.
    assert plan[(20, 59)] == [*range(17), *range(65, 80)]


@given(labelled_rows(), st.floats(0.01, 0.99))
def test_purged_tail_is_the_slow_rule(rows, fraction):
    t0, t1 = rows
    n = len(t0)
    try:
        train, tail = purged_tail(t0, t1, fraction)
    except TrainerError as error:
        most = re.search(r"use (\S+) or less", str(error))
        if most:
            purged_tail(t0, t1, float(most[1]))
        return
    assert tail.tolist() == list(range(n - len(tail), n))
    assert len(tail) >= 1
    assert abs(len(tail) - fraction * n) <= 0.5 or len(tail) == 1
    assert train.tolist() == [i for i in range(n) if i not in tail and t1[i] < t0[tail[0]]]


def test_purged_tail_by_hand_on_rows_with_a_hole():
    t0 = np.r_[0:40, 60:100]  # the training rows of a fold: the test block is cut out
    train, tail = purged_tail(t0, t0 + 3, 0.25)
    assert tail.tolist() == list(range(60, 80))
    assert train.tolist() == list(range(57))


def test_purged_tail_names_the_largest_fraction_that_works():
    with pytest.raises(TrainerError, match=r"`fraction` must leave .* use 0\.480000 or less"):
        purged_tail(np.arange(50), np.arange(50) + 25, 0.6)
    train, tail = purged_tail(np.arange(50), np.arange(50) + 25, 0.48)
    assert (train.tolist(), len(tail)) == ([0], 24)


def test_digest_is_the_same_for_every_integer_type_and_changes_with_every_index():
    rows = (np.array([0, 1, 2]), np.array([3, 4]))
    plan = [rows, (rows[1], rows[0])]
    digest = plan_digest(plan)
    content = b"".join(
        len(index).to_bytes(8, "little") + b"".join(int(i).to_bytes(8, "little") for i in index)
        for pair in plan
        for index in pair
    )
    assert digest == hashlib.sha256(content).hexdigest()
    for dtype in (np.int16, np.int32, np.uint64, ">i8"):
        assert plan_digest((a.astype(dtype), b.astype(dtype)) for a, b in plan) == digest
    assert plan_digest([([0, 1, 2], [3, 4]), ([3, 4], [0, 1, 2])]) == digest
    for other in (
        plan[::-1],
        plan[:1],
        [([0, 1], [2, 3, 4]), plan[1]],
        [([0, 1, 2], [3, 5]), plan[1]],
    ):
        assert plan_digest(other) != digest


# Refusals


def numbers_that_work(text):
    return {name: int(value) for name, value in re.findall(r"`(\w+)`=(\d+)", text.split("; ")[-1])}


@pytest.mark.parametrize(
    ("arguments", "embargo", "n_splits"),
    [
        ({"n_splits": 10, "embargo": 100, **bars(500, 5)}, 49, 4),
        ({"n_splits": 5, "embargo": 100, **bars(500, 5)}, 99, 4),
        ({"n_splits": 2, "embargo": 10, **bars(100, 45)}, 4, None),
        ({"n_splits": 600, "embargo": 0, **bars(500, 5)}, None, 500),
        ({"n_splits": 600, "embargo": 10, "lookback": 20, **bars(5000, 5)}, 7, 454),
        ({"n_splits": 20_000, "embargo": 0, **bars(30_000, 5)}, None, None),
        ({"n_splits": 5, "embargo": 0, "lookback": 80, **bars(100, 5)}, None, None),
    ],
)
def test_refusal_names_the_largest_embargo_and_a_number_of_splits_that_work(
    arguments, embargo, n_splits
):
    with pytest.raises(TrainerError) as caught:
        PurgedKFold(**arguments)
    numbers = numbers_that_work(str(caught.value))
    assert numbers.get("embargo") == embargo
    assert n_splits is None or numbers["n_splits"] == n_splits
    for name, value in numbers.items():
        PurgedKFold(**{**arguments, name: value})
    if embargo is not None:
        with pytest.raises(TrainerError):
            PurgedKFold(**{**arguments, "embargo": embargo + 1})


def test_refusal_texts():
    with pytest.raises(TrainerError) as caught:
        PurgedKFold(10, embargo=100, **bars(500, 5))
    assert str(caught.value) == (
        "`embargo` must be smaller than the shortest fold, which has 50 bars at `n_splits`=10, "
        "got 100; use `embargo`=49 or `n_splits`=4"
    )
    with pytest.raises(TrainerError) as caught:
        PurgedKFold(2, embargo=10, **bars(100, 45))
    assert str(caught.value) == (
        "`n_splits`=2 must leave >= 1 training rows in every split after the purge, got 0 in "
        "split 0 of 100 rows; use `embargo`=4"
    )
    with pytest.raises(TrainerError, match="use more rows, or shorter labels or lookback"):
        PurgedKFold(5, embargo=0, **bars(100, 200))


def test_shortest_fold_is_measured_in_bars():
    t0 = np.arange(50) * 10  # 10 rows a fold are 91 bars
    PurgedKFold(5, embargo=90, t0=t0, t1=t0)
    with pytest.raises(TrainerError, match="91 bars"):
        PurgedKFold(5, embargo=91, t0=t0, t1=t0)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: PurgedKFold(1, **bars(99, 1)), "`n_splits` must be a whole number >= 2, got 1"),
        (
            lambda: PurgedKFold(embargo=-3, **bars(99, 1)),
            "`embargo` must be a whole number >= 0 bars, got -3; use 0 for none",
        ),
        (
            lambda: PurgedKFold(embargo=0.01, **bars(99, 1)),
            "`embargo` must be a whole number >= 0 bars, got 0.01; use 0 for none",
        ),
        (
            lambda: PurgedKFold(embargo=True, **bars(99, 1)),
            "`embargo` must be a whole number >= 0 bars, got True",
        ),
        (
            lambda: PurgedKFold(lookback=0, **bars(99, 1)),
            "`lookback` must be a whole number >= 1 bars, got 0",
        ),
        (lambda: PurgedKFold(t0=[1, 2], t1=[3]), "integer arrays of the same length"),
        (lambda: PurgedKFold(t0=[1.0, 2.0], t1=[3.0, 4.0]), "must be one-dimensional integer"),
        (
            lambda: PurgedKFold(t0=[1, 3, 3], t1=[4, 4, 4]),
            "`t0` must be strictly increasing, got 3 after 3",
        ),
        (lambda: PurgedKFold(t0=[5, 4], t1=[9, 9]), "strictly increasing, got 4 after 5"),
        (
            lambda: PurgedKFold(t0=[1, 2, 3], t1=[4, 1, 4]),
            "`t1` must be >= `t0` in every row, got [2, 1]",
        ),
        (lambda: PurgedKFold(5, embargo=0, **bars(3, 0)), "cut the rows into 5 blocks, got 3 rows"),
        (lambda: PurgedWalkForward(1, **bars(99, 1)), "`n_splits` must be a whole number >= 2"),
        (lambda: PurgedWalkForward(5, **bars(5, 0)), "cut the rows into 6 blocks, got 5 rows"),
        (lambda: PurgedWalkForward(5, **bars(60, 10)), "use `n_splits`=4"),
        (lambda: PurgedWalkForward(min_train=0, **bars(9, 1)), "`min_train` must be a whole"),
        (
            lambda: CombinatorialPurgedKFold(6, 6, **bars(99, 1)),
            "`n_test_folds` must be smaller than `n_folds`=6, got 6; use at most 5",
        ),
        (lambda: CombinatorialPurgedKFold(1, 1, **bars(9, 1)), "`n_folds` must be a whole number"),
        (lambda: CombinatorialPurgedKFold(6, 0, **bars(9, 1)), "`n_test_folds` must be a whole"),
        (lambda: CombinatorialPurgedKFold(6, 2, embargo=90, **bars(500, 5)), "use `embargo`=82 or"),
        (
            lambda: CombinatorialPurgedKFold(30, 15, embargo=0, **bars(500, 5)),
            "must give at most 10000 splits, got 155117520; use `n_folds`=",
        ),
        (lambda: purged_tail([1, 2], [1, 2], 0.0), "`fraction` must be > 0 and < 1, got 0.0"),
        (lambda: purged_tail([1, 2], [1, 2], 1.0), "`fraction` must be > 0 and < 1, got 1.0"),
        (lambda: purged_tail([1, 2], [1, 2], np.nan), "`fraction` must be > 0 and < 1, got nan"),
        (lambda: purged_tail([1, 2], [5, 5], 0.5), "use more rows"),
    ],
)
def test_mistakes_are_refused_in_one_sentence(make, text):
    with pytest.raises(TrainerError, match=re.escape(text)) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_data_of_another_length_is_refused_before_the_first_split():
    for folds in (PurgedKFold(5, embargo=0, **bars(50, 1)), PurgedWalkForward(**bars(50, 1))):
        with pytest.raises(TrainerError, match="`X` must have as many rows as `t0`, got 49 and 50"):
            folds.split(np.empty((49, 2)))
