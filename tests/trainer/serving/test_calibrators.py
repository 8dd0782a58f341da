"""Calibrators: their laws, the bits that JSON keeps, and damaged files."""

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from trainer.errors import TrainerError
from trainer.procedure.calibration import fit_calibrator
from trainer.serving.calibrators import (
    METHODS,
    IsotonicCalibrator,
    PlattCalibrator,
    calibrator_from_json,
)


def reloaded(calibrator):
    return calibrator_from_json(json.loads(json.dumps(calibrator.to_json())))


def test_every_method_but_auto_is_a_kind_that_loads():
    assert METHODS == ("platt", "isotonic", "none", "auto")
    fields = {"platt": {"a": 1.0, "b": 0.0}, "none": {}}
    fields["isotonic"] = {"knots_x": [0.0], "knots_y": [0.5]}
    for kind in METHODS[:-1]:
        assert calibrator_from_json({"kind": kind, **fields[kind]}).kind == kind


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50), st.floats(0, 50), st.floats(-9, 9))
def test_platt_never_reverses_the_order_of_two_scores(scores, a, b):
    p = PlattCalibrator(a, b).transform(np.sort(scores))
    assert (np.diff(p) >= -np.spacing(p[1:])).all()
    assert ((p >= 0) & (p <= 1)).all()


def test_platt_keeps_the_order_of_neighbouring_floats_to_the_last_bit():
    for start in (-40.0, -3.3, -0.1, 0.7, 2.9):
        scores = start + np.arange(20_000) * np.spacing(abs(start))
        p = PlattCalibrator(1.3, 0.2).transform(scores)
        assert (np.diff(p) >= -np.spacing(p[1:])).all()


def test_one_score_gets_the_bits_that_it_gets_among_others():
    scores = np.random.default_rng(0).normal(size=1000)
    calibrator = PlattCalibrator(1.7, -0.3)
    together = calibrator.transform(scores)
    assert [calibrator.transform([s])[0] for s in scores] == together.tolist()
    assert calibrator.transform(scores[::3]).tolist() == together[::3].tolist()


def test_platt_at_the_ends():
    p = PlattCalibrator(1.0, 0.0).transform([-800, -40, 0, 40, 800])
    assert p == pytest.approx([0, expit(-40), 0.5, 1, 1], rel=1e-12, abs=1e-300)
    assert PlattCalibrator(1e300, 0.0).transform([-1e300, 1e300]).tolist() == pytest.approx([0, 1])


def test_knots_cannot_be_changed():
    calibrator = IsotonicCalibrator(np.array([0.0, 1.0]), np.array([0.2, 0.8]))
    with pytest.raises(ValueError, match="read-only"):
        calibrator.knots_y[0] = 0.9


# Laws of every calibrator


@pytest.fixture(params=["platt", "isotonic", "none"])
def fitted(request):
    rng = np.random.default_rng(0)
    scores = rng.random(300)
    return fit_calibrator(request.param, scores, rng.random(300) < scores, horizon=1)


def test_nan_stays_nan_and_shape_stays(fitted):
    p = fitted.transform(np.array([[0.2, np.nan], [0.9, 0.5]], dtype=np.float32))
    assert p.dtype == np.float64
    assert np.isnan(p).tolist() == [[False, True], [False, False]]
    assert fitted.transform([]).shape == (0,)


def test_infinite_scores_are_refused(fitted):
    with pytest.raises(TrainerError, match="`scores` must be finite or NaN, got inf"):
        fitted.transform([0.5, np.inf])


def test_json_gives_the_same_bits(fitted):
    scores = np.random.default_rng(4).random(20_000)
    again = reloaded(fitted)
    assert type(again) is type(fitted)
    assert again.to_json() == fitted.to_json()
    assert again.transform(scores).tobytes() == fitted.transform(scores).tobytes()


@given(st.floats(0, 1e300), st.floats(-1e300, 1e300))
def test_json_keeps_every_float(a, b):
    again = reloaded(PlattCalibrator(a, b))
    assert (again.a.hex(), again.b.hex()) == (a.hex(), b.hex())


@pytest.mark.parametrize(
    ("stored", "asked", "expected"),
    [
        ('{"kind": "platt", "a": 2.0, "b": -1.0}', 0.5, 0.5),
        ('{"kind": "platt", "a": 2, "b": 0}', 1.0, expit(2.0)),
        ('{"kind": "isotonic", "knots_x": [0.0, 1.0], "knots_y": [0.25, 0.75]}', 0.5, 0.5),
        ('{"kind": "none"}', 0.7, 0.7),
    ],
)
def test_stored_calibrators_always_load(stored, asked, expected):
    assert calibrator_from_json(json.loads(stored)).transform([asked])[0] == expected


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        ({}, "`kind` of a calibrator must be one of platt, isotonic, none, got None"),
        ({"kind": "beta"}, "must be one of platt, isotonic, none, got 'beta'"),
        ({"kind": "auto"}, "must be one of platt, isotonic, none, got 'auto'"),
        (
            {"kind": "platt", "a": 1.0},
            "a calibrator of kind 'platt' must have the fields ['a', 'b'], got ['a']; "
            "write it with `to_json`",
        ),
        ({"kind": "platt", "a": 1.0, "b": 0.0, "c": 0.0}, "must have the fields ['a', 'b']"),
        ({"kind": "none", "a": 1.0}, "must have the fields [], got ['a']"),
        ({"kind": "platt", "a": math.nan, "b": 0.0}, "`a` of a calibrator must hold finite"),
        ({"kind": "platt", "a": 1.0, "b": math.inf}, "`b` of a calibrator must hold finite"),
        ({"kind": "platt", "a": "1", "b": 0.0}, "`a` of a calibrator must hold finite numbers"),
        ({"kind": "platt", "a": True, "b": 0.0}, "`a` of a calibrator must hold finite numbers"),
        ({"kind": "platt", "a": -1.0, "b": 0.0}, "`a` must be >= 0 and `b` finite, got -1.0"),
        (
            {"kind": "isotonic", "knots_x": [0, math.nan], "knots_y": [0.1, 0.2]},
            "`knots_x` of a calibrator must hold finite numbers",
        ),
        ({"kind": "isotonic", "knots_x": [1, 0], "knots_y": [0.1, 0.2]}, "`knots_x` must increase"),
        ({"kind": "isotonic", "knots_x": [0, 1], "knots_y": [0.2, 0.1]}, "that never falls"),
        ({"kind": "isotonic", "knots_x": [0, 1], "knots_y": [0.1, 1.0]}, "in [1e-6, 1 - 1e-6]"),
        ({"kind": "isotonic", "knots_x": [0, 1], "knots_y": [0.1]}, "`knots_x` must increase"),
        ({"kind": "isotonic", "knots_x": [], "knots_y": []}, "`knots_x` must increase"),
        ({"kind": "isotonic", "knots_x": 1.0, "knots_y": 0.5}, "`knots_x` must increase"),
    ],
)
def test_damaged_calibrators_are_refused(stored, text):
    with pytest.raises(TrainerError, match=re.escape(text)):
        calibrator_from_json(stored)
