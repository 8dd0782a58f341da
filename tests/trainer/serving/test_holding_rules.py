"""Rules that hold a position, against a slow reading bar by bar."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import TrainerError
from trainer.serving.holding_rules import BreakEven, Exit
from trainer.serving.rules import rule_from_json

#: Probabilities of few values, so that ties occur, with bars that have none.
SERIES = st.lists(
    st.sampled_from([0.0, 0.25, 0.4, 0.45, 0.5, 0.55, 0.6, 0.75, 1.0, math.nan]), max_size=40
)
VALUES = st.sampled_from([0.5, 0.55, 0.6, 0.75, 0.9])


def slow(p, long, short, held):
    """Each bar from the one before it, as docs/validation.md words the rule."""
    state, states = held, []
    for i, probability in enumerate(p):
        if math.isnan(probability):
            state = 0
        elif long[i]:
            state = 1
        elif short[i]:
            state = -1
        elif (state == 1 and probability < 0.5) or (state == -1 and 1 - probability < 0.5):
            state = 0
        states.append(state)
    return states


def exits(p, value, allow_short):
    long = [probability >= value for probability in p]
    short = [allow_short and 1 - q >= value and not up for q, up in zip(p, long, strict=True)]
    return long, short


def test_exactly_one_half_leaves_no_position() -> None:
    assert Exit(0.6).decide([0.7, 0.5, 0.49], held=0).position.tolist() == [1, 1, 0]
    assert Exit(0.6).decide([0.3, 0.5, 0.51], held=0).position.tolist() == [-1, -1, 0]


@given(SERIES, VALUES, st.booleans(), st.sampled_from([-1, 0, 1]))
def test_exit_is_the_slow_reading(p, value, allow_short, held):
    held = max(held, 0) if not allow_short else held
    decided = Exit(value, allow_short).decide(p, held=held)
    assert decided.position.tolist() == slow(p, *exits(p, value, allow_short), held)
    assert decided.position.dtype == np.int8
    assert decided.certain.all()


@given(SERIES, VALUES, st.booleans())
def test_a_position_is_certain_where_every_beginning_gives_it(p, value, allow_short):
    beginnings = (-1, 0, 1) if allow_short else (0, 1)
    signals = exits(p, value, allow_short)
    every = np.array([slow(p, *signals, held) for held in beginnings]).reshape(len(beginnings), -1)
    certain = Exit(value, allow_short).decide(p).certain
    assert certain.tolist() == (every == every[0]).all(axis=0).tolist()


@given(SERIES, VALUES, st.booleans(), st.integers(0, 40))
def test_a_window_gives_the_positions_of_the_whole_series_or_says_that_it_cannot(
    p, value, allow_short, cut
):
    rule = Exit(value, allow_short)
    whole, part = rule.decide(p, held=0), rule.decide(p[cut:])
    same = whole.position[cut:] == part.position
    assert same[part.certain].all()
    if cut and cut <= len(p):
        before = int(whole.position[cut - 1])
        assert rule.decide(p[cut:], held=before).position.tolist() == whole.position[cut:].tolist()


@given(
    SERIES,
    st.lists(
        # Moves of 12 bars of some multiples of the costs, below and above what pays for them.
        st.sampled_from([0.0, 0.001, 0.002, 0.004, 0.008, 0.05, math.nan]),
        min_size=40,
        max_size=40,
    ),
    st.sampled_from([0.0, 0.0005, 0.0015]),
    st.booleans(),
    st.sampled_from([-1, 0, 1]),
)
def test_break_even_is_the_slow_reading(p, sigma, cost, allow_short, held):
    held = max(held, 0) if not allow_short else held
    sigma = sigma[: len(p)]
    long, short = [], []
    for probability, size in zip(p, sigma, strict=True):
        edge = (2 * probability - 1) * (math.sqrt(2 / math.pi) * size * math.sqrt(12))
        long.append(edge >= 2 * cost)
        short.append(allow_short and edge <= -2 * cost and not edge >= 2 * cost)
    rule = BreakEven(0.5, allow_short, cost=cost, horizon=12)
    decided = rule.decide(p, np.array(sigma), held=held)
    assert decided.position.tolist() == slow(p, long, short, held)


def test_the_edge_of_break_even_by_hand():
    """The mean move of 12 bars of 1 % is 2.76 %: a probability of .555 pays 30 bps, .554 not."""
    rule = BreakEven(0.5, cost=0.0015, horizon=12)
    sigma = np.full(3, 0.01)
    assert rule.decide([0.554, 0.555, 0.51], sigma, held=0).position.tolist() == [0, 1, 1]
    assert rule.decide([0.446, 0.445, 0.49], sigma, held=0).position.tolist() == [0, -1, -1]
    assert rule.volatility_window == 72
    with pytest.raises(TrainerError, match="`volatility` must be given to the rule break-even"):
        rule.decide([0.6], held=0)


@pytest.mark.parametrize("rule", [Exit(None), BreakEven(None)])
def test_do_not_trade_is_flat_and_certain(rule):
    decided = rule.decide([0.9, 0.1])
    assert decided.position.tolist() == [0, 0]
    assert decided.certain.all()


@given(SERIES, VALUES, st.integers(1, 4), st.integers(0, 40))
def test_smoothed_positions_of_a_window(p, value, span, cut):
    rule = Exit(value, smooth=span)
    whole, part = rule.decide(p, held=0), rule.decide(p[cut:])
    known = part.certain
    # Before ten spans have passed, the mean of the whole series may reach back before the window.
    assert not known[: rule.memory].any() or any(math.isnan(q) for q in p[cut:][: rule.memory])
    assert (whole.position[cut:][known] == part.position[known]).all()


@pytest.mark.parametrize(
    "rule",
    [
        Exit(0.6),
        Exit(None, allow_short=False),
        Exit(0.75, smooth=12),
        BreakEven(0.5, False, 3, cost=0.0015, horizon=12, window=48),
    ],
)
def test_json_gives_the_same_rule(rule):
    assert rule_from_json(json.loads(json.dumps(rule.to_json()))) == rule
