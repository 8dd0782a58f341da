"""The catalogue: names, windows and memories of built-in kinds, and the kinds of plug-ins."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from features.bars import Bars
from features.catalogue import BUILT_IN, FeatureKind, plug_ins
from features.errors import InputError
from features.feature_set import FeatureSet, rebuild
from features.interval import Interval

HOUR = Interval.parse("1h")


def test_built_in_kinds_have_different_names_and_formulas() -> None:
    assert len({kind.name for kind in BUILT_IN}) == len(BUILT_IN) == 29
    assert len({kind.compute for kind in BUILT_IN}) == len(BUILT_IN)
    assert all(kind.distribution == "" for kind in BUILT_IN)


@pytest.mark.parametrize("kind", [k for k in BUILT_IN if k.windowed], ids=lambda k: k.name)
def test_a_windowed_kind_with_other_windows(kind: FeatureKind) -> None:
    other = kind.with_windows([5, 9])
    assert other.params == ({"window": 5}, {"window": 9})
    assert (other.name, other.compute, other.memory) == (kind.name, kind.compute, kind.memory)
    assert kind.memory(window=5) >= 5
    assert kind.memory(window=9) - kind.memory(window=5) >= 4


def test_kinds_without_a_window() -> None:
    assert {
        kind.name: [kind.memory(**params) for params in kind.params]
        for kind in BUILT_IN
        if not kind.windowed
    } == {
        "open_gap": [1],
        "close_place": [0],
        "upper_wick": [0],
        "lower_wick": [0],
        "hour": [0, 0],
        "weekday": [0, 0],
    }


# --- plug-ins: a real distribution on the path -----------------------------------------------

PLUG_IN = """
import numpy as np
from features.catalogue import FeatureKind


def squeeze(bars, window):
    return np.log(bars.high / bars.low) - np.log(bars.high / bars.low)


SQUEEZE = FeatureKind("squeeze", "foreign", squeeze, lambda window: window, ({"window": 7},))
PAIR = (SQUEEZE, FeatureKind("jump", "foreign", lambda bars: bars.close * 0, lambda: 0))
NUMBER = 3
CLASH = FeatureKind("ret", "foreign", squeeze, lambda window: window, ({"window": 1},))
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """``installed("squeeze = barwright_squeeze:SQUEEZE")``: write the files that pip installs."""

    def install(line: str) -> None:
        info = tmp_path / "barwright_squeeze-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: barwright-squeeze\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[barwright.features]\n{line}\n")
        (tmp_path / "barwright_squeeze.py").write_text(PLUG_IN)
        monkeypatch.syspath_prepend(str(tmp_path))

    yield install
    sys.modules.pop("barwright_squeeze", None)


def test_plug_in(installed: Callable[[str], None], synthetic_bars: Callable[..., Bars]) -> None:
    before = FeatureSet.build(interval=HOUR)
    installed("squeeze = barwright_squeeze:SQUEEZE")
    assert [kind.name for kind in plug_ins()] == ["squeeze"]
    features = FeatureSet.build(interval=HOUR)
    assert features.names == (*before.names, "squeeze_7")
    assert (features.compute(synthetic_bars(40))[:, -1] == 0).all()
    foreign = FeatureSet.from_config({"groups": ["foreign"]}, interval=HOUR)
    assert foreign.names == ("squeeze_7",)
    other = FeatureSet.from_config({"windows": {"squeeze": [3, 4]}}, interval=HOUR)
    assert other.names[-2:] == ("squeeze_3", "squeeze_4")
    assert rebuild(features.signature).names == features.names
    assert before.requirements == ()
    assert rebuild(features.signature).requirements == ("barwright-squeeze",)


def test_plug_in_of_several_kinds(installed: Callable[[str], None]) -> None:
    installed("pair = barwright_squeeze:PAIR")
    assert FeatureSet.build(interval=HOUR).names[-2:] == ("squeeze_7", "jump")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            "odd = barwright_squeeze:NOTHING",
            r"feature plug-in 'odd' \(barwright_squeeze:NOTHING\) does not load: .*; repair or un",
        ),
        ("odd = no_such_module:X", r"feature plug-in 'odd' \(no_such_module:X\) does not load: No"),
        ("odd = barwright_squeeze:NUMBER", r"plug-in 'odd' must be a FeatureKind or a tuple"),
        ("odd = barwright_squeeze:__doc__", r"plug-in 'odd' must be a FeatureKind or a tuple"),
        ("odd = barwright_squeeze:__name__", r"plug-in 'odd' must be a FeatureKind or a tuple"),
        (
            "odd = barwright_squeeze:CLASH",
            r"'odd' .*CLASH\) names a kind 'ret', which is",
        ),
    ],
)
def test_bad_plug_in(line: str, text: str, installed: Callable[[str], None]) -> None:
    installed(line)
    with pytest.raises(InputError, match=text):
        FeatureSet.build(interval=HOUR)
