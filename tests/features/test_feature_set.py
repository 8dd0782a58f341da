from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from features.bars import Bars
from features.catalogue import BUILT_IN, FeatureKind
from features.errors import InputError
from features.feature_set import Column, FeatureSet, rebuild
from features.interval import Interval
from features.settings import read_settings
from features.signature import FeatureSignature

HOUR, DAY = Interval.parse("1h"), Interval.parse("1d")


def _build(**options: object) -> FeatureSet:
    return FeatureSet.build(**{"interval": HOUR, "kinds": BUILT_IN, **options})  # type: ignore[arg-type]


def test_default_set() -> None:
    features = _build()
    assert 45 <= len(features.names) <= 60
    assert len(set(features.names)) == len(features.names)
    assert features.names[:4] == ("ret_1", "ret_2", "ret_3", "ret_6")
    assert features.names[-4:] == ("hour_sin", "hour_cos", "weekday_sin", "weekday_cos")
    assert features.memory == max(column.memory for column in features.columns) == 21 * 14
    assert {kind.group for kind in BUILT_IN} == {
        *("returns", "volatility", "volume", "oscillators", "trend", "time")
    }


def test_time_of_day_is_left_out_for_bars_of_a_day_or_longer() -> None:
    for text in ("1d", "1w", "24h"):
        daily = _build(interval=Interval.parse(text))
        assert set(_build().names) - set(daily.names) == {"hour_sin", "hour_cos"}
        assert "weekday_sin" in daily.names


def test_columns_are_in_the_order_of_the_catalogue() -> None:
    one, other = _build(groups=["trend", "returns"]), _build(groups=["returns", "trend"])
    assert one.names == other.names
    assert one.names == tuple(n for n in _build().names if n in one.names)
    assert {column.kind.group for column in one.columns} == {"returns", "trend"}


def test_windows() -> None:
    features = _build(groups=["returns"], windows={"ret": [5, 1], "autocorr": []})
    assert features.names == ("ret_5", "ret_1", "open_gap")
    assert features.memory == 5


def test_matrix(synthetic_bars: Callable[..., Bars]) -> None:
    bars, features = synthetic_bars(400), _build()
    matrix = features.compute(bars)
    assert matrix.dtype == np.float32
    assert matrix.shape == (400, len(features.names))
    assert matrix.flags.f_contiguous
    some = _build(groups=["trend"])
    columns = [features.names.index(name) for name in some.names]
    np.testing.assert_array_equal(some.compute(bars), matrix[:, columns])
    np.testing.assert_array_equal(matrix, features.compute(bars))


def test_warmed_up_counts_from_the_start_and_from_wide_gaps(
    synthetic_bars: Callable[..., Bars],
) -> None:
    features = _build(groups=["returns"], windows={"ret": [3], "autocorr": []})
    bars = synthetic_bars(20)
    bars.missing[10] = 2
    expected = np.arange(20) >= 3
    np.testing.assert_array_equal(features.warmed_up(bars, max_gap_bars=2), expected)
    expected[10:13] = False
    np.testing.assert_array_equal(features.warmed_up(bars, max_gap_bars=1), expected)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"groups": ["trends"]}, r"unknown groups: 'trends'; did you mean 'trend'\?"),
        ({"groups": ["xyzzy"]}, r"unknown groups: 'xyzzy'; known are oscillators, returns, time"),
        ({"windows": {"rsj": [3]}}, r"unknown windows: 'rsj'; did you mean 'rsi'\?"),
        ({"windows": {"open_gap": [3]}}, r"unknown windows: 'open_gap'"),
        ({"window": {"ret": [3]}}, r"unknown keys of the features file: 'window'; did you mean 'w"),
        ({"windows": {"ret": [0]}}, r"windows of 'ret' must be whole bars from 1 to 5000, got 0"),
        ({"windows": {"ret": [5_001]}}, r"whole bars from 1 to 5000, got 5001"),
        ({"windows": {"ret": [1.5]}}, r"whole bars from 1 to 5000, got 1\.5"),
        ({"windows": {"ret": [True]}}, r"whole bars from 1 to 5000, got True"),
        ({"windows": {"ret": ["12"]}}, r"whole bars from 1 to 5000, got '12'"),
        ({"windows": {"ret": 12}}, r"windows of 'ret' must be a list of bars, got 12"),
        ({"windows": [12]}, r"`windows` must map feature names to lists, got \[12\]"),
        ({"groups": "trend"}, r"`groups` must be a list of names, got 'trend'"),
        ({"groups": [1]}, r"`groups` must be a list of names, got \[1\]"),
        ({"groups": []}, r"no feature is left; name at least one group or window"),
        ({"windows": {"ret": [5, 5]}}, r"features must have different names, got 'ret_5' twice"),
    ],
)
def test_bad_configuration(config: dict, text: str) -> None:
    with pytest.raises(InputError, match=text) as caught:
        FeatureSet.from_config(config, interval=HOUR)
    assert "\n" not in str(caught.value)


