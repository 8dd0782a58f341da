from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.bars import Bars
from features.errors import InputError
from features.labels import (
    LABEL_KINDS,
    LabelKind,
    Labels,
    LabelSpec,
    average_uniqueness,
    forward_return,
    horizon_return,
    make_labels,
)

NAN = np.nan


def _labels(spec: LabelSpec, bars: Bars) -> Labels:
    return make_labels(spec, bars.open, bars.high, bars.low, bars.close)


def test_forward_return_is_from_the_next_open_to_the_one_after() -> None:
    # The decision at the close of bar 0 is executed at 110, the next one at 99. Execution at the
    # open of the same bar would give +10 %.
    got = forward_return(np.array([100.0, 110.0, 99.0, 198.0]))
    np.testing.assert_allclose(got, [99 / 110 - 1, 198 / 99 - 1, NAN, NAN])
    assert np.isnan(forward_return(np.array([1.0]))).all()
    assert np.isnan(forward_return(np.array([1.0, 2.0]))).all()


def test_horizon_return_by_hand() -> None:
    open_ = np.array([1.0, 2.0, 4.0, 2.0, 8.0])
    log2 = np.log(2.0)
    np.testing.assert_allclose(horizon_return(open_, 1), [log2, -log2, 2 * log2, NAN, NAN])
    np.testing.assert_allclose(horizon_return(open_, 2), [0.0, log2, NAN, NAN, NAN])
    np.testing.assert_allclose(horizon_return(open_, 3), [2 * log2, NAN, NAN, NAN, NAN])
    assert np.isnan(horizon_return(open_, 4)).all()
    assert np.isnan(horizon_return(open_, 99)).all()


def test_direction_by_hand() -> None:
    open_ = np.array([9.0, 2.0, 3.0, 2.0, 1.0, 5.0])
    got = make_labels(LabelSpec("direction", 2), open_, open_, open_, open_)
    # 2 to 2 is no rise, 3 to 1 is a fall, 2 to 5 is a rise; the last three are not known yet.
    np.testing.assert_array_equal(got.y, [0.0, 0.0, 1.0, NAN, NAN, NAN])
    np.testing.assert_array_equal(got.end, [3, 4, 5, 6, 7, 8])


def test_forward_return_label_by_hand() -> None:
    open_ = np.array([9.0, 2.0, 3.0, 2.0, 1.0, 5.0])
    got = make_labels(LabelSpec("forward_return", 2), open_, open_, open_, open_)
    np.testing.assert_allclose(got.y, [0.0, np.log(1 / 3), np.log(2.5), NAN, NAN, NAN])
    np.testing.assert_array_equal(got.end, [3, 4, 5, 6, 7, 8])


@pytest.mark.parametrize("kind", LABEL_KINDS)
@pytest.mark.parametrize("horizon", [1, 2, 7])
def test_label_end_is_exactly_the_last_bar_that_is_read(
    kind: str, horizon: int, synthetic_bars: Callable[..., Bars]
) -> None:
    """Bars after ``end`` do not change the label, but the bar at ``end`` can."""
    bars = synthetic_bars(140, seed=3)
    # The barriers are so wide that none is touched: the final open decides for every kind.
    spec = LabelSpec(kind, horizon, barrier_width=100.0, volatility_window=5)  # type: ignore[arg-type]
    base = _labels(spec, bars)
    for i in range(20, 120, 9):
        end = int(base.end[i])
        assert end == i + 1 + horizon
        beyond = {n: getattr(bars, n).copy() for n in ("open", "high", "low", "close")}
        for name, array in beyond.items():
            array[end + 1 :] *= 1.7 if name != "open" else 0.4
        assert make_labels(spec, *(beyond[n] for n in beyond)).y[i] == base.y[i]
        at_end = bars.open.copy()
        at_end[end] *= 0.5 if base.y[i] > 0 else 2.0
        assert make_labels(spec, at_end, bars.high, bars.low, bars.close).y[i] != base.y[i]


