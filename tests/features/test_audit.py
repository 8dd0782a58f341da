from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.audit import ENDS, Finding, audit, rewritten
from features.bars import Bars, validate_bars
from features.catalogue import BUILT_IN, FeatureKind, plug_ins
from features.errors import InputError
from features.feature_set import FeatureSet
from features.indicators import log_return
from features.interval import Interval
from features.laws import Law
from features.series import BarSeries

HOUR = Interval.parse("1h")
PLUG_IN = Path(__file__).resolve().parents[1] / "data" / "broken_features"
#: No log return of 600 synthetic bars is as large; those of rewritten bars are.
LARGE_RETURN = 0.05


def _audit(
    function: Callable[[BarSeries], np.ndarray], memory: int, bars: Bars, **options: int
) -> Finding:
    kind = FeatureKind("odd", "odd", function, lambda: memory)
    correct = BUILT_IN[0].with_windows([1, 7])
    features = FeatureSet.build(interval=bars.interval, kinds=[correct, kind])
    *others, odd = audit(features, bars, **options)  # type: ignore[arg-type]
    assert not any(other.breaches for other in others)
    return odd


def _laws(finding: Finding) -> list[Law]:
    return [breach.law for breach in finding.breaches]


# --- broken features of a plug-in, built-in features -----------------------------------------


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A real distribution on the path, with five features that break laws."""
    monkeypatch.syspath_prepend(str(PLUG_IN))
    importlib.invalidate_caches()
    yield
    sys.modules.pop("acme_features", None)


@pytest.mark.usefixtures("acme")
def test_each_broken_feature_is_listed_with_its_law(
    synthetic_bars: Callable[..., Bars],
) -> None:
    bars, features = synthetic_bars(600), FeatureSet.build(interval=HOUR, groups=["time", "acme"])
    assert {kind.name for kind in plug_ins()} <= set(features.names)
    laws = {finding.feature: _laws(finding) for finding in audit(features, bars)}
    ahead = [Law.PREFIX, Law.FUTURE]
    assert laws == {
        **{name: [] for name in ("hour_sin", "hour_cos", "weekday_sin", "weekday_cos")},
        "price": [Law.LEVEL],
        "centred": ahead,
        "backfilled": ahead,
        "z_of_all": ahead,
        "forgetful": [Law.START],
    }


@pytest.mark.parametrize(("symbol", "interval"), [("EURUSD", "1h"), ("GOOGL", "1d")])
def test_the_built_in_features_satisfy_every_law(
    symbol: str, interval: str, sample_bars: Callable[[str, str], Bars]
) -> None:
    bars = sample_bars(symbol, interval)
    features = FeatureSet.build(interval=bars.interval, kinds=BUILT_IN)
    findings = audit(features, bars, rows=150)
    assert [(f.feature, f.memory) for f in findings] == [
        (c.name, c.memory) for c in features.columns
    ]
    assert {f.feature: f.breaches for f in findings if f.breaches} == {}
    for finding in findings:
        assert finding.checked[Law.START] == 150
        assert finding.checked[Law.FUTURE] == ENDS
        assert finding.checked[Law.LEVEL] == len(bars)


# --- first bar, number of bars, largest difference -------------------------------------------


@pytest.mark.parametrize("at", [1, 250, 598])
def test_one_row_that_uses_a_later_bar_is_detected(
    at: int, synthetic_bars: Callable[..., Bars]
) -> None:
    bars = synthetic_bars(600)
    moment = bars.time_ns[at]

    def odd(series: BarSeries) -> np.ndarray:
        ahead = np.append(series.log_return[1:], np.nan)
        return np.where(series.time_ns == moment, ahead, series.log_return)

    finding = _audit(odd, 1, bars)
    prefix = finding.breaches[0]
    assert (prefix.law, prefix.first, prefix.rows) == (Law.PREFIX, bars.timestamps[at], 1)
    assert prefix.largest == np.inf  # The value is NaN without a later bar.
    assert finding.checked[Law.PREFIX] == 599
    if at == 250:
        assert _laws(_audit(odd, 1, bars, rows=7)) == []


def test_three_rows_that_need_more_than_their_memory_are_detected(
    synthetic_bars: Callable[..., Bars],
) -> None:
    bars = synthetic_bars(1_600)
    moments = bars.time_ns[1_417:1_420]

    def odd(series: BarSeries) -> np.ndarray:
        near, far = log_return(series, 5), np.zeros(len(series))
        far[6:] = log_return(series, 6)[6:]
        return np.where(np.isin(series.time_ns, moments), far, near)

    (start,) = _audit(odd, 5, bars).breaches
    assert (start.law, start.first, start.rows) == (Law.START, bars.timestamps[1_417], 3)
    assert np.isfinite(start.largest)
    assert _laws(_audit(odd, 6, bars)) == []


@pytest.mark.parametrize("unit", [1.0, 1e-9])
def test_the_difference_is_in_units_of_the_feature(
    unit: float, synthetic_bars: Callable[..., Bars]
) -> None:
    (level,) = _audit(lambda series: unit * series.close, 0, synthetic_bars(600)).breaches
    # The difference between 4 x and x is 3 x.
    assert level.largest == pytest.approx(3.0, rel=1e-5)


def test_start_allows_differences_up_to_the_tolerance(
    synthetic_bars: Callable[..., Bars],
) -> None:
    bars = synthetic_bars(600)

    def dependent(weight: float) -> Callable[[BarSeries], np.ndarray]:
        def odd(series: BarSeries) -> np.ndarray:
            far = np.zeros(len(series))
            far[10:] = np.sign(log_return(series, 10)[10:])
            return np.sign(series.log_return) + weight * far

        return odd

    assert _laws(_audit(dependent(0.5e-5), 1, bars)) == []
    (start,) = _audit(dependent(2e-5), 1, bars).breaches
    assert start.largest == pytest.approx(2e-5, rel=0.02)


# --- features that only one law detects ------------------------------------------------------


def test_only_future_detects_a_feature_that_uses_large_later_moves(
    synthetic_bars: Callable[..., Bars],
) -> None:
    def odd(series: BarSeries) -> np.ndarray:
        ahead = np.append(np.abs(series.log_return[1:]), 0.0) > LARGE_RETURN
        return ahead.astype(float)

    assert _laws(_audit(odd, 1, synthetic_bars(600))) == [Law.FUTURE]


def test_only_prefix_detects_a_feature_that_uses_the_number_of_later_bars(
    synthetic_bars: Callable[..., Bars],
) -> None:
    def odd(series: BarSeries) -> np.ndarray:
        return np.minimum(np.arange(len(series))[::-1], 3).astype(float)

    bars = synthetic_bars(600)
    (prefix,) = _audit(odd, 5, bars).breaches
    # Every warmed-up row except the last one, which has no later bars.
    assert (prefix.law, prefix.first) == (Law.PREFIX, bars.timestamps[5])
    assert prefix.rows == 594


@pytest.mark.parametrize("declared", [0, 200])
def test_features_that_look_further_ahead_than_their_memory_are_detected(
    declared: int, synthetic_bars: Callable[..., Bars]
) -> None:
    def odd(series: BarSeries) -> np.ndarray:
        out = np.zeros(len(series))
        out[:-60] = log_return(series, 60)[60:]
        return out

    assert _laws(_audit(odd, declared, synthetic_bars(600))) == [Law.PREFIX, Law.FUTURE]


@pytest.mark.parametrize(
    "function",
    [
        lambda series: series.close,
        lambda series: np.log1p(series.volume),
        lambda series: series.close**3 / series.volume**2,
        lambda series: series.close * 1e-12,
    ],
    ids=["price", "volume", "price over volume", "tiny"],
)
def test_features_that_depend_on_a_level_are_detected(
    function: Callable[[BarSeries], np.ndarray], synthetic_bars: Callable[..., Bars]
) -> None:
    bars = synthetic_bars(300)
    (level,) = _audit(function, 0, bars).breaches
    assert (level.law, level.first, level.rows) == (Law.LEVEL, bars.timestamps[0], 300)


def test_each_feature_is_checked_with_its_own_memory(synthetic_bars: Callable[..., Bars]) -> None:
    kinds = [
        FeatureKind("correct", "odd", lambda bars: log_return(bars, 11), lambda: 11),
        FeatureKind("short", "odd", lambda bars: log_return(bars, 11), lambda: 10),
    ]
    features = FeatureSet.build(interval=HOUR, kinds=kinds)
    correct, short = audit(features, synthetic_bars(300))
    assert (_laws(correct), _laws(short)) == ([], [Law.START])


# --- rewritten bars, progress, short series --------------------------------------------------


def test_rewritten_bars_are_valid_and_all_different(
    sample_bars: Callable[[str, str], Bars],
) -> None:
    bars = sample_bars("EURUSD", "1h")
    other = rewritten(bars, seed=3)
    again = validate_bars(
        other.to_frame(), symbol="EURUSD", interval=HOUR, calendar=bars.calendar, allow_jumps=True
    )
    assert again.digest == other.digest == rewritten(bars, seed=3).digest
    assert rewritten(bars, seed=4).digest != other.digest
    for name in ("open", "high", "low", "close", "volume"):
        assert (getattr(other, name) != getattr(bars, name)).all()
    np.testing.assert_array_equal(other.time_ns, bars.time_ns)


def test_rewritten_bars_have_volume_even_if_the_bars_have_none(
    synthetic_bars: Callable[..., Bars],
) -> None:
    bars = synthetic_bars(50)
    bars = replace(bars, volume=np.zeros(50))
    assert (rewritten(bars, seed=0).volume > 0).all()


def test_progress_ends_at_its_total(synthetic_bars: Callable[..., Bars]) -> None:
    calls: dict[str, list[tuple[int, int]]] = {}
    features = FeatureSet.build(interval=HOUR, kinds=BUILT_IN[:3])
    audit(
        features,
        synthetic_bars(300),
        rows=20,
        listen=lambda phase, done, total: calls.setdefault(phase, []).append((done, total)),
    )
    assert set(calls) == {"whole series", "every bar"}
    for steps in calls.values():
        assert [done for done, _ in steps] == sorted(done for done, _ in steps)
        assert steps[-1][0] == steps[-1][1] == max(total for _, total in steps)


def test_series_without_two_warm_rows_are_refused(synthetic_bars: Callable[..., Bars]) -> None:
    features = FeatureSet.build(interval=HOUR, kinds=BUILT_IN)
    text = r"bars of SYNTH are too few to audit: the features need 296, got 295; give more bars"
    with pytest.raises(InputError, match=text):
        audit(features, synthetic_bars(295))
    assert not any(f.breaches for f in audit(features, synthetic_bars(296)))
