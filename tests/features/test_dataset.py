from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.bars import Bars, validate_bars
from features.cache import FeatureCache
from features.calendars import DAY_NS, sessions
from features.catalogue import BUILT_IN, FeatureKind
from features.dataset import Dataset, DatasetBuilder
from features.errors import InputError
from features.feature_set import FeatureSet
from features.interval import Interval
from features.labels import LABEL_KINDS, LabelSpec, average_uniqueness, make_labels
from features.sources import FolderSource, RawBars, open_source

HOUR = Interval.parse("1h")
MakeFrame = Callable[..., pd.DataFrame]


@dataclass(frozen=True)
class FrameSource:
    """Bars from memory."""

    frame: pd.DataFrame

    def read(self, symbol: str, interval: str) -> RawBars:
        return RawBars(self.frame, "from memory")


def _small(memory: int = 6) -> FeatureSet:
    return FeatureSet.build(
        interval=HOUR,
        kinds=BUILT_IN,
        groups=["returns", "volume"],
        windows={"ret": [1, memory], "autocorr": [], "volume_z": [4], "volume_ratio": []}
        | {"money_flow": []},
    )


def _builder(frame: pd.DataFrame, **options: object) -> DatasetBuilder:
    base = {"features": _small(), "calendar": "24/7", "label": LabelSpec(horizon=3)}
    options = base | {"max_gap_bars": 5} | options
    return DatasetBuilder(FrameSource(frame), HOUR, **options)  # type: ignore[arg-type]


def _assert_equal(one: Dataset, other: Dataset) -> None:
    np.testing.assert_array_equal(one.X, other.X)
    np.testing.assert_array_equal(one.y, other.y)
    pd.testing.assert_index_equal(one.timestamps, other.timestamps)
    assert one.feature_names == other.feature_names
    for name in ("bar", "label_end", "forward_return", "sample_weight"):
        np.testing.assert_array_equal(getattr(one.meta, name), getattr(other.meta, name))
    for name in ("dropped", "gaps", "data_digest", "signature", "periods_per_year", "calendar"):
        assert getattr(one.meta, name) == getattr(other.meta, name), name


# --- contract --------------------------------------------------------------------------------


@pytest.mark.parametrize(("symbol", "interval"), [("EURUSD", "1h"), ("GOOGL", "1d")])
@pytest.mark.parametrize("kind", LABEL_KINDS)
def test_contract_on_real_bars(symbol: str, interval: str, kind: str) -> None:
    length = Interval.parse(interval)
    features = FeatureSet.build(interval=length, kinds=BUILT_IN)
    spec = LabelSpec(kind, 12)  # type: ignore[arg-type]
    data = DatasetBuilder(open_source("sample"), length, features, spec).build(symbol)
    X, y, timestamps, names, meta = data
    n = len(y)
    assert X.shape == (n, len(features.names))
    assert X.dtype == np.float32
    assert X.flags.f_contiguous or X.T[0].flags.c_contiguous  # A feature is contiguous.
    assert y.dtype == meta.forward_return.dtype == meta.sample_weight.dtype == np.float64
    assert meta.bar.dtype == meta.label_end.dtype == np.int64
    assert names == features.names
    assert (meta.symbol, meta.interval, meta.label) == (symbol, interval, spec)
    assert meta.signature == features.signature
    for array in (X, y, meta.forward_return, meta.sample_weight):
        assert np.isfinite(array).all()
        assert len(array) == n
    if spec.is_classification:
        assert set(y.tolist()) == {0.0, 1.0}
    assert str(timestamps.tz) == "UTC"
    pd.testing.assert_index_equal(timestamps, meta.bars.timestamps[meta.bar])
    assert (np.diff(meta.bar) > 0).all()
    assert n + sum(meta.dropped.values()) == len(meta.bars)
    assert all(meta.dropped.values())
    # Every value is computed again from the bars, by index.
    open_ = meta.bars.open
    np.testing.assert_array_equal(X, features.compute(meta.bars)[meta.bar])
    np.testing.assert_allclose(
        meta.forward_return, open_[meta.bar + 2] / open_[meta.bar + 1] - 1, rtol=1e-15
    )
    labels = make_labels(spec, open_, meta.bars.high, meta.bars.low, meta.bars.close)
    np.testing.assert_array_equal(y, labels.y[meta.bar])
    np.testing.assert_array_equal(meta.label_end, labels.end[meta.bar])
    assert (meta.label_end >= meta.bar + 2).all()  # The forward return reads open[bar + 2].
    if kind != "triple_barrier":
        assert (meta.label_end - meta.bar == 13).all()
    weight = average_uniqueness(meta.bar, meta.label_end)
    np.testing.assert_allclose(meta.sample_weight, weight / weight.mean(), rtol=1e-15)
    assert meta.sample_weight.mean() == pytest.approx(1.0)
    assert meta.cache == "off"
    assert meta.understood.startswith("sample bars")