@pytest.mark.parametrize("kind", LABEL_KINDS)
@pytest.mark.parametrize("horizon", [1, 2, 7])
@pytest.mark.parametrize("barrier_width", [0.01, 1.0])
def test_bars_after_the_label_end_change_neither_label_nor_forward_return(
    kind: LabelKind, horizon: int, barrier_width: float, synthetic_bars: Callable[..., Bars]
) -> None:
    """A purge by label spans must remove every row that reads a bar of the test rows.

    The barriers of width 0.01 are touched in the bar of the execution, i + 1, but the forward
    return of the row reads the open of bar i + 2.
    """
    bars = synthetic_bars(140, seed=3)
    spec = LabelSpec(kind, horizon, barrier_width, volatility_window=5)
    labels, earned = _labels(spec, bars), forward_return(bars.open)
    for i in np.flatnonzero(~np.isnan(labels.y)):
        after = np.arange(len(bars)) > labels.end[i]
        changed = {
            name: np.where(after, 1.7 * getattr(bars, name), getattr(bars, name))
            for name in ("open", "high", "low", "close")
        }
        assert make_labels(spec, *changed.values()).y[i] == labels.y[i]
        assert forward_return(changed["open"])[i] == earned[i]


@pytest.mark.parametrize("kind", LABEL_KINDS)
@pytest.mark.parametrize("barrier_width", [0.01, 1.0])
def test_label_end_lies_in_the_series_where_the_label_is_known(
    kind: LabelKind, barrier_width: float, synthetic_bars: Callable[..., Bars]
) -> None:
    bars = synthetic_bars(60)
    for horizon in (1, 2, 7):
        spec = LabelSpec(kind, horizon, barrier_width, volatility_window=5)
        labels, index = _labels(spec, bars), np.arange(60)
        known = ~np.isnan(labels.y)
        assert (labels.end >= index + 2).all()
        assert (labels.end <= index + 1 + horizon).all()
        assert (labels.end[known] <= 59).all()
        np.testing.assert_array_equal(labels.end[~known], index[~known] + 1 + horizon)


def test_the_list_of_label_kinds_is_the_type() -> None:
    assert get_args(LabelKind) == LABEL_KINDS == ("direction", "forward_return", "triple_barrier")


@pytest.mark.parametrize("kind", LABEL_KINDS)
def test_last_rows_are_not_known_yet(kind: str, synthetic_bars: Callable[..., Bars]) -> None:
    bars = synthetic_bars(100)
    spec = LabelSpec(kind, 7, volatility_window=5)  # type: ignore[arg-type]
    known = ~np.isnan(_labels(spec, bars).y)
    start = 5 if kind == "triple_barrier" else 0
    # The last known label is 1 + horizon bars before the last bar.
    np.testing.assert_array_equal(known, (np.arange(100) >= start) & (np.arange(100) <= 99 - 8))


# --- triple barrier --------------------------------------------------------------------------


def _brute_force(spec: LabelSpec, bars: Bars) -> Labels:
    """Compute the labels of Lopez de Prado (2018), section 3.4, one row and one bar at a time."""
    n, h, w = len(bars), spec.horizon, spec.volatility_window
    y, end = np.full(n, NAN), np.arange(n) + h + 1
    for i in range(w, n - h - 1):
        squares = [np.log(bars.close[k] / bars.close[k - 1]) ** 2 for k in range(i - w + 1, i + 1)]
        width = spec.barrier_width * np.sqrt(np.mean(squares) * h)
        entry = bars.open[i + 1]
        y[i] = float(bars.open[i + 1 + h] > entry)
        for k in range(i + 1, i + h + 1):
            up = bars.high[k] >= entry * np.exp(width)
            down = bars.low[k] <= entry * np.exp(-width)
            if up or down:
                y[i] = float(bars.close[k] > entry) if up and down else float(up)
                end[i] = max(k, i + 2)  # The forward return reads the open of bar i + 2.
                break
    return Labels(y, end)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 999),
    horizon=st.integers(1, 12),
    width=st.sampled_from([0.05, 0.5, 1.0, 2.0]),
    window=st.integers(2, 30),
)
def test_triple_barrier_against_brute_force(
    seed: int, horizon: int, width: float, window: int, synthetic_bars: Callable[..., Bars]
) -> None:
    bars = synthetic_bars(150, seed=seed)
    spec = LabelSpec("triple_barrier", horizon, width, window)
    got, expected = _labels(spec, bars), _brute_force(spec, bars)
    np.testing.assert_array_equal(got.y, expected.y)
    np.testing.assert_array_equal(got.end, expected.end)


