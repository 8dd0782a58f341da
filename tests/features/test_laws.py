from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from features.bars import Bars
from features.catalogue import BUILT_IN
from features.feature_set import FeatureSet
from features.interval import Interval
from features.laws import Law, alone, by_memory, distance, scaled, size

NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("a", "b", "unit", "apart"),
    [
        (1.0, 1.0, 1.0, 0.0),
        (NAN, NAN, 1.0, 0.0),
        (INF, INF, 1.0, 0.0),
        (1.5, 1.0, 2.0, 0.25),  # in units of the size
        (4.0, 8.0, 2.0, 0.5),  # or of the value that is believed, if larger
        (8.0, 4.0, 2.0, 1.0),
        (NAN, 1.0, 1.0, INF),
        (1.0, NAN, 1.0, INF),
        (INF, 1.0, 1.0, INF),
        (1.0, INF, 1.0, INF),
        (INF, -INF, 1.0, INF),
        (1e-30, 0.0, 0.0, INF),  # a feature that is 0 everywhere has no size
        (0.0, 0.0, 0.0, 0.0),
        (1.0, np.nextafter(np.float32(1.0), np.float32(2.0)), 1e9, 2.0**-23 / 1e9),
    ],
)
def test_distance(a: float, b: float, unit: float, apart: float) -> None:
    one, other = np.array([[a]], dtype=np.float32), np.array([[b]], dtype=np.float32)
    assert distance(one, other, unit)[0, 0] == pytest.approx(apart, rel=1e-6, abs=0.0)
    assert distance(one, other, np.array([unit]))[0, 0] == distance(one, other, unit)[0, 0]


def test_size_is_the_root_mean_square_of_what_is_defined() -> None:
    values = np.array([[3.0, NAN, 0.0], [-4.0, NAN, 0.0], [NAN, INF, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(size(values), [12.5**0.5, 0.0, 0.0])


def test_one_bad_tick_does_not_set_the_size() -> None:
    values = np.ones((10_000, 1), dtype=np.float32)
    values[17] = 1_000.0
    assert size(values)[0] < 11


def test_every_feature_is_in_the_group_of_its_own_memory() -> None:
    features = FeatureSet.build(interval=Interval.parse("1h"), kinds=BUILT_IN)
    seen = []
    for some, places, memory in by_memory(features):
        assert [features.columns[i] for i in places] == list(some.columns)
        assert {column.memory for column in some.columns} == {memory}
        seen += places
    assert sorted(seen) == list(range(len(features.columns)))


def test_alone_sees_its_memory_and_the_later_bars_that_are_asked_for(
    synthetic_bars: Callable[..., Bars],
) -> None:
    bars = synthetic_bars(60)
    features = FeatureSet.build(
        interval=bars.interval, kinds=BUILT_IN, groups=["returns"], windows={"ret": [5]}
    )
    (some, _, memory) = list(by_memory(features))[1]
    assert (some.names, memory) == (("ret_5",), 5)
    seen: list[tuple[int, float, float]] = []

    class Spy(FeatureSet):
        def compute(self, bars: Bars) -> np.ndarray:
            seen.append((len(bars), bars.close[0], bars.close[-1]))
            return super().compute(bars)

    ends, close = np.array([5, 30, 59]), bars.close
    calls: list[None] = []
    short = alone(Spy(some.columns), bars, ends, done=lambda: calls.append(None))
    assert seen == [(6, close[t - 5], close[t]) for t in ends]
    assert len(calls) == 3
    np.testing.assert_array_equal(short, features.compute(bars)[ends][:, [0]])
    seen.clear()
    longer = alone(Spy(some.columns), bars, ends, later=3)
    assert seen == [(9, close[0], close[8]), (9, close[25], close[33]), (6, close[54], close[59])]
    np.testing.assert_array_equal(longer, short)


def test_scaled(synthetic_bars: Callable[..., Bars]) -> None:
    bars = synthetic_bars(20)
    dearer, busier = scaled(bars, prices=4.0), scaled(bars, volumes=8.0)
    for name in ("open", "high", "low", "close"):
        np.testing.assert_array_equal(getattr(dearer, name), 4 * getattr(bars, name))
        np.testing.assert_array_equal(getattr(busier, name), getattr(bars, name))
    np.testing.assert_array_equal(dearer.volume, bars.volume)
    np.testing.assert_array_equal(busier.volume, 8 * bars.volume)
    np.testing.assert_array_equal(busier.time_ns, bars.time_ns)


def test_every_law_says_what_breaks_it() -> None:
    assert len({law.breach for law in Law}) == len(Law) == 4