def test_rows_of_a_clean_series(synthetic_frame: MakeFrame) -> None:
    data = _builder(synthetic_frame(50)).build("SYNTH")
    # The warm-up is six bars; the last label reads bar 49 = 45 + 1 + 3.
    assert data.meta.bar.tolist() == list(range(6, 46))
    assert data.meta.dropped == {"warmup": 6, "label_not_known_yet": 4}
    assert data.meta.gaps == {"gaps": 0, "missing_bars": 0, "longest": 0, "wide": 0}


def test_order_of_columns_in_a_real_folder(
    synthetic_frame: MakeFrame, folder_of: Callable[..., FolderSource]
) -> None:
    frame = synthetic_frame(60)
    turned = frame[frame.columns[::-1]].assign(extra=1)
    one = replace(_builder(frame), source=folder_of(turned)).build("SYNTH")
    _assert_equal(one, _builder(frame).build("SYNTH"))
    assert one.meta.understood.startswith("SYNTH_1h.parquet: 60 rows")


# --- dropped rows, compared with a slow count ------------------------------------------------


def _count(
    bars: Bars, features: FeatureSet, spec: LabelSpec, max_gap: int
) -> tuple[list[int], dict[str, int]]:
    n, memory = len(bars), features.memory
    labels = make_labels(spec, bars.open, bars.high, bars.low, bars.close)
    matrix = features.compute(bars)
    times = bars.time_ns // HOUR.ns
    wide = [False] + [times[k] - times[k - 1] - 1 > max_gap for k in range(1, n)]
    kept: list[int] = []
    dropped: dict[str, int] = {}
    for i in range(n):
        end = max(int(labels.end[i]), i + 2)
        if any(wide[max(i - memory, 0) + 1 : i + 1]):
            reason = "features_span_gap"
        elif i < memory:
            reason = "warmup"
        elif not np.isfinite(matrix[i]).all():
            reason = "undefined_feature"
        elif end > n - 1:
            reason = "label_not_known_yet"
        elif any(wide[i + 1 : end + 1]):
            reason = "label_spans_gap"
        elif np.isnan(labels.y[i]):
            reason = "undefined_label"
        else:
            kept.append(i)
            continue
        dropped[reason] = dropped.get(reason, 0) + 1
    return kept, dropped


@settings(max_examples=50)
@given(
    gaps=st.lists(st.tuples(st.integers(1, 150), st.integers(1, 9)), max_size=4),
    still=st.tuples(st.integers(0, 140), st.integers(0, 12)),
    max_gap=st.integers(0, 8),
    memory=st.integers(4, 15),
    horizon=st.integers(1, 9),
    kind=st.sampled_from(LABEL_KINDS),
)
def test_rows_dropped_by_reason(
    gaps: list[tuple[int, int]],
    still: tuple[int, int],
    max_gap: int,
    memory: int,
    horizon: int,
    kind: str,
    synthetic_frame: MakeFrame,
) -> None:
    frame = synthetic_frame(150)
    frame.loc[still[0] : still[0] + still[1], "volume"] = 0.0
    removed = {row for start, length in gaps for row in range(start, start + length)}
    frame = frame.drop(index=sorted(removed & set(frame.index))).reset_index(drop=True)
    spec, features = LabelSpec(kind, horizon, volatility_window=5), _small(memory)  # type: ignore[arg-type]
    builder = _builder(frame, max_gap_bars=max_gap, label=spec, features=features)
    bars = validate_bars(frame, symbol="SYNTH", interval=HOUR, calendar="24/7")
    kept, dropped = _count(bars, features, spec, max_gap)
    data = builder.build("SYNTH")
    assert data.meta.bar.tolist() == kept
    assert data.meta.dropped == dropped
    # Bars that are removed at the end of the series leave no gap.
    at_the_end = next(k for k in range(151) if 149 - k not in removed)
    assert data.meta.gaps["missing_bars"] == 150 - len(frame) - at_the_end