def test_triple_barrier_ends_at_the_touch() -> None:
    close = np.array([100.0, 110, 100, 110, 100, 100, 100, 100])
    high, low = close + 1.0, close - 1.0
    high[5] = 111.0
    got = make_labels(LabelSpec("triple_barrier", 3, 1.0, 2), close, high, low, close)
    # Row 3: the entry is 100, the upper barrier is 100 * 1.1 ** sqrt(3) = 118.
    assert (got.y[3], got.end[3]) == (0.0, 7)
    high[5] = 119.0
    got = make_labels(LabelSpec("triple_barrier", 3, 1.0, 2), close, high, low, close)
    assert (got.y[3], got.end[3]) == (1.0, 5)
    high[6] = 119.0
    assert make_labels(LabelSpec("triple_barrier", 3, 1.0, 2), close, high, low, close).end[3] == 5
    high[5] = 111.0
    assert make_labels(LabelSpec("triple_barrier", 3, 1.0, 2), close, high, low, close).end[3] == 6


def test_triple_barrier_by_hand() -> None:
    # Log returns of +-log(1.1): volatility log(1.1), barriers at entry * 1.1 and entry / 1.1.
    close = np.array([100.0, 110, 100, 110, 100, 100, 100, 100])
    open_ = np.array([100.0, 110, 100, 110, 100, 100, 100, 100])
    high, low = open_ + 1.0, open_ - 1.0
    spec = LabelSpec("triple_barrier", 1, 1.0, 2)
    base = make_labels(spec, open_, high, low, close)
    # Row 2: the entry is 110, bar 3 touches no barrier, the final open of 100 decides.
    assert (base.y[2], base.end[2]) == (0.0, 4)
    for bar_high, bar_low, bar_close, expected in (
        (121.1, 109, 110, 1.0),  # Only the upper barrier, 121, is touched.
        (111.0, 99.9, 110, 0.0),  # Only the lower barrier, 100, is touched.
        (121.1, 99.9, 111, 1.0),  # Both are touched in one bar: its close decides.
        (121.1, 99.9, 110, 0.0),
    ):
        h, lo, c = high.copy(), low.copy(), close.copy()
        h[3], lo[3], c[3] = bar_high, bar_low, bar_close
        got = make_labels(spec, open_, h, lo, c)
        # The touch is in bar 3, and the forward return of row 2 reads the open of bar 4.
        assert (got.y[2], got.end[2]) == (expected, 4)


@pytest.mark.parametrize("kind", LABEL_KINDS)
def test_series_of_any_length(kind: str, synthetic_bars: Callable[..., Bars]) -> None:
    bars = synthetic_bars(60)
    spec = LabelSpec(kind, 3, volatility_window=24)  # type: ignore[arg-type]
    whole = _labels(spec, bars)
    for n in range(1, 60):
        got = _labels(spec, bars.slice(0, n))
        assert len(got.y) == len(got.end) == n
        known = ~np.isnan(got.y)
        np.testing.assert_array_equal(got.y[known], whole.y[:n][known])
        assert known.sum() == max(n - 4 - (24 if kind == "triple_barrier" else 0), 0)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"kind": "up"}, r"`task` must be one of direction, forward_return, triple_barrier, got"),
        ({"horizon": 0}, r"`horizon` must be >= 1 bar, got 0; use at least 1"),
        ({"horizon": -3}, r"`horizon` must be >= 1 bar, got -3"),
        (
            {"barrier_width": 0.0},
            r"`barrier_width` must be > 0 and `volatility_window` >= 2, got 0",
        ),
        ({"barrier_width": NAN}, r"`barrier_width` must be > 0 .* got nan"),
        ({"volatility_window": 1}, r"`volatility_window` >= 2, got 1.0 and 1"),
    ],
)
def test_refuses(change: dict, text: str) -> None:
    with pytest.raises(InputError, match=text):
        LabelSpec(**change)


# --- weights ---------------------------------------------------------------------------------


def test_average_uniqueness_of_the_literature() -> None:
    """The example of Lopez de Prado (2018), section 4.3: labels {1,2,3}, {3,4}, {5,6}."""
    got = average_uniqueness(np.array([1, 3, 5]), np.array([3, 4, 6]))
    np.testing.assert_allclose(got, [5 / 6, 3 / 4, 1.0], rtol=1e-15)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 15)), min_size=1, max_size=40))
def test_average_uniqueness_against_brute_force(labels: list[tuple[int, int]]) -> None:
    start = np.array([a for a, _ in labels]) + 1_000
    end = start + [length for _, length in labels]
    expected = [
        np.mean([1 / np.sum((start <= k) & (k <= end)) for k in range(a, b + 1)])
        for a, b in zip(start, end, strict=True)
    ]
    np.testing.assert_allclose(average_uniqueness(start, end), expected, rtol=1e-12)


def test_average_uniqueness_of_no_label() -> None:
    none = np.empty(0, dtype=np.int64)
    assert average_uniqueness(none, none).shape == (0,)