def test_the_example_file_of_the_documentation_is_accepted(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "features.md").read_text()
    path = tmp_path / "features.yaml"
    path.write_text(page.partition("```yaml\n")[2].partition("```")[0])
    features = FeatureSet.from_config(read_settings(path, "features"), interval=HOUR)
    assert {"ret_20", "rsi_14"} <= set(features.names)
    assert not any(name.startswith("adx") for name in features.names)


def test_configuration_file(tmp_path: Path) -> None:
    path = tmp_path / "features.yaml"
    path.write_text("groups: [returns, time]\nwindows:\n  ret: [4, 8]\n  autocorr: []\n")
    features = FeatureSet.from_config(read_settings(path, "features"), interval=DAY)
    assert features.names == ("ret_4", "ret_8", "open_gap", "weekday_sin", "weekday_cos")
    path.write_text("{}")
    assert (
        FeatureSet.from_config(read_settings(path, "features"), interval=HOUR).names
        == _build().names
    )


def test_duplicate_names_are_refused() -> None:
    twin = FeatureKind("ret", "mine", BUILT_IN[0].compute, BUILT_IN[0].memory, ({"window": 2},))
    with pytest.raises(InputError, match=r"features must have different names, got 'ret_2' twice"):
        _build(kinds=[*BUILT_IN, twin])


def test_a_formula_of_another_length_is_refused(synthetic_bars: Callable[..., Bars]) -> None:
    short = FeatureKind("short", "mine", lambda bars: bars.close[1:], lambda: 0)
    text = r"feature 'short' must give one value a bar: shape \(30,\), got \(29,\)"
    with pytest.raises(InputError, match=text):
        _build(kinds=[short]).compute(synthetic_bars(30))


def test_a_formula_that_raises_is_named(synthetic_bars: Callable[..., Bars]) -> None:
    def broken(bars: object) -> np.ndarray:
        raise ZeroDivisionError("boo")

    features = FeatureSet((Column(FeatureKind("odd", "odd", broken, lambda: 0), {}),))
    with pytest.raises(InputError, match="feature 'odd' cannot be computed: ZeroDivisionError: bo"):
        features.compute(synthetic_bars(10))


def test_windows_of_a_group_that_is_left_out_are_refused() -> None:
    with pytest.raises(InputError, match=r"`windows` sets 'rsi' of group 'oscillators', which is"):
        FeatureSet.build(interval=HOUR, groups=["time"], windows={"rsi": [7]})


# --- rebuild ---------------------------------------------------------------------------------


def test_rebuild(synthetic_bars: Callable[..., Bars]) -> None:
    features = _build(groups=["trend", "time"], windows={"adx": [5]})
    again = rebuild(FeatureSignature.from_json(features.signature.to_json()))
    assert again.names == features.names
    assert again.signature == features.signature
    bars = synthetic_bars(200)
    np.testing.assert_array_equal(again.compute(bars), features.compute(bars))


def test_rebuild_keeps_the_order_of_the_signature() -> None:
    signature = _build(groups=["returns"]).signature
    turned = FeatureSignature(signature.entries[::-1])
    assert rebuild(turned).names == signature.names[::-1]


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("kind", "gone", r"features of kind gone are not known here; install the plug-in"),
        (
            "formula",
            "0" * 12,
            r"features of this installation do not match:\n  formula changed: re",
        ),
        ("memory", 99, r"re-parameterised: ret_1 from ret\(window=1\) memory 99 to .* memory 1$"),
        ("name", "other", r"added: ret_1\n  missing: other"),
        ("params", {"span": 1}, r"ret"),
        ("params", {}, r"ret"),
    ],
)
def test_rebuild_refuses_a_feature_that_differs(field: str, value: object, text: str) -> None:
    data = _build(groups=["returns"]).signature.to_json()
    data["features"][0][field] = value
    with pytest.raises(InputError, match=text):
        rebuild(FeatureSignature.from_json(data))