def test_max_gap_is_the_widest_gap_that_is_allowed(synthetic_frame: MakeFrame) -> None:
    frame = synthetic_frame(60).drop(index=[30, 31]).reset_index(drop=True)
    wide = _builder(frame, max_gap_bars=1).build("SYNTH").meta
    # Six rows after the gap have features that span it, four rows before it have such labels.
    assert wide.dropped["features_span_gap"] == 6
    assert wide.dropped["label_spans_gap"] == 4
    assert wide.gaps == {"gaps": 1, "missing_bars": 2, "longest": 2, "wide": 1}
    allowed = _builder(frame, max_gap_bars=2).build("SYNTH").meta
    assert allowed.dropped == {"warmup": 6, "label_not_known_yet": 4}
    assert allowed.gaps["wide"] == 0


def test_no_label_and_no_feature_spans_a_wide_gap(synthetic_frame: MakeFrame) -> None:
    frame = synthetic_frame(120).drop(index=range(60, 70)).reset_index(drop=True)
    base = _builder(frame).build("SYNTH")
    before, after = base.meta.label_end < 60, base.meta.bar >= 60
    assert (before ^ after).all()
    assert base.meta.bar[before].max() == 60 - 1 - 4
    assert base.meta.bar[after].min() == 60 + 6
    other = frame.copy()
    other.loc[: 60 - 1, ["open", "high", "low", "close"]] *= 1.1
    changed = _builder(other).build("SYNTH")
    np.testing.assert_array_equal(changed.X[after], base.X[after])


# --- time ------------------------------------------------------------------------------------


@settings(max_examples=12)
@given(cut=st.integers(330, 480), seed=st.integers(0, 999), kind=st.sampled_from(LABEL_KINDS))
def test_rewriting_the_future_changes_no_earlier_row(
    cut: int, seed: int, kind: str, synthetic_frame: MakeFrame
) -> None:
    features = FeatureSet.build(interval=HOUR, kinds=BUILT_IN)
    label = LabelSpec(kind, 4)  # type: ignore[arg-type]
    frame = synthetic_frame(500)
    future = synthetic_frame(500, seed=seed + 1)
    future.iloc[:cut] = frame.iloc[:cut]
    one, other = (
        _builder(f, features=features, label=label, allow_jumps=True).build("SYNTH")
        for f in (frame, future)
    )
    # Rows whose label and forward return read only bars before `cut`.
    a, b = (d.meta.label_end < cut for d in (one, other))
    np.testing.assert_array_equal(one.meta.bar[a], other.meta.bar[b])
    np.testing.assert_array_equal(one.X[a], other.X[b])
    np.testing.assert_array_equal(one.y[a], other.y[b])
    np.testing.assert_array_equal(one.meta.forward_return[a], other.meta.forward_return[b])
    past = one.meta.bar < cut
    np.testing.assert_array_equal(one.X[past], other.X[other.meta.bar < cut])


def test_the_bar_that_is_still_open_is_left_out(synthetic_frame: MakeFrame) -> None:
    now = pd.Timestamp.now("UTC").floor("h")
    frame = synthetic_frame(100, start=str((now - pd.Timedelta(hours=99)).tz_localize(None)))
    assert frame["timestamp"].iloc[-1] == now
    bars = _builder(frame).build("SYNTH").meta.bars
    # At the end of an hour the bar may close while the test runs.
    assert len(bars) == (99 if pd.Timestamp.now("UTC").floor("h") == now else len(bars))


