from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from features import indicators
from features.catalogue import BUILT_IN
from features.errors import InputError
from features.feature_set import FeatureSet
from features.interval import Interval
from features.signature import FeatureEntry, FeatureSignature, formula_digest

A = FeatureEntry("a_1", "a", {"window": 1}, 1, "float32", "aaaa")
B = FeatureEntry("b_2", "b", {"window": 2}, 2, "float32", "bbbb")
C = FeatureEntry("c", "c", {}, 0, "float32", "cccc")
BASE = FeatureSignature((A, B, C))


@pytest.mark.parametrize(
    ("other", "lines"),
    [
        ((A, B, C), []),
        ((A, B, C, replace(A, name="d")), ["added: d"]),
        ((A, C), ["missing: b_2"]),
        (
            (B, A, C),
            [
                "reordered: 'b_2' stands where 'a_1' is expected",
                "reordered: 'a_1' stands where 'b_2' is expected",
            ],
        ),
        ((A, replace(B, dtype="float64"), C), ["retyped: b_2 from float32 to float64"]),
        (
            (A, replace(B, params={"window": 3}), C),
            ["re-parameterised: b_2 from b(window=2) memory 2 to b(window=3) memory 2"],
        ),
        (
            (A, replace(B, memory=9), C),
            ["re-parameterised: b_2 from b(window=2) memory 2 to b(window=2) memory 9"],
        ),
        (
            (A, replace(B, kind="z"), C),
            ["re-parameterised: b_2 from b(window=2) memory 2 to z(window=2) memory 2"],
        ),
        ((A, B, replace(C, formula="dddd")), ["formula changed: c from cccc to dddd"]),
        (
            (replace(C, name="x"), C, A),
            [
                "added: x",
                "missing: b_2",
                "reordered: 'c' stands where 'a_1' is expected",
                "reordered: 'a_1' stands where 'c' is expected",
            ],
        ),
    ],
    ids=[
        *("same", "added", "missing", "reordered", "retyped"),
        *("window", "memory", "kind", "formula", "all at once"),
    ],
)
def test_diff(other: tuple[FeatureEntry, ...], lines: list[str]) -> None:
    given = FeatureSignature(other)
    assert BASE.diff(given) == lines
    assert (BASE.digest == given.digest) == (not lines)
    if lines:
        with pytest.raises(InputError, match=r"^features of the model do not match:\n  ") as caught:
            BASE.require(given, owner="the model")
        assert str(caught.value).splitlines()[1:] == [f"  {line}" for line in lines]
    else:
        BASE.require(given, owner="the model")


def test_json_round_trip() -> None:
    whole = FeatureSet.build(interval=Interval.parse("1h"), kinds=BUILT_IN).signature
    again = FeatureSignature.from_json(json.loads(json.dumps(whole.to_json())))
    assert again == whole
    assert again.digest == whole.digest


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({}, r"the feature signature has format None, this version reads 1; use the barwright"),
        ({"format": 2, "features": []}, r"has format 2, this version reads 1"),
        ({"format": 1}, r"the feature signature is damaged: 'features'; train again"),
        ({"format": 1, "features": [{"name": "a"}]}, r"the feature signature is damaged: "),
        ({"format": 1, "features": [1]}, r"the feature signature is damaged: "),
        ({"format": 1, "features": 1}, r"the feature signature is damaged: "),
        ([], r"the feature signature"),
        ("text", r"the feature signature"),
        ({"format": 1, "features": [dict(vars(A), params=[])]}, r"the feature signature is damage"),
        ({"format": 1, "features": [dict(vars(A), name=[])]}, r"the feature signature is damaged"),
    ],
)
def test_damaged_json(data: dict, text: str) -> None:
    with pytest.raises(InputError, match=text):
        FeatureSignature.from_json(data)


# --- formula digest: one module with changed texts -------------------------------------------

SOURCE = '''
"""A plug-in."""
import numpy as np
from functools import partial

SCALE = 2.5
SHIFTS = (1, 2)


def smooth(values):
    """Smooth."""
    return values[1:] + values[:-1]


class Series:
    @property
    def spread(self):
        return self.high - self.low


def feature(bars: Series, window=3):
    """Feature."""
    # why
    def inner(x):
        return x * SCALE
    return inner(smooth(bars.spread)) / window - SHIFTS[0]


narrow = partial(feature, window=5)


def made(factor):
    def feature(bars):
        return bars.close * factor
    return feature


closed = made(2.0)
unnamed = (lambda bars: bars.close * 2.5)
'''

Load = Callable[..., ModuleType]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """``load((old, new), ...)``: the module above with replaced texts, always of one name."""
    count = iter(range(99))

    def make(*changes: tuple[str, str], source: str = SOURCE) -> ModuleType:
        for old, new in changes:
            assert old in source
            source = source.replace(old, new)
        path = tmp_path / f"version{next(count)}.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location("plug_in_under_test", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return make


