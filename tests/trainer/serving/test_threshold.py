"""Threshold: positions to the last bit of a float, and its JSON form."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import TrainerError
from trainer.serving.threshold import Threshold


def test_positions_by_hand():
    p = np.array([0.0, 0.39, 0.4, 0.5, 0.6, 0.61, 1.0, np.nan])
    positions = Threshold(0.6).positions(p)
    assert positions.tolist() == [-1, -1, -1, 0, 1, 1, 1, 0]
    assert positions.dtype == np.int8
    assert Threshold(0.6, allow_short=False).positions(p).tolist() == [0, 0, 0, 0, 1, 1, 1, 0]


def test_long_and_short_meet_the_threshold_alike():
    # 1 - 0.1 is 0.9, but 1 - 0.9 is 0.09999999999999998: `p <= 1 - value` would miss the short.
    assert Threshold(0.9).positions([0.9, 0.1]).tolist() == [1, -1]


@given(st.integers(512, 1024), st.lists(st.integers(0, 1024), min_size=1, max_size=40))
def test_mirrored_probabilities_give_mirrored_positions(value, steps):
    p = np.array(steps) / 1024  # 1 - p is exact
    threshold = Threshold(value / 1024)
    off_tie = p != 0.5
    mirrored = threshold.positions(1 - p)
    assert mirrored[off_tie].tolist() == (-threshold.positions(p))[off_tie].tolist()


def test_long_wins_the_tie_at_one_half():
    assert Threshold(0.5).positions([0.5]).tolist() == [1]
    assert Threshold(0.5).positions([np.nextafter(0.5, 0)]).tolist() == [-1]


def test_do_not_trade_is_always_flat():
    assert Threshold(None).positions([0.0, 0.5, 1.0, np.nan]).tolist() == [0, 0, 0, 0]


@given(st.floats(0.5, 1), st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_a_higher_threshold_never_adds_a_position(value, p):
    low = Threshold(0.5).positions(p)
    high = Threshold(value).positions(p)
    assert (np.abs(high) <= np.abs(low)).all()
    assert (high * low >= 0).all()


@given(st.one_of(st.none(), st.floats(0.5, 1)), st.booleans())
def test_json_gives_the_same_threshold(value, allow_short):
    threshold = Threshold(value, allow_short)
    assert Threshold.from_json(json.loads(json.dumps(threshold.to_json()))) == threshold


def test_stored_thresholds_always_load():
    assert Threshold.from_json({"value": 0.625, "allow_short": False}) == Threshold(0.625, False)
    assert Threshold.from_json({"value": None, "allow_short": True}) == Threshold(None)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: Threshold(0.49),
            "`value` of a threshold must be in [0.5, 1], got 0.49; use None for 'do not trade'",
        ),
        (lambda: Threshold(1.01), "must be in [0.5, 1], got 1.01"),
        (lambda: Threshold(float("nan")), "must be in [0.5, 1], got nan"),
        (lambda: Threshold(0.6).positions([1.2]), "`probability` must be in [0, 1], got 1.2"),
        (lambda: Threshold(None).positions([-0.1]), "`probability` must be in [0, 1], got -0.1"),
        (
            lambda: Threshold.from_json({"value": 0.6}),
            "fields value and allow_short, got ['value']",
        ),
        (
            lambda: Threshold.from_json({"value": 0.6, "allow_short": True, "x": 1}),
            "must have the fields value and allow_short",
        ),
        (
            lambda: Threshold.from_json({"value": "0.6", "allow_short": True}),
            "must have a number or null as `value` and a boolean as `allow_short`, got '0.6'",
        ),
        (lambda: Threshold.from_json({"value": 0.6, "allow_short": 1}), "got 0.6 and 1"),
        (lambda: Threshold.from_json({"value": 0.2, "allow_short": True}), "must be in [0.5, 1]"),
    ],
)
def test_mistakes_are_refused_in_one_sentence(call, text):
    with pytest.raises(TrainerError, match=re.escape(text)):
        call()