# --- cache and repetition --------------------------------------------------------------------


def test_same_result_with_and_without_cache(tmp_path: Path, synthetic_frame: MakeFrame) -> None:
    frame = synthetic_frame(400).drop(index=range(200, 210)).reset_index(drop=True)
    features = FeatureSet.build(interval=HOUR, kinds=BUILT_IN, groups=["returns", "trend"])
    features = FeatureSet(tuple(c for c in features.columns if c.memory < 100))
    off = _builder(frame, features=features)
    on = replace(off, cache=FeatureCache(tmp_path / "cache"))
    results = [off.build("SYNTH"), off.build("SYNTH"), *(on.build("SYNTH") for _ in range(3))]
    assert [r.meta.cache for r in results] == ["off", "off", "computed", "read", "read"]
    for other in results[1:]:
        _assert_equal(results[0], other)


def test_features_are_probed_before_they_are_stored(
    tmp_path: Path, synthetic_frame: MakeFrame
) -> None:
    kind = FeatureKind("ahead", "odd", lambda b: np.roll(b.log_return, -1), lambda: 3)
    features = FeatureSet.build(interval=HOUR, kinds=[kind])
    cache = FeatureCache(tmp_path / "cache")
    for chosen in (None, cache):
        with pytest.raises(InputError, match=r"cannot be trusted: ahead uses later bars"):
            _builder(synthetic_frame(100), features=features, cache=chosen).build("SYNTH")
    assert not cache.folder.exists()


# --- errors ----------------------------------------------------------------------------------


def test_no_row_left(synthetic_frame: MakeFrame) -> None:
    builder = _builder(synthetic_frame(10))
    text = (
        r"no row of SYNTH is usable out of 10 bars \(6 warmup, 4 label_not_known_yet\); features "
        r"need 6 bars of history and labels 4 more: give more bars or shorter windows"
    )
    with pytest.raises(InputError, match=text):
        builder.build("SYNTH")
    one_more = _builder(synthetic_frame(11)).build("SYNTH")
    assert one_more.meta.bar.tolist() == [6]
    assert one_more.meta.sample_weight.tolist() == [1.0]


@pytest.mark.parametrize("kind", LABEL_KINDS)
@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_too_few_bars_are_one_line_for_every_label(
    kind: str, n: int, synthetic_frame: MakeFrame
) -> None:
    features = FeatureSet.build(interval=HOUR, kinds=BUILT_IN)
    builder = _builder(synthetic_frame(n), features=features, label=LabelSpec(kind))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=rf"no row of SYNTH is usable out of {n} bars") as caught:
        builder.build("SYNTH")
    assert "\n" not in str(caught.value)


def test_no_row_between_wide_gaps(synthetic_frame: MakeFrame) -> None:
    frame = synthetic_frame(100)
    keep = [row for row in range(100) if row % 20 < 5]
    with pytest.raises(InputError, match=r"out of 25 bars \(5 warmup, 20 features_span_gap\)"):
        _builder(frame.loc[keep].reset_index(drop=True)).build("SYNTH")


def test_features_that_are_never_defined_are_named(synthetic_frame: MakeFrame) -> None:
    frame = synthetic_frame(100).assign(volume=0.0)
    text = r"no row of SYNTH is usable: volume_z_4 are never defined on these bars \(no volume, or "
    with pytest.raises(InputError, match=text):
        _builder(frame).build("SYNTH")


def test_a_negative_gap_is_refused(synthetic_frame: MakeFrame) -> None:
    with pytest.raises(InputError, match=r"`max_gap_bars` must be >= 0 bars, got -1; use 0 to all"):
        _builder(synthetic_frame(10), max_gap_bars=-1)


def test_bars_are_validated_first(synthetic_frame: MakeFrame) -> None:
    frame = synthetic_frame(100)
    frame.loc[50:, ["open", "high", "low", "close"]] /= 2
    with pytest.raises(InputError, match="jump by more than"):
        _builder(frame).build("SYNTH")
    assert len(_builder(frame, allow_jumps=True).build("SYNTH").y) == 90


# --- calendars -----------------------------------------------------------------------------------