@pytest.mark.parametrize(
    "change",
    [
        ("# why", "# because"),
        ('"""Feature."""', '"""Another text."""'),
        ('    """Smooth."""\n', ""),
        ("values[1:] + values[:-1]", "(\n        values[1:]\n        + values[:-1]\n    )"),
        ("SCALE = 2.5", "SCALE = 2.50"),
        ("\n\n\ndef feature", "\n\nUNRELATED = 7\n\n\ndef unrelated():\n    pass\n\n\ndef feature"),
    ],
    ids=["comment", "docstring", "no docstring", "layout", "same number", "unrelated"],
)
def test_formula_digest_ignores(change: tuple[str, str], load: Load) -> None:
    assert formula_digest(load().feature) == formula_digest(load(change).feature)


@pytest.mark.parametrize(
    "change",
    [
        ("/ window - SHIFTS", "* window - SHIFTS"),
        ("SCALE = 2.5", "SCALE = 2.6"),
        ("SHIFTS = (1, 2)", "SHIFTS = (3, 2)"),
        ("values[1:] + values[:-1]", "values[1:] - values[:-1]"),
        ("self.high - self.low", "self.high / self.low"),
        ("x * SCALE", "x + SCALE"),
        ("window=3", "window=4"),
        ("SHIFTS[0]", "SHIFTS[1]"),
    ],
    ids=["operator", "constant", "tuple", "helper", "property", "inner", "default", "index"],
)
def test_formula_digest_depends_on(change: tuple[str, str], load: Load) -> None:
    assert formula_digest(load().feature) != formula_digest(load(change).feature)


def test_formula_digest_of_partial_functions(load: Load) -> None:
    base = formula_digest(load().narrow)
    assert base == formula_digest(load().narrow)
    assert base != formula_digest(load(("window=5", "window=6")).narrow)
    assert base != formula_digest(load(("SCALE = 2.5", "SCALE = 2.6")).narrow)


def test_formula_digest_depends_on_the_values_of_a_closure(load: Load) -> None:
    assert formula_digest(load().closed) == formula_digest(load().closed)
    assert formula_digest(load().closed) != formula_digest(load(("made(2.0)", "made(3.0)")).closed)


def test_formula_digest_depends_on_a_boolean_constant(load: Load) -> None:
    source = "FLAG = True\n\n\ndef feature(bars):\n    return bars.close if FLAG else bars.open\n"
    base, other = load(source=source), load(("= True", "= False"), source=source)
    assert formula_digest(base.feature) != formula_digest(other.feature)


@pytest.mark.parametrize("body", ["bars.close * 2.5", "bars.close * 3.5", "bars.open * 2.5"])
def test_formula_digest_without_source(body: str) -> None:
    """A function made by `exec` has no source: its byte code, constants and names count."""

    def make(text: str) -> Callable:
        space: dict = {"__name__": "nowhere"}
        exec(f"def feature(bars):\n    return {text}", space)
        return space["feature"]

    others = {"bars.close * 2.5", "bars.close * 3.5", "bars.open * 2.5"} - {body}
    assert formula_digest(make(body)) == formula_digest(make(body))
    assert formula_digest(make(body)) not in {formula_digest(make(other)) for other in others}


def test_formula_digest_follows_modules_of_the_same_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``from package import helpers; helpers.smooth(x)``: the code of `smooth` counts."""
    digests = []
    for body in ("x + 1", "x + 2"):
        folder = tmp_path / body[-1]
        package = folder / "package_under_test"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "helpers.py").write_text(f"def smooth(x):\n    return {body}\n")
        (package / "main.py").write_text(
            "from package_under_test import helpers\n\n\n"
            "def feature(bars):\n    return helpers.smooth(bars.close)\n"
        )
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(folder))
            digests.append(
                formula_digest(importlib.import_module("package_under_test.main").feature)
            )
        for name in [n for n in sys.modules if n.startswith("package_under_test")]:
            del sys.modules[name]
    assert digests[0] != digests[1]


def test_formula_digests_of_the_built_in_features() -> None:
    digests = {kind.name: formula_digest(kind.compute) for kind in BUILT_IN}
    assert len(set(digests.values())) == len(digests)
    assert all(len(digest) == 12 for digest in digests.values())
    assert formula_digest(indicators.rsi) == digests["rsi"]


def test_formula_digests_are_the_same_in_another_process() -> None:
    code = (
        "from features.catalogue import BUILT_IN; from features.signature import formula_digest; "
        "print([formula_digest(k.compute) for k in BUILT_IN])"
    )
    root = Path(indicators.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str([formula_digest(kind.compute) for kind in BUILT_IN])


def test_formula_digest_of_a_plug_in_depends_on_the_functions_of_this_package(load: Load) -> None:
    """A changed function of `features.series` changes every plug-in that calls it."""
    source = (
        "from features.series import mean as roll\n\n\ndef f(bars):\n    return roll(bars, 3)\n"
    )
    base, other = load(source=source), load(("mean as", "z_score as"), source=source)
    assert formula_digest(base.f) != formula_digest(other.f)
