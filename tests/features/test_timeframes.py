"""Features of longer bars: closed ones only, by the laws and by a slow reading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.audit import audit
from features.bars import Bars, validate_bars
from features.errors import InputError
from features.feature_set import FeatureSet, rebuild
from features.interval import Interval
from features.series import BarSeries
from features.signature import FeatureSignature
from features.timeframes import check_timeframe, longer_bars, memory_of

HOUR = Interval.parse("1h")
NS = HOUR.ns


def with_holes(make: Callable[..., pd.DataFrame], n: int, missing: float, seed: int) -> Bars:
    """Return bars of hours from 05:00 on, of which a share is missing."""
    frame = make(n, seed=seed, start="2024-01-01 05:00")
    kept = np.random.default_rng(seed).random(n) >= missing
    kept[[0, -1]] = True
    return validate_bars(frame[kept], symbol="S", interval=HOUR, calendar="24/7")


def series_of(bars: Bars) -> BarSeries:
    return BarSeries(bars.time_ns, bars.open, bars.high, bars.low, bars.close, bars.volume)


@pytest.mark.parametrize("text", ["2h", "4h", "6h", "1d"])
@pytest.mark.parametrize("missing", [0.0, 0.3, 0.8])
def test_each_bar_knows_the_last_closed_longer_bar(
    synthetic_frame: Callable[..., pd.DataFrame], text: str, missing: float
) -> None:
    """Slow reading: at each bar, join the bars that are known by then, clock by clock."""
    timeframe = Interval.parse(text)
    bars = with_holes(synthetic_frame, 300, missing, seed=4)
    longer = longer_bars(series_of(bars), timeframe, HOUR)
    fields = ("open", "high", "low", "close", "volume")
    aligned = {name: longer.align(getattr(longer.series, name)) for name in fields}
    for t in range(len(bars)):
        now = int(bars.time_ns[t]) + NS  # bar t has closed
        ends = {(int(bars.time_ns[i]) // timeframe.ns + 1) * timeframe.ns for i in range(t + 1)}
        over = [end for end in ends if end <= now]
        if not over:
            assert all(np.isnan(aligned[name][t]) for name in fields)
            continue
        inside = [
            i for i in range(t + 1) if max(over) - timeframe.ns <= bars.time_ns[i] < max(over)
        ]
        assert aligned["open"][t] == bars.open[inside[0]]
        assert aligned["high"][t] == bars.high[inside].max()
        assert aligned["low"][t] == bars.low[inside].min()
        assert aligned["close"][t] == bars.close[inside[-1]]
        assert aligned["volume"][t] == pytest.approx(bars.volume[inside].sum(), rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("missing", [0.0, 0.1])
@pytest.mark.parametrize("text", ["4h", "1d"])
def test_every_feature_of_longer_bars_satisfies_every_law(
    synthetic_frame: Callable[..., pd.DataFrame], text: str, missing: float
) -> None:
    # Windows of the long bars that leave rows to check.
    windows = {"mean_dist": [12], "below_high": [24], "above_low": [24], "ret": [1, 12]}
    chosen = {"timeframes": {text: {"windows": windows}}, "groups": ["returns"]}
    features = FeatureSet.from_config(chosen, interval=HOUR)
    longer = [column for column in features.columns if column.lengths is not None]
    assert len(longer) > 30
    n_bars = int((features.memory + 400) / (1 - missing))
    bars = with_holes(synthetic_frame, n_bars, missing, seed=6)
    assert len(bars) > features.memory
    assert [f.feature for f in audit(features, bars, rows=40) if f.breaches] == []


def test_a_bar_that_is_still_open_would_break_the_laws(
    synthetic_frame: Callable[..., pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The laws see a longer bar that has not closed: they can fail."""
    import features.feature_set as module

    def with_open_bar(series: BarSeries, timeframe: Interval, base: Interval) -> Any:
        longer = longer_bars(series, timeframe, base)
        open_too = np.searchsorted(longer.series.time_ns, series.time_ns, "right") - 1
        return type(longer)(longer.series, open_too)

    chosen = {"groups": ["returns"], "timeframes": {"4h": {"groups": ["returns"]}}}
    features = FeatureSet.from_config(chosen, interval=HOUR)
    bars = with_holes(synthetic_frame, features.memory + 100, 0.0, seed=8)
    assert [f for f in audit(features, bars, rows=12) if f.breaches] == []
    monkeypatch.setattr(module, "longer_bars", with_open_bar)
    broken = {f.feature for f in audit(features, bars, rows=12) if f.breaches}
    assert {"4h_ret_1", "4h_ret_12"} <= broken
    assert "ret_1" not in broken


