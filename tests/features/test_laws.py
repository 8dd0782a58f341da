from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from features.bars import Bars
from features.catalogue import BUILT_IN
from features.feature_set import FeatureSet
from features.interval import Interval
from features.laws import (
    Law,
    column_rms,
    compute_from_memory,
    group_by_memory,
    relative_difference,
    scaled,
)

NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("value", "reference", "unit", "expected"),
    [
        (1.0, 1.0, 1.0, 0.0),
        (NAN, NAN, 1.0, 0.0),
        (INF, INF, 1.0, 0.0),
        (1.5, 1.0, 2.0, 0.25),  # The unit is the size of the feature,
        (4.0, 8.0, 2.0, 0.5),  # or the reference, if it is larger.
        (8.0, 4.0, 2.0, 1.0),
        (NAN, 1.0, 1.0, INF),
        (1.0, NAN, 1.0, INF),
        (INF, 1.0, 1.0, INF),
        (1.0, INF, 1.0, INF),
        (INF, -INF, 1.0, INF),
        (1e-30, 0.0, 0.0, INF),  # The size of a feature that is always 0 is 0.
        (0.0, 0.0, 0.0, 0.0),
        (1.0, np.nextafter(np.float32(1.0), np.float32(2.0)), 1e9, 2.0**-23 / 1e9),
    ],
)
def test_relative_difference(value: float, reference: float, unit: float, expected: float) -> None:
    one, other = np.array([[value]], dtype=np.float32), np.array([[reference]], dtype=np.float32)
    difference = relative_difference(one, other, unit)
    assert difference[0, 0] == pytest.approx(expected, rel=1e-6, abs=0.0)
    assert relative_difference(one, other, np.array([unit]))[0, 0] == difference[0, 0]


def test_column_rms_uses_finite_values_only() -> None:
    values = np.array([[3.0, NAN, 0.0], [-4.0, NAN, 0.0], [NAN, INF, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(column_rms(values), [12.5**0.5, 0.0, 0.0])


def test_one_bad_tick_changes_the_size_little() -> None:
    values = np.ones((10_000, 1), dtype=np.float32)
    values[17] = 1_000.0
    assert column_rms(values)[0] < 11


def test_every_feature_is_in_the_group_of_its_own_memory() -> None:
    features = FeatureSet.build(interval=Interval.parse("1h"), kinds=BUILT_IN)
    seen = []
    for group, indices, memory in group_by_memory(features):
        assert [features.columns[i] for i in indices] == list(group.columns)
        assert {column.memory for column in group.columns} == {memory}
        seen += indices
    assert sorted(seen) == list(range(len(features.columns)))


def test_compute_from_memory_reads_the_memory_and_the_requested_later_bars(
    synthetic_bars: Callable[..., Bars],
) -> None:
    bars = synthetic_bars(60)
    features = FeatureSet.build(
        interval=bars.interval, kinds=BUILT_IN, groups=["returns"], windows={"ret": [5]}
    )
    (group, _, memory) = list(group_by_memory(features))[1]
    assert (group.names, memory) == (("ret_5",), 5)
    seen: list[tuple[int, float, float]] = []

    class Spy(FeatureSet):
        def compute(self, bars: Bars) -> np.ndarray:
            seen.append((len(bars), bars.close[0], bars.close[-1]))
            return super().compute(bars)

    rows, close = np.array([5, 30, 59]), bars.close
    calls: list[None] = []
    short = compute_from_memory(Spy(group.columns), bars, rows, on_row=lambda: calls.append(None))
    assert seen == [(6, close[t - 5], close[t]) for t in rows]
    assert len(calls) == 3
    np.testing.assert_array_equal(short, features.compute(bars)[rows][:, [0]])
    seen.clear()
    longer = compute_from_memory(Spy(group.columns), bars, rows, later=3)
    assert seen == [(9, close[0], close[8]), (9, close[25], close[33]), (6, close[54], close[59])]
    np.testing.assert_array_equal(longer, short)


def test_scaled(synthetic_bars: Callable[..., Bars]) -> None:
    bars = synthetic_bars(20)
    high_prices, high_volumes = scaled(bars, prices=4.0), scaled(bars, volumes=8.0)
    for name in ("open", "high", "low", "close"):
        np.testing.assert_array_equal(getattr(high_prices, name), 4 * getattr(bars, name))
        np.testing.assert_array_equal(getattr(high_volumes, name), getattr(bars, name))
    np.testing.assert_array_equal(high_prices.volume, bars.volume)
    np.testing.assert_array_equal(high_volumes.volume, 8 * bars.volume)
    np.testing.assert_array_equal(high_volumes.time_ns, bars.time_ns)


def test_every_law_has_its_own_description() -> None:
    assert len({law.breach for law in Law}) == len(Law) == 4