def _built(folder: Path, stem: str, times: pd.DatetimeIndex, frame: pd.DataFrame) -> Dataset:
    """Write bars at these times as a csv file, and build its dataset."""
    folder.mkdir(exist_ok=True)
    frame.assign(timestamp=times).to_csv(folder / f"{stem}.csv", index=False)
    symbol, _, interval = stem.partition("_")
    parsed = Interval.parse(interval)
    features = FeatureSet.build(interval=parsed)
    return DatasetBuilder(FolderSource(folder), parsed, features).build(symbol)


@pytest.mark.parametrize("holidays", [True, False], ids=["every weekday", "sessions"])
def test_daily_bars_stamped_in_four_ways_give_equal_rows_and_figures(
    holidays: bool, tmp_path: Path, synthetic_frame: Callable[..., pd.DataFrame]
) -> None:
    """Bars stamped 09:30 in New York had 365 periods a year, the same with dates 252."""
    days = pd.bdate_range("2016-01-04", "2018-12-31")
    if not holidays:
        known = sessions("XNYS", int(days[0].value // DAY_NS), int(days[-1].value // DAY_NS))
        days = pd.DatetimeIndex((known.day * DAY_NS).view("datetime64[ns]"))
    zone = "America/New_York"
    stamps = {
        "date": days.tz_localize("UTC"),
        "open": (days + pd.Timedelta("9h30min")).tz_localize(zone).tz_convert("UTC"),
        "midnight": days.tz_localize(zone).tz_convert("UTC"),
        "close": (days + pd.Timedelta("16h")).tz_localize(zone).tz_convert("UTC"),
    }
    frame = synthetic_frame(len(days), interval="1d")
    built = {
        name: _built(tmp_path / name, "SHARE_1d", times, frame) for name, times in stamps.items()
    }
    first = built["date"]
    assert first.meta.gaps == {"gaps": 0, "missing_bars": 0, "longest": 0, "wide": 0}
    expected = 365 * 5 / 7 if holidays else 251.6
    assert first.meta.periods_per_year == pytest.approx(expected, rel=0.003)
    for other in built.values():
        np.testing.assert_array_equal(other.X, first.X)
        np.testing.assert_array_equal(other.y, first.y)
        np.testing.assert_array_equal(other.meta.forward_return, first.meta.forward_return)
        assert other.meta.periods_per_year == first.meta.periods_per_year
        assert (other.meta.gaps, other.meta.dropped) == (first.meta.gaps, first.meta.dropped)


@pytest.mark.parametrize(
    ("zone", "first", "last", "calendar", "bars_a_day"),
    [
        ("America/New_York", "04:00", "20:00", "XNYS@04:00-20:00", 192),
        ("Australia/Sydney", "10:00", "16:00", "XASX", 72),
    ],
)
def test_sessions_across_midnight_utc_lose_no_rows(
    zone: str,
    first: str,
    last: str,
    calendar: str,
    bars_a_day: int,
    tmp_path: Path,
    synthetic_frame: Callable[..., pd.DataFrame],
) -> None:
    """More than half of the rows were dropped as gaps at each midnight in UTC."""
    days = pd.bdate_range("2023-02-21", "2023-03-31")
    if zone == "Australia/Sydney":
        days = pd.bdate_range("2023-01-30", "2023-03-31")
    parts = [
        pd.date_range(
            f"{day:%Y-%m-%d} {first}", f"{day:%Y-%m-%d} {last}", freq="5min", tz=zone,
            inclusive="left",
        )
        for day in days
    ]  # fmt: skip
    times = parts[0].append(parts[1:]).tz_convert("UTC")
    assert len(times) == bars_a_day * len(days)
    dataset = _built(tmp_path, "SHARE_5m", times, synthetic_frame(len(times), interval="5m"))
    assert dataset.meta.calendar == calendar
    assert dataset.meta.gaps["missing_bars"] == 0
    assert set(dataset.meta.dropped) == {"warmup", "label_not_known_yet"}
    assert dataset.meta.periods_per_year == pytest.approx(bars_a_day * 251.5, rel=0.02)