def test_the_memory_holds_the_longer_bars_that_the_formula_remembers() -> None:
    day, four = Interval.parse("1d"), Interval.parse("4h")
    assert memory_of(14, four, HOUR) == 16 * 4
    assert memory_of(0, day, HOUR) == 48
    features = FeatureSet.from_config(
        {"groups": ["returns"], "windows": {"ret": [1], "autocorr": []},
         "timeframes": {"1d": {"groups": ["returns"], "windows": {"ret": [5], "autocorr": []}}}},
        interval=HOUR,
    )  # fmt: skip
    assert features.names == ("ret_1", "open_gap", "1d_ret_5", "1d_open_gap")
    assert features.memory == 7 * 24


def test_two_longer_bars_less_would_not_be_enough(synthetic_bars: Callable[..., Bars]) -> None:
    features = FeatureSet.from_config(
        {"groups": ["returns"], "windows": {"ret": [1], "autocorr": []},
         "timeframes": {"4h": {"groups": ["volatility"], "windows": {"parkinson": [3]}}}},
        interval=HOUR,
    )  # fmt: skip
    bars, index = synthetic_bars(800), features.names.index("4h_parkinson_3")
    memory = features.columns[index].memory
    rows = range(features.memory, len(bars))
    whole = features.compute(bars)[:, index]

    def equal(shorter: int) -> bool:
        starts = [t - memory + shorter for t in rows]
        values = [
            features.compute(bars.slice(start, t + 1))[-1, index]
            for start, t in zip(starts, rows, strict=True)
        ]
        return bool(np.allclose(values, whole[rows.start :], rtol=1e-5, atol=0))

    assert memory == 20
    assert equal(0)
    assert not equal(8)


def test_the_signature_keeps_the_timeframe_and_the_formula_of_the_longer_bars() -> None:
    chosen = {"groups": ["returns"], "timeframes": {"4h": {"groups": ["returns", "trend"]}}}
    features = FeatureSet.from_config(chosen, interval=HOUR)
    again = rebuild(FeatureSignature.from_json(features.signature.to_json()))
    assert again.signature == features.signature
    assert again.names == features.names
    by_name = {entry.name: entry for entry in features.signature.entries}
    plain, longer = by_name["ret_12"], by_name["4h_ret_12"]
    assert longer.formula.startswith(f"{plain.formula}-")
    assert longer.params == {"window": 12, "timeframe": "4h", "interval": "1h"}
    of_15m = FeatureSet.from_config(chosen, interval=Interval.parse("15m"))
    assert of_15m.signature != features.signature


def test_by_default_there_are_no_longer_bars() -> None:
    features = FeatureSet.build(interval=HOUR)
    assert all(column.lengths is None for column in features.columns)
    assert features.signature.digest.startswith("fb858375")


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"timeframes": ["4h"]}, "`timeframes` must map lengths to groups and windows"),
        ({"timeframes": {4: {}}}, "`timeframes` must be named by texts as 4h, got 4"),
        ({"timeframes": {"4x": {}}}, "a timeframe must be a count and one of m, h, d, got '4x'"),
        ({"timeframes": {"1h": {}}}, "must be a multiple of 1h that divides a day, got '1h'"),
        ({"timeframes": {"90m": {}}}, "got '90m'; use for example 4h or 1d"),
        ({"timeframes": {"5h": {}}}, "got '5h'"),
        ({"timeframes": {"2d": {}}}, "got '2d'"),
        ({"timeframes": {"4h": ["returns"]}}, "must give 4h groups or windows, got ['returns']"),
        ({"timeframes": {"4h": {"group": []}}}, "unknown keys of the timeframe 4h: 'group'"),
        ({"timeframes": {"4h": {"groups": "returns"}}}, "timeframe 4h: `groups` must be a list of"),
        ({"timeframes": {"4h": {}, "240m": {}}}, "`timeframes` 4h and 240m are the same; leave"),
        ({"timeframes": {"4h": {"groups": ["time"]}}}, "unknown groups: 'time'"),
        ({"timeframes": {"4h": {"windows": {"ret": [0]}}}}, "must be whole bars from 1 to"),
    ],
)
def test_mistakes_are_one_sentence(config: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError) as caught:
        FeatureSet.from_config(config, interval=HOUR)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["1d", "2d", "1w"])
def test_daily_bars_have_no_timeframes(text: str) -> None:
    with pytest.raises(InputError, match=r"bars of 1d have no timeframes: a timeframe is longer"):
        FeatureSet.from_config({"timeframes": {text: {}}}, interval=Interval.parse("1d"))


def test_a_timeframe_of_minutes() -> None:
    assert check_timeframe("1h", Interval.parse("15m")).text == "1h"
